"""What a step of an algorithm with kernels of its own goes over, and a fast test that it is still the same."""

from __future__ import annotations

from itertools import chain, repeat
from operator import attrgetter, is_not
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from . import watch

_address = torch._C.TensorBase.data_ptr
_grad = attrgetter("grad")


class Member(NamedTuple):
    """A parameter that has a gradient."""

    param: Tensor
    group: int
    state: dict[str, Any]


class Kept:
    """Members of a step and the places of their tensors.

    Keeps parameters and states alive, gradients not. As in `plan`, functions in C are mapped over lists.

    Attributes:
        params: of the members.
        grad_addresses: int64 [params], where the gradients are.
    """

    def __init__(self, optimizer: Optimizer, members: list[Member]) -> None:
        groups = [group["params"] for group in optimizer.param_groups]
        self._group_sizes = list(map(len, groups))
        self._same_params = watch.objects(chain.from_iterable(groups))
        self._idle = [param for param in chain.from_iterable(groups) if param.grad is None]
        self.params = [member.param for member in members]
        self._same_states = watch.objects(member.state for member in members)
        # Live views of the state dicts.
        self._live = [member.state.values() for member in members]
        held = list(chain.from_iterable(self._live))
        self._same_entries = watch.objects(held)
        self._same_memory = watch.memory(self.params, [value for value in held if isinstance(value, Tensor)])
        self.grad_addresses = np.array(list(map(_address, map(_grad, self.params))), dtype=np.int64)
        self._grads = watch.gradients(self.params, self.grad_addresses)

    def holds(self, optimizer: Optimizer) -> bool:
        """Whether all but options and the gradients' addresses is as it was; those are brought up to date."""
        groups = [group["params"] for group in optimizer.param_groups]
        return (
            list(map(len, groups)) == self._group_sizes
            and self._same_params(chain.from_iterable(groups))
            and not any(map(is_not, map(_grad, self._idle), repeat(None)))
            and self._same_states(map(optimizer.state.get, self.params))
            and self._same_entries(chain.from_iterable(self._live))
            and self._same_memory()
            and self._grads() is not None
        )
