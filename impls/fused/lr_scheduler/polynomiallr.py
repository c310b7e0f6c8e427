"""PolynomialLR: rates fall to zero as a power of the time that is left."""

# mypy: allow-untyped-defs, allow-incomplete-defs
from __future__ import annotations

import sys
from collections.abc import Sequence

from ...common.lr_scheduler.polynomiallr import PolynomialLRBase
from ..lang import div, power, rule, where
from .schedule import Schedule
from .scheduler import FusedScheduler


@rule
def rate(epoch, base, current, previous, total_iters, exponent):
    """One group: lr = base * (1 - min(epoch/total_iters, 1))^exponent."""
    left = where(epoch < total_iters, div(total_iters - epoch, total_iters), 0.0)
    last = epoch - 1.0
    before = where(last < total_iters, div(total_iters - last, total_iters), 0.0)
    before = where(epoch < 1.0, 1.0, before)
    curve = base * power(left, exponent)
    moved = where(before == 0.0, current, current * power(div(left, before), exponent))
    lr = where(current == previous, curve, moved)
    return lr


SCHEDULE = Schedule("polynomiallr", rate, shared=("total_iters", "exponent"))


class PolynomialLR(FusedScheduler, PolynomialLRBase):
    """Rates of all groups in one launch: lr = base * (1 - min(epoch/total_iters, 1))^power.

    Args: those of torch.optim.lr_scheduler.PolynomialLR.

    Raises:
        ValueError: for a negative power, whose last rate would be infinite.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.5)
        >>> PolynomialLR(optimizer, total_iters=4).get_last_lr()
        [0.5]

    Source: torch.optim.lr_scheduler.PolynomialLR.
    """

    schedule = SCHEDULE

    def shared(self) -> Sequence[float]:
        # of an end that never comes, the last number before it: all of the way is left then
        return min(float(self.total_iters), sys.float_info.max), float(self.power)
