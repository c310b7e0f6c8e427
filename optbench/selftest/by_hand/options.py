"""Faults of what options and groups make of a step."""

from __future__ import annotations

from typing import Any

from ..fault import Fault
from .around import around_step, in_place_of_step, with_gradients


def decay_once_per_dtype(cls: type[Any]) -> type[Any]:
    import torch

    def step(self: Any, original: Any) -> Any:
        with torch.no_grad():
            for group in self.param_groups:
                extra = len({param.dtype for param in group["params"]}) - 1
                for param in group["params"] if extra else ():
                    param.mul_((1 - float(group["lr"]) * group["weight_decay"]) ** extra)
        return original()

    return around_step(cls, step)


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

    return around_step(cls, step)


def average_never_read(cls: type[Any]) -> type[Any]:
    """The first moment is kept, but each step starts from none."""

    def step(self: Any, original: Any) -> Any:
        for state in self.state.values():
            state["exp_avg"].zero_()
        return original()

    return around_step(cls, step)


def last_of_a_group_not_decayed(cls: type[Any]) -> type[Any]:
    import torch

    def step(self: Any, original: Any) -> Any:
        last = {group["params"][-1]: group["weight_decay"] for group in self.param_groups}
        with torch.no_grad():
            given = {param: param.grad - decay * param for param, decay in last.items() if param.grad is not None}
        with with_gradients(given):
            return original()

    return around_step(cls, step)


def rate_read_once(cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        def __init__(self, params: Any, lr: Any = 1e-3, **options: Any) -> None:
            super().__init__(params, lr=float(lr), **options)

    return Faulty


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

    return in_place_of_step(cls, step)


def decay_by_the_initial_rate(cls: type[Any]) -> type[Any]:
    def step(self: Any, original: Any) -> Any:
        held = [(group, group["weight_decay"]) for group in self.param_groups]
        for group, weight_decay in held:
            if "initial_lr" in group and float(group["lr"]):
                group["weight_decay"] = weight_decay * float(group["initial_lr"]) / float(group["lr"])
        try:
            return original()
        finally:
            for group, weight_decay in held:
                group["weight_decay"] = weight_decay

    return around_step(cls, step)


FAULTS: tuple[Fault, ...] = (
    Fault(
        "adamw-decay-once-per-bucket",
        "each dtype's bucket shrinks every parameter of the group",
        "adamw", "foreach", "opt.groups", "beside other dtypes",
        shipped_in="timm#2750",
        wrap=decay_once_per_dtype,
    ),
    Fault(
        "sgd-first-groups-options",
        "every group uses the first group's options",
        "sgd", "reference", "opt.groups", "group with",
        patches=(("{name: group[name] for name in (", "{name: self.param_groups[0][name] for name in ("),),
    ),
    Fault(
        "adam-maximize-ignored-beside-amsgrad",
        "maximize does nothing where amsgrad is set",
        "adam", "foreach", "opt.knobs_alive", "maximize = True",
        wrap=maximize_ignored_beside_amsgrad,
    ),
    Fault(
        "adam-average-never-read",
        "the first moment is kept, but every step starts from none",
        "adam", "fused", "opt.knobs_alive", "exp_avg in the state",
        wrap=average_never_read,
    ),
    Fault(
        "sgd-last-of-a-group-not-decayed",
        "weight decay leaves the last parameter of a group out",
        "sgd", "foreach", "opt.partition", "parameter",
        wrap=last_of_a_group_not_decayed,
    ),
    Fault(
        "sgd-rate-read-once",
        "a tensor lr is read when the optimizer is made",
        "sgd", "foreach", "opt.tensor_lr", "the group holds the tensor",
        wrap=rate_read_once,
    ),
    Fault(
        "adam-kernel-for-each-rate",
        "a kernel is compiled for every value of lr",
        "adam", "fused", "opt.tensor_lr", "compilers called in step",
        wrap=kernel_for_each_rate,
    ),
    Fault(
        "adamw-decay-by-the-initial-rate",
        "once a scheduler is there, decay goes by the rate that it began with",
        "adamw", "foreach", "opt.groups", "parameter",
        wrap=decay_by_the_initial_rate,
    ),
)  # fmt: skip
