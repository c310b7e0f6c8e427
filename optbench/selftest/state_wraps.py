"""Faults of what an optimizer keeps, counts and shares: each takes an optimizer class and gives a faulty one.

torch is imported when a fault is planted, so that faults can be listed without it.
"""

from __future__ import annotations

from typing import Any

from .wraps import _around_step, _params, _without_gradient


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


def end_of_a_part_skipped(cls: type[Any]) -> type[Any]:
    import torch

    def step(self: Any, original: Any) -> Any:
        parts = torch.get_num_threads()
        shared = [param for param in _params(self) if parts > 1 and param.numel() > 1 << 15]
        ends = [torch.arange(1, parts) * (param.numel() // parts) - 1 for param in shared]
        kept = [param.detach().view(-1)[end] for param, end in zip(shared, ends, strict=True)]
        result = original()
        with torch.no_grad():
            for param, end, values in zip(shared, ends, kept, strict=True):
                param.view(-1)[end] = values
        return result

    return _around_step(cls, step)


def memory_of_all_optimizers(cls: type[Any]) -> type[Any]:
    import time

    place: list[Any] = []

    def step(self: Any, original: Any) -> Any:
        params = [param for param in _params(self) if param.grad is not None]
        place[:] = [param.grad.clone() for param in params]
        # As long as it takes another thread to come here.
        time.sleep(0.02)
        for param, grad in zip(params, place, strict=True):
            param.grad = grad
        return original()

    return _around_step(cls, step)


def thread_of_its_own(cls: type[Any]) -> type[Any]:
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(1)

    def step(self: Any, original: Any) -> Any:
        return pool.submit(original).result(timeout=1.0)

    return _around_step(cls, step)


def launch_for_each_tensor(cls: type[Any]) -> type[Any]:
    def step(self: Any, original: Any) -> Any:
        params = list(_params(self))
        for param in params:
            with _without_gradient([other for other in params if other is not param]):
                original()

    return _around_step(cls, step)


def loop_called_foreach(cls: type[Any]) -> type[Any]:
    from optbench import registry

    loop: Any = registry.find("reference").load(cls.__name__)

    # The loop's own class must keep its name.
    class Faulty(loop):  # type: ignore[misc, valid-type]
        pass

    return Faulty


def scratch_of_all_parameters(cls: type[Any]) -> type[Any]:
    def step(self: Any, original: Any) -> Any:
        held = [param.detach().numpy().copy() for param in _params(self)]
        result = original()
        del held
        return result

    return _around_step(cls, step)


def last_gradient_kept(cls: type[Any]) -> type[Any]:
    def step(self: Any, original: Any) -> Any:
        result = original()
        for param in _params(self):
            if param.grad is not None:
                self.state[param]["last_grad"] = param.grad.clone()
        return result

    return _around_step(cls, step)


def old_parameters_never_freed(cls: type[Any]) -> type[Any]:
    def step(self: Any, original: Any) -> Any:
        self.__dict__.setdefault("_old", []).append([param.detach().clone() for param in _params(self)])
        return original()

    return _around_step(cls, step)
