"""The vocabulary of declarations. A declaration is data about one algorithm; it needs no torch."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal


@dataclass(frozen=True)
class Illegal:
    """A constructor call that has to be refused.

    Args:
        options: the arguments.
        error: name of the exception type that torch raises.
        names: text that the message has to contain: the offending value.
    """

    options: Mapping[str, Any]
    error: str
    names: str


@dataclass(frozen=True)
class Option:
    """A hyperparameter.

    Args:
        name: as in torch's constructor.
        default: torch's default.
        values: legal values that the laws combine pairwise.
        legal: the legal range in words or as an inequality.
        meaning: one line.
    """

    name: str
    default: Any
    values: tuple[Any, ...]
    legal: str
    meaning: str


@dataclass(frozen=True)
class StateEntry:
    """A tensor that the optimizer keeps for each parameter.

    Args:
        name: key in `optimizer.state[p]`.
        per_element: shaped like the parameter (True) or a 0-d counter (False).
        when: name of the option that must be true (non-zero) for it to exist; None: always.
        meaning: one line.
    """

    name: str
    per_element: bool
    meaning: str
    when: str | None = None

    def exists(self, options: Mapping[str, Any]) -> bool:
        return self.when is None or bool(options.get(self.when))


@dataclass(frozen=True)
class Paper:
    authors: str
    title: str
    year: int
    url: str


@dataclass(frozen=True)
class Subject:
    """One algorithm: what it is called, what it takes, what it keeps.

    Args:
        name: lower case, as on the command line.
        class_name: as in torch.optim.
        kind: "optimizer", "scheduler" or "averager".
        summary: one line; how it differs from its neighbour.
        papers: the sources of the rule.
        rule: the update rule in plain ASCII, a line a statement.
        options: hyperparameters.
        state: state entries.
        forbidden: pairs of (option, value) that torch refuses together, e.g. nesterov without momentum.
        illegal: constructor calls that must raise.
        elementwise: each element's update sees that element alone, so that tensors may be judged as one.
    """

    name: str
    class_name: str
    kind: Literal["optimizer", "scheduler", "averager"]
    summary: str
    papers: tuple[Paper, ...]
    rule: str
    options: tuple[Option, ...]
    state: tuple[StateEntry, ...]
    forbidden: tuple[tuple[tuple[str, Any], tuple[str, Any]], ...] = ()
    illegal: tuple[Illegal, ...] = ()
    elementwise: bool = True

    @property
    def defaults(self) -> dict[str, Any]:
        return {option.name: option.default for option in self.options}

    def complete(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options with every default filled in."""
        return {**self.defaults, **options}

    def changed(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options that differ from their defaults."""
        defaults = self.defaults
        return {name: value for name, value in options.items() if not _same(value, defaults[name])}

    def limited(self, options: Collection[str]) -> Subject:
        """The same subject as code sees it that takes these options only."""
        return replace(
            self,
            options=tuple(option for option in self.options if option.name in options),
            forbidden=tuple(pair for pair in self.forbidden if all(name in options for name, _ in pair)),
            illegal=tuple(illegal for illegal in self.illegal if set(illegal.options) <= set(options)),
        )

    def state_names(self, options: Mapping[str, Any]) -> tuple[str, ...]:
        """Names of the per-element state entries that exist under these options."""
        full = self.complete(options)
        return tuple(entry.name for entry in self.state if entry.per_element and entry.exists(full))

    def streams(self, options: Mapping[str, Any]) -> tuple[int, int]:
        """Arrays that are only read, and arrays that are read and written, by a step that touches each element once."""
        return 1, 1 + len(self.state_names(options))

    def bytes_per_element(self, options: Mapping[str, Any], itemsize: int) -> int:
        """The fewest bytes a step moves for each parameter element: every stream read or written once."""
        read_only, read_write = self.streams(options)
        return itemsize * (read_only + 2 * read_write)


def _same(a: Any, b: Any) -> bool:
    # 0 == False, but they are no values of one option.
    return type(a) is type(b) and bool(a == b)
