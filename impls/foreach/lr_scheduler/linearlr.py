"""LinearLR, all groups at once: rates are scaled by a factor that moves along a line.

Source: torch.optim.lr_scheduler.LinearLR; no paper is known to define it.
"""

import math

from ...common.lr_scheduler.linearlr import LinearLRBase
from .base import LRScheduler, Vector


class LinearLR(LinearLRBase, LRScheduler):
    """Rates that are scaled by a factor that moves along a line.

        f(t) = start_factor + (end_factor - start_factor) * min(t, total_iters)/total_iters
        rate(t) = base * f(t)

    Args:
        optimizer: whose groups' rates are set.
        start_factor: the first factor, in (0, 1].
        end_factor: the last factor, in [0, 1].
        total_iters: epochs until it is reached; 0 means at once.
        last_epoch: the epoch before; -1 to begin.

    Raises:
        ValueError: for a factor out of range.
        TypeError: for an optimizer that is none.
        KeyError: if a run goes on, and a group has no `initial_lr`.

    Example:
        >>> scheduler = LinearLR(optimizer, start_factor=0.1, total_iters=5)
        >>> scheduler.step()

    Source: arguments of torch.optim.lr_scheduler.LinearLR.
    """

    def _rates(self, epoch: float, base: Vector) -> Vector:
        # rate = base * f(t)
        return base * self._factor(epoch)

    def _step(self, epoch: float, base: Vector, rates: Vector) -> Vector:
        # rate = rate * f(t)/f(t - 1)
        before = self._factor(epoch - 1) if epoch > 0 else 1.0
        # from 0 on a line that ends there nothing rises
        return rates * (self._factor(epoch) / before) if before > 0 else rates

    def _factor(self, epoch: float) -> float:
        if epoch >= self.total_iters:
            return self.end_factor
        if self.total_iters == math.inf:
            return self.start_factor
        # from both ends, so that a small factor has all its digits
        left = self.total_iters - epoch
        return self.start_factor * (left / self.total_iters) + self.end_factor * (epoch / self.total_iters)
