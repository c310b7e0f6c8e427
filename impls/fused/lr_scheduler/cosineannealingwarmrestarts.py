"""CosineAnnealingWarmRestarts: rates fall along a cosine, and begin again at the top, in longer and longer cycles.

Ilya Loshchilov, Frank Hutter: SGDR: Stochastic Gradient Descent with Warm Restarts, 2016,
https://arxiv.org/abs/1608.03983, equation 5.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs
from __future__ import annotations

import math
from collections.abc import Sequence

from ...common.lr_scheduler.cosineannealingwarmrestarts import CosineAnnealingWarmRestartsBase
from ..lang import div, rule, sin, where
from .schedule import Schedule
from .scheduler import FusedScheduler


@rule
def rate(epoch, base, current, previous, T_cur, T_i, eta_min, half_pi):
    """One group: lr = eta_min + (base - eta_min) * (1 + cos(pi*T_cur/T_i))/2."""
    # (1 + cos(pi*t))/2 is the square of sin(pi/2*(1 - t)), which keeps its digits near 0
    root = sin(half_pi * div(T_i - T_cur, T_i))
    weight = root * root
    height = base - eta_min
    lr = where(weight < 0.5, eta_min + height * weight, base - height * (1.0 - weight))
    return lr


SCHEDULE = Schedule("cosineannealingwarmrestarts", rate, row=("T_cur", "T_i"), shared=("eta_min", "half_pi"))


class CosineAnnealingWarmRestarts(FusedScheduler, CosineAnnealingWarmRestartsBase):
    """Rates of all groups in one launch: lr = eta_min + (base - eta_min) * (1 + cos(pi*T_cur/T_i))/2.

    T_cur epochs are over of a cycle of T_i; the first has T_0, and each T_mult times as many as the one before.

    Args: those of torch.optim.lr_scheduler.CosineAnnealingWarmRestarts.

    Raises:
        ValueError: for a T_0 that is not a positive integer, a T_mult that is not an integer of at least 1, an eta_min
            that is not a number, or a negative epoch.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.5)
        >>> CosineAnnealingWarmRestarts(optimizer, T_0=10).get_last_lr()
        [0.5]

    Source: Loshchilov and Hutter, 2016, https://arxiv.org/abs/1608.03983.
    """

    schedule = SCHEDULE

    def shared(self) -> Sequence[float]:
        return float(self.eta_min), math.pi / 2

    def row(self, epoch: float) -> Sequence[float]:
        done, length = self._cycle(epoch)
        return float(done), float(length)

    def _within(self, T_cur: float, T_i: int) -> list[float]:
        return self.prepared()(0.0, (float(T_cur), float(T_i)))[0]

    def _cycle(self, epoch: float) -> tuple[float, int]:
        if self.T_mult == 1:
            return epoch % self.T_0, self.T_0
        start, length = 0, self.T_0
        # as many turns as there were cycles, which is a logarithm of the epoch
        while epoch >= start + length:
            start, length = start + length, length * self.T_mult
        return epoch - start, length
