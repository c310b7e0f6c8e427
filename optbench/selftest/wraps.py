"""Faults that are a few lines around a class: each takes an optimizer class and gives a faulty one.

torch is imported when a fault is planted, so that faults can be listed without it.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any


def _params(optimizer: Any) -> Iterator[Any]:
    for group in optimizer.param_groups:
        yield from group["params"]


@contextmanager
def _without_gradient(params: list[Any]) -> Iterator[None]:
    """These parameters have no gradient for the moment."""
    held = [param.grad for param in params]
    for param in params:
        param.grad = None
    try:
        yield
    finally:
        for param, grad in zip(params, held, strict=True):
            param.grad = grad


def _in_place_of_step(cls: type[Any], step: Any) -> type[Any]:
    """A subclass whose step is `step(optimizer, original step, closure)`."""

    class Faulty(cls):  # type: ignore[misc, valid-type]
        def step(self, closure: Any = None) -> Any:
            # torch.optim.Optimizer has put a call of the hooks around a class's step once it has made one of them.
            return step(self, partial(inspect.unwrap(cls.step), self), closure)

    Faulty.__name__ = cls.__name__
    return Faulty


def _around_step(cls: type[Any], step: Any) -> type[Any]:
    """A subclass whose step is `step(optimizer, original step)`; the closure is handed on."""
    return _in_place_of_step(cls, lambda self, original, closure: step(self, partial(original, closure)))


def first_step_per_optimizer(cls: type[Any]) -> type[Any]:
    import torch

    def step(self: Any, original: Any) -> Any:
        if getattr(self, "_begun", False):
            for param in _params(self):
                if param.grad is not None and "momentum_buffer" not in self.state[param]:
                    self.state[param]["momentum_buffer"] = torch.zeros_like(param)
        self._begun = True
        return original()

    return _around_step(cls, step)


def decay_without_lr(cls: type[Any]) -> type[Any]:
    import torch

    def step(self: Any, original: Any) -> Any:
        with torch.no_grad():
            for group in self.param_groups:
                for param in group["params"]:
                    if param.grad is not None:
                        param.mul_((1 - group["weight_decay"]) / (1 - float(group["lr"]) * group["weight_decay"]))
        return original()

    return _around_step(cls, step)


def decay_once_per_dtype(cls: type[Any]) -> type[Any]:
    import torch

    def step(self: Any, original: Any) -> Any:
        with torch.no_grad():
            for group in self.param_groups:
                extra = len({param.dtype for param in group["params"]}) - 1
                for param in group["params"] if extra else ():
                    param.mul_((1 - float(group["lr"]) * group["weight_decay"]) ** extra)
        return original()

    return _around_step(cls, step)


def zero_element_tail_stops(cls: type[Any]) -> type[Any]:
    def step(self: Any, original: Any) -> Any:
        params = list(_params(self))
        if params[-1].numel():
            return original()
        with _without_gradient(params):
            return original()

    return _around_step(cls, step)


def pairs_by_memory_order(cls: type[Any]) -> type[Any]:
    def step(self: Any, original: Any) -> Any:
        held = {}
        for param in _params(self):
            grad = param.grad
            dense = grad is not None and grad.numel() == grad.untyped_storage().nbytes() // grad.element_size()
            if dense and grad.stride() != param.stride() and param.numel() == grad.numel():
                held[param] = grad
                param.grad = grad.as_strided(param.shape, param.stride())
        try:
            return original()
        finally:
            for param, grad in held.items():
                param.grad = grad

    return _around_step(cls, step)


def sixteen_bit_not_updated(cls: type[Any]) -> type[Any]:
    def step(self: Any, original: Any) -> Any:
        skipped = [param for param in _params(self) if param.element_size() == 2 and param.numel() >= 16]
        with _without_gradient(skipped):
            return original()

    return _around_step(cls, step)


def complex_square(cls: type[Any]) -> type[Any]:
    import torch

    def step(self: Any, original: Any) -> Any:
        before = {
            param: self.state[param]["exp_avg_sq"].clone() if self.state.get(param) else torch.zeros_like(param)
            for param in _params(self)
            if param.is_complex() and param.grad is not None
        }
        result = original()
        for param, old in before.items():
            beta2 = self.param_groups[0]["betas"][1]
            self.state[param]["exp_avg_sq"].copy_(beta2 * old + (1 - beta2) * param.grad * param.grad)
        return result

    return _around_step(cls, step)


def load_shares_storage(cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        def load_state_dict(self, state_dict: Any) -> None:
            super().load_state_dict(state_dict)
            for i, param in enumerate(_params(self)):
                if i in state_dict["state"]:
                    self.state[param].update(state_dict["state"][i])

    return Faulty


def old_memory(optimizer: Any, original: Any) -> Any:
    """After `p.data = ...` the memory that was there before is updated."""
    known = optimizer.__dict__.setdefault("_known_memory", {})
    fresh = {}
    for param in _params(optimizer):
        old = known.setdefault(param, param.detach())
        if old.data_ptr() != param.data_ptr():
            fresh[param] = param.detach()
            param.data = old
    try:
        return original()
    finally:
        for param, values in fresh.items():
            param.data = values


def stale_pointer(cls: type[Any]) -> type[Any]:
    return _around_step(cls, old_memory)


def counter_saturates(cls: type[Any]) -> type[Any]:
    def step(self: Any, original: Any) -> Any:
        result = original()
        for state in self.state.values():
            state["step"].clamp_(max=16)
        return result

    return _around_step(cls, step)


def tuned_on_live_buffers(cls: type[Any]) -> type[Any]:
    def step(self: Any, original: Any) -> Any:
        for _ in range(0 if getattr(self, "_tuned", False) else 2):
            original()
        self._tuned = True
        return original()

    return _around_step(cls, step)


def tail_skipped(cls: type[Any]) -> type[Any]:
    import torch

    def step(self: Any, original: Any) -> Any:
        kept = {
            param: param.detach().reshape(-1)[param.numel() // 16 * 16 :].clone()
            for param in _params(self)
            if param.grad is not None and param.numel() > 16 and param.is_contiguous()
        }
        result = original()
        with torch.no_grad():
            for param, tail in kept.items():
                param.view(-1)[param.numel() // 16 * 16 :] = tail
        return result

    return _around_step(cls, step)


def last_block_lost(cls: type[Any]) -> type[Any]:
    import importlib

    import numpy as np

    from optbench import registry

    def step(self: Any, original: Any) -> Any:
        triton_backend: Any = importlib.import_module(f"{registry.IMPLEMENTATIONS['fused'].module}.triton_backend")
        whole = triton_backend._block_map

        def lost(numel: Any, chosen: Any, block: int) -> Any:
            full = np.where(numel > block, numel // block * block, numel)
            return whole(full, chosen, block)

        triton_backend._block_map = lost
        try:
            return original()
        finally:
            triton_backend._block_map = whole

    return _around_step(cls, step)


def state_without_gradient(cls: type[Any]) -> type[Any]:
    import torch

    def step(self: Any, original: Any) -> Any:
        result = original()
        for param in _params(self):
            if param not in self.state:
                self.state[param]["seen"] = torch.tensor(0.0)
        return result

    return _around_step(cls, step)


def version_not_raised(cls: type[Any]) -> type[Any]:
    import torch

    def step(self: Any, original: Any) -> Any:
        params = tuple(_params(self))
        versions = tuple(param._version for param in params)
        result = original()
        torch._C._autograd._unsafe_set_version_counter(params, versions)
        return result

    return _around_step(cls, step)


def state_renamed(cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        def state_dict(self) -> Any:
            saved = super().state_dict()
            saved["state"] = {
                i: {("m" if name == "exp_avg" else name): value for name, value in state.items()}
                for i, state in saved["state"].items()
            }
            return saved

    return Faulty
