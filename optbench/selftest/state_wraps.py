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


def counts_outside_its_state(cls: type[Any]) -> type[Any]:
    def step(self: Any, original: Any) -> Any:
        self._taken = getattr(self, "_taken", 0) + 1
        result = original()
        for state in self.state.values():
            state["step"].clamp_(max=self._taken)
        return result

    return _around_step(cls, step)


def state_dict_copied(cls: type[Any]) -> type[Any]:
    import copy

    class Faulty(cls):  # type: ignore[misc, valid-type]
        def state_dict(self) -> Any:
            return copy.deepcopy(super().state_dict())

    return Faulty


def rate_shared_with_its_checkpoint(cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        def load_state_dict(self, state_dict: Any) -> None:
            super().load_state_dict(state_dict)
            for group, given in zip(self.param_groups, state_dict["param_groups"], strict=True):
                group["lr"] = given["lr"]

    return Faulty
