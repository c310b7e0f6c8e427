"""Faults of what users hand over and get back: each takes an optimizer class and gives a faulty one.

torch is imported when a fault is planted, so that faults can be listed without it.
"""

from __future__ import annotations

from typing import Any

from .wraps import _in_place_of_step, _params


def zeroed_anew(cls: type[Any]) -> type[Any]:
    import torch

    class Faulty(cls):  # type: ignore[misc, valid-type]
        def zero_grad(self, set_to_none: bool = True) -> None:
            super().zero_grad(set_to_none)
            for param in _params(self):
                param.grad = None if param.grad is None else torch.zeros_like(param.grad)

    return Faulty


def zeroed_with_its_graph(cls: type[Any]) -> type[Any]:
    import torch

    class Faulty(cls):  # type: ignore[misc, valid-type]
        def zero_grad(self, set_to_none: bool = True) -> None:
            if set_to_none:
                super().zero_grad()
                return
            with torch.no_grad():
                for param in _params(self):
                    if param.grad is not None:
                        param.grad.zero_()

    return Faulty


def parameters_counted_first(cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        def __init__(self, params: Any, *arguments: Any, **options: Any) -> None:
            if not hasattr(params, "__len__"):
                self.count = sum(1 for _ in params)
            super().__init__(params, *arguments, **options)

    return Faulty


def sets_put_in_a_list(cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        def __init__(self, params: Any, *arguments: Any, **options: Any) -> None:
            super().__init__(list(params) if isinstance(params, set) else params, *arguments, **options)

    return Faulty


def closure_without_gradients(cls: type[Any]) -> type[Any]:
    import torch

    def step(self: Any, original: Any, closure: Any) -> Any:
        return original(torch.no_grad()(closure)) if closure else original()

    return _in_place_of_step(cls, step)


def answer_of_a_hook_ignored(cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        def state_dict(self) -> Any:
            saved = super().state_dict()
            return {name: saved[name] for name in ("state", "param_groups")}

    return Faulty


def first_of_two_rows(cls: type[Any]) -> type[Any]:
    import torch

    def step(self: Any, original: Any, closure: Any) -> Any:
        held = {param: param.grad for param in _params(self) if param.grad is not None and param.grad.is_sparse}
        for param, grad in held.items():
            dense = torch.zeros(grad.shape, dtype=grad.dtype).index_put(grad._indices().unbind(), grad._values())
            places = grad.coalesce().indices()
            param.grad = torch.sparse_coo_tensor(places, dense[tuple(places)], grad.shape, is_coalesced=True)
        try:
            return original()
        finally:
            for param, grad in held.items():
                param.grad = grad

    return _in_place_of_step(cls, step)


def newer_option_missed(cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        pass

    Faulty.absent_options = {name: value for name, value in cls.absent_options.items() if name != "amsgrad"}
    return Faulty


def absence_stands_for_the_readers_option(cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        def __setstate__(self, state: Any) -> None:
            for group in state["param_groups"]:
                for name, value in getattr(self, "defaults", {}).items():
                    group.setdefault(name, value)
            super().__setstate__(state)

    return Faulty


def rate_read_once(cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        def __init__(self, params: Any, lr: Any = 1e-3, **options: Any) -> None:
            super().__init__(params, lr=float(lr), **options)

    return Faulty


def step_length_is_the_rate(cls: type[Any]) -> type[Any]:
    import torch

    def step(self: Any, original: Any, closure: Any) -> Any:
        result = original(closure)
        lr = self.param_groups[0]["lr"]
        for state in self.state.values():
            if isinstance(lr, torch.Tensor) and state.get("t") == lr:
                state["t"] = lr
        return result

    return _in_place_of_step(cls, step)


def kernel_for_each_rate(cls: type[Any]) -> type[Any]:
    from numba import njit

    known: dict[float, Any] = {}

    def step(self: Any, original: Any, closure: Any) -> Any:
        for group in self.param_groups:
            rate = float(group["lr"])
            if rate not in known:
                known[rate] = njit(lambda grad, rate=rate: -rate * grad)
            known[rate](1.0)
        return original(closure)

    return _in_place_of_step(cls, step)
