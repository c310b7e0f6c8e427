"""Faults of what is computed: each takes an optimizer class and gives a faulty one.

torch is imported when a fault is planted, so that faults can be listed without it.
"""

from __future__ import annotations

from typing import Any

from .wraps import _around_step, _params, _without_gradient


def maximize_ignored_beside_amsgrad(cls: type[Any]) -> type[Any]:
    def step(self: Any, original: Any) -> Any:
        ignored = [group for group in self.param_groups if group["amsgrad"] and group["maximize"]]
        for group in ignored:
            group["maximize"] = False
        try:
            return original()
        finally:
            for group in ignored:
                group["maximize"] = True

    return _around_step(cls, step)


def average_never_read(cls: type[Any]) -> type[Any]:
    """The first moment is kept, but each step starts from none."""

    def step(self: Any, original: Any) -> Any:
        for state in self.state.values():
            state["exp_avg"].zero_()
        return original()

    return _around_step(cls, step)


def last_of_a_group_not_decayed(cls: type[Any]) -> type[Any]:
    import torch

    def step(self: Any, original: Any) -> Any:
        last = {group["params"][-1]: group["weight_decay"] for group in self.param_groups}
        held = {param: param.grad for param in last if param.grad is not None}
        with torch.no_grad():
            for param, grad in held.items():
                param.grad = grad - last[param] * param
        try:
            return original()
        finally:
            for param, grad in held.items():
                param.grad = grad

    return _around_step(cls, step)


def conjugate_bit_overlooked(cls: type[Any]) -> type[Any]:
    def step(self: Any, original: Any) -> Any:
        held = {param: param.grad for param in _params(self) if param.grad is not None and param.grad.is_conj()}
        for param, grad in held.items():
            param.grad = grad.conj()
        try:
            return original()
        finally:
            for param, grad in held.items():
                param.grad = grad

    return _around_step(cls, step)


def moment_from_fresh_memory(cls: type[Any]) -> type[Any]:
    import torch

    class Faulty(cls):  # type: ignore[misc, valid-type]
        def _init_state(self, param: Any, group: dict[str, Any]) -> dict[str, Any]:
            return {**super()._init_state(param, group), "exp_avg": torch.empty_like(param)}

    Faulty.__name__ = cls.__name__
    return Faulty


def tensors_with_nan_left_alone(cls: type[Any]) -> type[Any]:
    def step(self: Any, original: Any) -> Any:
        hurt = [param for param in _params(self) if param.grad is not None and bool(param.grad.isnan().any())]
        with _without_gradient(hurt):
            return original()

    return _around_step(cls, step)


def denormals_flushed(cls: type[Any]) -> type[Any]:
    import torch

    def step(self: Any, original: Any) -> Any:
        torch.set_flush_denormal(True)
        try:
            return original()
        finally:
            torch.set_flush_denormal(False)

    return _around_step(cls, step)


def decay_factor_in_float32(cls: type[Any]) -> type[Any]:
    import torch

    def step(self: Any, original: Any) -> Any:
        with torch.no_grad():
            for group in self.param_groups:
                factor = 1 - float(group["lr"]) * group["weight_decay"]
                for param in group["params"]:
                    if param.grad is not None:
                        param.mul_(float(torch.tensor(factor, dtype=torch.float32)) / factor)
        return original()

    return _around_step(cls, step)


def scalars_in_the_default_dtype(cls: type[Any]) -> type[Any]:
    import torch

    class Faulty(cls):  # type: ignore[misc, valid-type]
        def _scalar(self, param: Any, group: dict[str, Any], value: float) -> Any:
            return super()._scalar(param, group, value).to(torch.get_default_dtype())

    Faulty.__name__ = cls.__name__
    return Faulty


def uphill_in_the_end(cls: type[Any]) -> type[Any]:
    def step(self: Any, original: Any) -> Any:
        self._taken = getattr(self, "_taken", 0) + 1
        for group in self.param_groups:
            group["maximize"] ^= self._taken > 60
        try:
            return original()
        finally:
            for group in self.param_groups:
                group["maximize"] ^= self._taken > 60

    return _around_step(cls, step)
