"""CyclicLR: rates, and momentum against them, go up and down between two values.

Leslie N. Smith: Cyclical Learning Rates for Training Neural Networks, 2015, https://arxiv.org/abs/1506.01186.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...common.lr_scheduler.cycliclr import CyclicLRBase
from ..lang import div, floor, power, rule, where
from .schedule import Schedule
from .scheduler import FusedScheduler, cycled


@rule
def rate(
    epoch, base, current, previous, custom, highest, lowest_momentum, highest_momentum, total_size, step_ratio, policy,
    by_cycle,
):  # fmt: skip
    """One group: lr = base + (highest - base) * height, where the height goes from 0 to 1 and back.

    The height of each cycle, or epoch, is scaled by `custom` and by a power of `policy`.
    """
    cycle = floor(div(epoch, total_size))
    part = div(epoch - cycle * total_size, total_size)
    height = where(part <= step_ratio, div(part, step_ratio), div(1.0 - part, 1.0 - step_ratio))
    height = height * custom * power(policy, where(by_cycle > 0.0, cycle, epoch))
    lr = base + (highest - base) * height
    momentum = highest_momentum - (highest_momentum - lowest_momentum) * height
    return lr, momentum


SCHEDULE = Schedule(
    "cycliclr",
    rate,
    row=("custom",),
    columns=("highest", "lowest_momentum", "highest_momentum"),
    shared=("total_size", "step_ratio", "policy", "by_cycle"),
    results=("lr", "momentum"),
)


class CyclicLR(FusedScheduler, CyclicLRBase):
    """Rates and momenta of all groups in one launch: lr = base_lr + (max_lr - base_lr) * height * scale.

    The height rises from 0 to 1 in step_size_up epochs, and falls to 0 in step_size_down. The scale is 1
    ("triangular"), halved in every cycle ("triangular2"), gamma^epoch ("exp_range"), or scale_fn's. Momentum, or beta1,
    goes down where rates go up.

    Args: those of torch.optim.lr_scheduler.CyclicLR.

    Raises:
        TypeError: for an optimizer that is none.
        ValueError: for a list of another length than the groups, a step_size_up that is not positive, a negative
            step_size_down, an unknown mode, or an optimizer without momentum while that is to be cycled.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.5, momentum=0.9)
        >>> CyclicLR(optimizer, base_lr=0.25, max_lr=1.0).get_last_lr()
        [0.25]

    Source: Smith, 2015, https://arxiv.org/abs/1506.01186.
    """

    schedule = SCHEDULE

    def shared(self) -> Sequence[float]:
        policy = {"triangular2": 0.5, "exp_range": float(self.gamma)}.get(self.mode, 1.0)
        if self._scale_fn_custom is not None:
            policy = 1.0
        return float(self.total_size), float(self.step_ratio), policy, float(self.mode == "triangular2")

    def columns(self) -> Sequence[Sequence[Any]]:
        if not self.cycle_momentum:
            return (self.max_lrs,)
        return self.max_lrs, self.base_momentums, self.max_momentums

    @property
    def varies(self) -> bool:  # type: ignore[override]
        return self._scale_fn_custom is not None

    def row(self, epoch: float) -> Sequence[float]:
        if self._scale_fn_custom is None:
            return (1.0,)
        cycle = epoch // self.total_size + 1
        return (float(self._scale_fn_custom(cycle if self.scale_mode == "cycle" else epoch)),)

    def momenta(self) -> list[Any]:
        return cycled(self)

    def _momenta(self, epoch: float) -> list[float]:
        return self.results(epoch)[1]

    def _policy(self, x: float) -> float:
        if self.mode == "triangular2":
            return float(0.5 ** (x - 1.0))
        return float(self.gamma**x) if self.mode == "exp_range" else 1.0
