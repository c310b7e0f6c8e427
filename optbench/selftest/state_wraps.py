"""Faults of what an optimizer keeps, counts and shares: each takes an optimizer class and gives a faulty one.

torch is imported when a fault is planted, so that faults can be listed without it.
"""

from __future__ import annotations

from typing import Any

from .wraps import _around_step, _params


def overflow_ignored_after_unscale(cls: type[Any]) -> type[Any]:
    import torch

    def step(self: Any, original: Any) -> Any:
        if getattr(self, "grad_scale", 1.0) is None:
            self.found_inf = torch.zeros_like(self.found_inf)
        return original()

    return _around_step(cls, step)


def momentum_of_a_skipped_step(cls: type[Any]) -> type[Any]:
    import torch

    def step(self: Any, original: Any) -> Any:
        result = original()
        for param in _params(self) if getattr(self, "found_inf", False) else ():
            self.state[param].setdefault("momentum_buffer", torch.zeros_like(param))
        return result

    return _around_step(cls, step)


def unscaled_into_grad(cls: type[Any]) -> type[Any]:
    def step(self: Any, original: Any) -> Any:
        result = original()
        scale = getattr(self, "grad_scale", None)
        for param in _params(self) if scale is not None else ():
            if param.grad is not None:
                param.grad.div_(scale)
        return result

    return _around_step(cls, step)
