"""How foreign code says which of its names mean what, and what values are legal. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Adapter:
    """The names of a foreign optimizer, scheduler or averager, where they are not torch's.

    Put one on the class or in its module, under any name; the class's own comes first.

    Args:
        options: constructor argument -> the declared hyperparameter, `{"learning_rate": "lr"}`.
        state: key in `optimizer.state[p]` -> the declared state entry, `{"m": "exp_avg"}`; of an averager, attributes:
            `{"ema_model": "module", "update": "update_parameters"}`.
        values: declared hyperparameter -> legal values to try, its default first, of a class that is judged without
            `--algo`: `{"d0": (1e-6, 1e-3)}`. They stand in for those that optbench finds by itself; one value is never
            changed.

    Example:
        >>> names = Adapter(options={"learning_rate": "lr"}, state={"m": "exp_avg"})
        >>> names.arguments({"lr": 0.1, "eps": 1e-8})
        {'learning_rate': 0.1, 'eps': 1e-08}
    """

    options: Mapping[str, str] = field(default_factory=dict)
    state: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def arguments(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Declared hyperparameters under the names that the constructor takes."""
        theirs = {declared: own for own, declared in self.options.items()}
        return {theirs.get(name, name): value for name, value in options.items()}

    def declared(self, argument: str) -> str:
        """The declared name of a constructor argument."""
        return self.options.get(argument, argument)
