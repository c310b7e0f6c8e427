"""PolynomialLR, all groups at once: rates fall to 0 along a power of what is left.

Source: torch.optim.lr_scheduler.PolynomialLR. The "poly" policy is that of Liang-Chieh Chen et al., "DeepLab", 2016,
https://arxiv.org/abs/1606.00915, section 4.1.
"""

import math

from ...common.lr_scheduler.polynomiallr import PolynomialLRBase
from .base import LRScheduler, Vector


class PolynomialLR(PolynomialLRBase, LRScheduler):
    """Rates that fall to 0 along a power of what is left.

        rate(t) = base * (1 - min(t, total_iters)/total_iters)**power

    Args:
        optimizer: whose groups' rates are set.
        total_iters: epochs until 0 is reached; 0 means at once.
        power: at least 0.
        last_epoch: the epoch before; -1 to begin.

    Raises:
        ValueError: for a negative power.
        TypeError: for an optimizer that is none.
        KeyError: if a run goes on, and a group has no `initial_lr`.

    Example:
        >>> scheduler = PolynomialLR(optimizer, total_iters=100, power=0.9)
        >>> scheduler.step()

    Source: arguments of torch.optim.lr_scheduler.PolynomialLR.
    """

    def _rates(self, epoch: float, base: Vector) -> Vector:
        # rate = base * f(t)
        return base * self._factor(epoch)

    def _step(self, epoch: float, base: Vector, rates: Vector) -> Vector:
        # rate = rate * f(t)/f(t - 1)
        before = self._factor(epoch - 1) if epoch > 0 else 1.0
        return rates * (self._factor(epoch) / before) if before > 0 else rates

    def _factor(self, epoch: float) -> float:
        if epoch >= self.total_iters:
            return 0.0**self.power
        # what is left, with all its digits where it is small
        left = (self.total_iters - epoch) / self.total_iters if self.total_iters < math.inf else 1.0
        return left**self.power
