"""CosineAnnealingLR: rates swing between two values along a cosine.

Ilya Loshchilov, Frank Hutter: SGDR: Stochastic Gradient Descent with Warm Restarts, 2016,
https://arxiv.org/abs/1608.03983, equation 5, without the restarts.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs
from __future__ import annotations

import math
import sys
from collections.abc import Sequence

from ...common.lr_scheduler.cosineannealinglr import CosineAnnealingLRBase
from ..lang import div, floor, rule, sin, where
from .schedule import Schedule
from .scheduler import FusedScheduler


@rule
def rate(epoch, base, current, previous, T_max, eta_min, half_pi):
    """One group: lr = eta_min + (base - eta_min) * (1 + cos(pi*epoch/T_max))/2."""
    period = T_max + T_max
    # (1 + cos(pi*t))/2 is the square of sin(pi/2*(1 - t)), which keeps its digits near 0
    turned = epoch - period * floor(div(epoch, period))
    root = sin(half_pi * div(T_max - turned, T_max))
    weight = root * root
    last = epoch - 1.0
    turned = last - period * floor(div(last, period))
    root = sin(half_pi * div(T_max - turned, T_max))
    before = root * root
    height = base - eta_min
    curve = where(weight < 0.5, eta_min + height * weight, base - height * (1.0 - weight))
    # from the lowest point, all rates rise alike
    moved = where(before == 0.0, current + height * weight, eta_min + (current - eta_min) * div(weight, before))
    moved = where(epoch < 1.0, current, moved)
    lr = where(current == previous, curve, moved)
    return lr


SCHEDULE = Schedule("cosineannealinglr", rate, shared=("T_max", "eta_min", "half_pi"))


class CosineAnnealingLR(FusedScheduler, CosineAnnealingLRBase):
    """Rates of all groups in one launch: lr = eta_min + (base - eta_min) * (1 + cos(pi*epoch/T_max))/2.

    Args: those of torch.optim.lr_scheduler.CosineAnnealingLR.

    Raises:
        ValueError: for a T_max that is not positive.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.5)
        >>> CosineAnnealingLR(optimizer, T_max=10).get_last_lr()
        [0.5]

    Source: Loshchilov and Hutter, 2016, https://arxiv.org/abs/1608.03983.
    """

    schedule = SCHEDULE

    def shared(self) -> Sequence[float]:
        # of a way without an end, one whose double is still a number: all of it is left then
        return min(float(self.T_max), sys.float_info.max / 4), float(self.eta_min), math.pi / 2
