"""What planted faults are made with: a class is taken, and a faulty one given.

torch is imported when a fault is planted, so that faults can be listed without it.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any


def params_of(optimizer: Any) -> Iterator[Any]:
    for group in optimizer.param_groups:
        yield from group["params"]


@contextmanager
def with_gradients(grads: Mapping[Any, Any]) -> Iterator[None]:
    """These parameters have other gradients for the moment, or None."""
    held = [param.grad for param in grads]
    for param, grad in grads.items():
        param.grad = grad
    try:
        yield
    finally:
        for param, grad in zip(grads, held, strict=True):
            param.grad = grad


def without_gradient(params: list[Any]) -> AbstractContextManager[None]:
    """These parameters have no gradient for the moment."""
    return with_gradients(dict.fromkeys(params))


def in_place_of_step(cls: type[Any], step: Any) -> type[Any]:
    """A subclass whose step is `step(optimizer, original step, closure)`."""

    class Faulty(cls):  # type: ignore[misc, valid-type]
        def step(self, closure: Any = None) -> Any:
            # torch.optim.Optimizer has put a call of the hooks around a class's step once it has made one of them.
            return step(self, partial(inspect.unwrap(cls.step), self), closure)

    Faulty.__name__ = cls.__name__
    return Faulty


def around_step(cls: type[Any], step: Any) -> type[Any]:
    """A subclass whose step is `step(optimizer, original step)`; the closure is handed on."""
    return in_place_of_step(cls, lambda self, original, closure: step(self, partial(original, closure)))


def old_memory(optimizer: Any, original: Any) -> Any:
    """After `p.data = ...` the memory that was there before is updated."""
    known = optimizer.__dict__.setdefault("_known_memory", {})
    fresh = {}
    for param in params_of(optimizer):
        old = known.setdefault(param, param.detach())
        if old.data_ptr() != param.data_ptr():
            fresh[param] = param.detach()
            param.data = old
    try:
        return original()
    finally:
        for param, values in fresh.items():
            param.data = values


def around_update(cls: type[Any], update: Any) -> type[Any]:
    """A subclass whose update is `update(averager, model, original update)`."""

    class Faulty(cls):  # type: ignore[misc, valid-type]
        def update_parameters(self, model: Any) -> None:
            update(self, model, super().update_parameters)

    Faulty.__name__ = cls.__name__
    return Faulty
