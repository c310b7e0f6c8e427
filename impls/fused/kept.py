"""What a step of an algorithm with kernels of its own goes over, and a fast test that it is still the same."""

from __future__ import annotations

from itertools import chain, repeat
from operator import attrgetter, is_, is_not
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer

from .layout import layout_guard
from .watch import watch

_address = torch._C.TensorBase.data_ptr
_grad = attrgetter("grad")
_END = object()


class Member(NamedTuple):
    """A parameter that has a gradient."""

    param: Tensor
    group: int
    state: dict[str, Any]


class Kept:
    """Members of a step and the places of their tensors.

    Keeps parameters and states alive, gradients not. As in `plan`, functions in C are mapped over lists.
    """

    def __init__(self, optimizer: Optimizer, members: list[Member]) -> None:
        groups = [group["params"] for group in optimizer.param_groups]
        self._group_sizes = list(map(len, groups))
        self._all_params = list(chain.from_iterable(groups))
        self._idle = [param for param in self._all_params if param.grad is None]
        self.params = [member.param for member in members]
        self._states = [member.state for member in members]
        # Live views of the state dicts, and what they held.
        self._live = [*(state.values() for state in self._states), (_END,)]
        self._held = list(chain.from_iterable(self._live))
        self._guard = layout_guard(list(map(_grad, self.params)))
        self._watch = watch(self.params, [value for value in self._held if isinstance(value, Tensor)])

    def holds(self, optimizer: Optimizer) -> bool:
        """Whether all but options and the gradients' addresses is as it was."""
        groups = [group["params"] for group in optimizer.param_groups]
        grads = list(map(_grad, self.params))
        return (
            list(map(len, groups)) == self._group_sizes
            and all(map(is_, chain.from_iterable(groups), self._all_params))
            and not any(map(is_not, map(_grad, self._idle), repeat(None)))
            and not any(map(is_, grads, repeat(None)))
            and all(map(is_, map(optimizer.state.get, self.params), self._states))
            and all(map(is_, chain.from_iterable(self._live), self._held))
            and self._guard(grads)
            and self._watch()
        )

    def grad_addresses(self) -> list[int]:
        """Where the gradients are now."""
        return list(map(_address, map(_grad, self.params)))
