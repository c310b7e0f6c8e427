"""What LambdaLR and MultiplicativeLR share: the functions of the epoch, one for each group."""

from __future__ import annotations

import types
from collections.abc import Callable, Sequence
from typing import Any

from torch.optim import Optimizer

from ._base import LRScheduler, copied

Lambda = Callable[[int], float]


class LambdaScheduler(LRScheduler):
    """Keeps `lr_lambdas`. A checkpoint has the attributes of callable objects, and None for functions, as in torch."""

    def __init__(self, optimizer: Optimizer, lr_lambda: Lambda | Sequence[Lambda], last_epoch: int = -1) -> None:
        groups = len(optimizer.param_groups)
        several = isinstance(lr_lambda, list | tuple)
        self.lr_lambdas: list[Any] = list(lr_lambda) if several else [lr_lambda] * groups  # type: ignore[arg-type]
        if len(self.lr_lambdas) != groups:
            raise ValueError(f"Expected {groups} lr_lambdas, one for each group, but got {len(self.lr_lambdas)}")
        for function in self.lr_lambdas:
            if not callable(function):
                raise TypeError(f"lr_lambda should be a function of the epoch, but got {function!r}")
        super().__init__(optimizer, last_epoch)

    def _adopt_group(self, index: int, group: dict[str, Any]) -> None:
        if index < len(self.lr_lambdas):
            return
        if any(function is not self.lr_lambdas[0] for function in self.lr_lambdas):
            raise ValueError(f"param_groups[{index}] was added later: append a function for it to lr_lambdas")
        self.lr_lambdas = [*self.lr_lambdas, self.lr_lambdas[0]]

    def state_dict(self) -> dict[str, Any]:
        """All attributes but the optimizer and the functions."""
        state = {name: value for name, value in self.__dict__.items() if name not in ("optimizer", "lr_lambdas")}
        return state | {"lr_lambdas": [attributes(function) for function in self.lr_lambdas]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a copy of what state_dict() gave; the functions stay, and get their attributes."""
        for function, saved in zip(self.lr_lambdas, state_dict["lr_lambdas"], strict=False):
            if saved is not None:
                function.__dict__.update(copied(saved))
        super().load_state_dict({name: value for name, value in state_dict.items() if name != "lr_lambdas"})


def attributes(function: Any) -> dict[str, Any] | None:
    """What a checkpoint holds of a callable."""
    known = getattr(function, "__dict__", None)
    return None if known is None or isinstance(function, types.FunctionType) else dict(known)
