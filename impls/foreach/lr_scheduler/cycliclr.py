"""CyclicLR, all groups at once: rates go up and down between two bounds.

Paper: Leslie N. Smith, "Cyclical Learning Rates for Training Neural Networks", 2017, https://arxiv.org/abs/1506.01186,
section 3.
"""

import math

import numpy as np

from ...common.lr_scheduler.cycliclr import CyclicLRBase
from .base import LRScheduler, Vector, power


class CyclicLR(CyclicLRBase, LRScheduler):
    """Rates that go up from base_lr to max_lr and down again, along lines; momentum goes the other way.

        x(t) = the share of the way up that is gone, or of the way down that is left
        rate(t) = base_lr + (max_lr - base_lr) * x(t) * scale

    The scale of the amplitude is 1 ("triangular"), 2**(1 - cycle) ("triangular2"), gamma**t ("exp_range"), or scale_fn
    of the cycle, counted from 1, or of t, as scale_mode says.

    Args:
        optimizer: whose groups' rates are set.
        base_lr, max_lr: the bounds, for all groups or one each.
        step_size_up, step_size_down: steps up, and down; the latter as many if None.
        mode: "triangular", "triangular2" or "exp_range".
        gamma: of "exp_range".
        scale_fn: in place of mode.
        scale_mode: "cycle" or "iterations".
        cycle_momentum: whether to move momentum, or beta1 where the optimizer has betas.
        base_momentum, max_momentum: its bounds, for all groups or one each.
        last_epoch: the step before; -1 to begin.

    Raises:
        ValueError: for a list of another length than the groups, a step_size_up that is not positive, a negative
            step_size_down, an unknown mode, or an optimizer without momentum while that is to be cycled.
        TypeError: for an optimizer that is none.
        KeyError: if a run goes on, and a group has no `initial_lr`.

    Example:
        >>> scheduler = CyclicLR(optimizer, base_lr=0.01, max_lr=0.1)
        >>> scheduler.step()

    Source: section 3 of https://arxiv.org/abs/1506.01186, arguments of torch.optim.lr_scheduler.CyclicLR.
    """

    def _rates(self, epoch: float, base: Vector) -> Vector:
        # rate = base_lr + (max_lr - base_lr) * x * scale
        return base + (self._vector("max_lrs", self.max_lrs) - base) * self._height(epoch)

    def _momenta(self, epoch: float) -> list[float]:
        low = self._vector("base_momentums", self.base_momentums)
        high = self._vector("max_momentums", self.max_momentums)
        # momentum = max_momentum - (max_momentum - base_momentum) * x * scale
        with np.errstate(all="ignore"):
            return (high - (high - low) * self._height(epoch)).tolist()

    def _height(self, epoch: float) -> float:
        """x*scale."""
        over, up = epoch % self.total_size, self.total_size * self.step_ratio
        # the share that goes up is rounded, and the top is on its epoch
        up = round(up) if math.isclose(up, round(up)) else up
        share = over / up if over <= up else (self.total_size - over) / (self.total_size - up)
        cycle = int(epoch // self.total_size) + 1
        return share * self.scale_fn(cycle if self.scale_mode == "cycle" else epoch)

    def _policy(self, x: float) -> float:
        if self.mode == "triangular2":
            return power(2.0, 1 - x)
        return power(self.gamma, x) if self.mode == "exp_range" else 1.0
