"""Faults of what torch.optim promises around the step: errors, hooks, parameters, gradients."""

from __future__ import annotations

from typing import Any

from ..fault import Fault
from .around import in_place_of_step, params_of


def zeroed_anew(cls: type[Any]) -> type[Any]:
    import torch

    class Faulty(cls):  # type: ignore[misc, valid-type]
        def zero_grad(self, set_to_none: bool = True) -> None:
            super().zero_grad(set_to_none)
            for param in params_of(self):
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
                for param in params_of(self):
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

    return in_place_of_step(cls, step)


def answer_of_a_hook_ignored(cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        def state_dict(self) -> Any:
            saved = super().state_dict()
            return {name: saved[name] for name in ("state", "param_groups")}

    return Faulty


def rate_read_before_the_closure(cls: type[Any]) -> type[Any]:
    def step(self: Any, original: Any, closure: Any) -> Any:
        import torch

        rates = [group["lr"] for group in self.param_groups]
        with torch.enable_grad():
            loss = closure() if closure else None
        set_meanwhile = [group["lr"] for group in self.param_groups]
        for group, rate in zip(self.param_groups, rates, strict=True):
            group["lr"] = rate
        original()
        for group, rate in zip(self.param_groups, set_meanwhile, strict=True):
            group["lr"] = rate
        return loss

    return in_place_of_step(cls, step)


FAULTS: tuple[Fault, ...] = (
    Fault(
        "adam-negative-lr-accepted",
        "an illegal lr is accepted",
        "adam", "reference", "opt.errors", "ValueError",
        patches=(('"learning rate": lr, ', ""),),
    ),
    Fault(
        "adam-zeroed-anew",
        "zero_grad puts new zeros where the gradient was",
        "adam", "foreach", "opt.zero_grad", "is the object that it was",
        wrap=zeroed_anew,
    ),
    Fault(
        "sgd-zeroed-with-its-graph",
        "a gradient that was set to zero still holds the graph that made it",
        "sgd", "reference", "opt.zero_grad", "holds no graph",
        wrap=zeroed_with_its_graph,
    ),
    Fault(
        "sgd-parameters-counted-first",
        "a generator of parameters is used up before they are taken",
        "sgd", "reference", "opt.params", "empty parameter list",
        wrap=parameters_counted_first,
    ),
    Fault(
        "adam-set-of-parameters",
        "a set of parameters is taken, in whatever order it has",
        "adam", "foreach", "opt.params", "a set is refused",
        shipped_in="torch 2.13",
        wrap=sets_put_in_a_list,
    ),
    Fault(
        "adam-closure-without-gradients",
        "the closure is called without autograd",
        "adam", "foreach", "opt.hooks", "gradients are enabled in the closure",
        wrap=closure_without_gradients,
    ),
    Fault(
        "sgd-answer-of-a-hook-ignored",
        "what a hook of state_dict returns is not what the caller gets",
        "sgd", "reference", "opt.hooks", "hooks of state_dict put in",
        wrap=answer_of_a_hook_ignored,
    ),
    Fault(
        "sgd-first-momentum-detached",
        "with differentiable=True the first momentum buffer has no past",
        "sgd", "reference", "opt.differentiable", "derivative by gradients",
        shipped_in="torch 2.13",
        patches=(("momentum_buffer.copy_(grad)", "momentum_buffer.copy_(grad.detach())"),),
    ),
    Fault(
        "sgd-rate-read-before-the-closure",
        "the rate is read before the closure, which may set it",
        "sgd", "foreach", "opt.hooks", "stepped by a closure that sets the rate",
        wrap=rate_read_before_the_closure,
    ),
)  # fmt: skip
