"""What schedulers that call the user's functions share: one function a group, and the state of callable objects."""

from collections.abc import Callable
from copy import deepcopy
from types import FunctionType
from typing import Any, ClassVar

from torch.optim.optimizer import Optimizer

from .base import LRSchedulerBase
from .groups import Group, one_for_all

Function = Callable[[int], float]


class LambdasBase(LRSchedulerBase):
    """A scheduler with a function of the epoch for each group.

    Functions are not in the state; of callable objects, their attributes are.
    """

    lr_lambdas: list[Function]
    transient: ClassVar = (*LRSchedulerBase.transient, "lr_lambdas")

    def __init__(self, optimizer: Optimizer, lr_lambda: Function | list[Function], last_epoch: int = -1) -> None:
        self.optimizer = optimizer
        count = len(optimizer.param_groups)
        self.lr_lambdas = [*lr_lambda] if isinstance(lr_lambda, list | tuple) else [lr_lambda] * count
        if len(self.lr_lambdas) != count:
            raise ValueError(f"Expected {count} lr_lambdas, one a parameter group, but got {len(self.lr_lambdas)}")
        for function in self.lr_lambdas:
            if not callable(function):
                raise TypeError(f"lr_lambda should be callable, but got {function!r}, a {type(function).__name__}")
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"lr_lambdas": [callable_state(function) for function in self.lr_lambdas]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        states = state_dict.get("lr_lambdas", ())
        for function, state in zip(self.lr_lambdas, states, strict=False):
            restore_callable(function, state)
        super().load_state_dict({name: value for name, value in state_dict.items() if name != "lr_lambdas"})

    def _admit_group(self, group: Group) -> None:
        # unless the user has appended the function of this one
        if len(self.lr_lambdas) == len(self.base_lrs):
            self.lr_lambdas = [*self.lr_lambdas, one_for_all("lr_lambda", self.lr_lambdas)]
        super()._admit_group(group)


def callable_state(function: Any) -> dict[str, Any] | None:
    """The attributes of a callable object; None for a function, and where there is none."""
    attributes = None if isinstance(function, FunctionType) else getattr(function, "__dict__", None)
    return None if attributes is None else dict(attributes)


def restore_callable(function: Any, state: dict[str, Any] | None) -> None:
    """Give a callable object the attributes that `callable_state` told."""
    if state:
        function.__dict__.update(deepcopy(state))
