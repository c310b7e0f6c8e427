"""ConstantLR, all groups at once: rates are scaled until an epoch.

Source: torch.optim.lr_scheduler.ConstantLR; no paper is known to define it.
"""

from ...common.lr_scheduler.constantlr import ConstantLRBase
from .base import LRScheduler, Vector


class ConstantLR(ConstantLRBase, LRScheduler):
    """Rates that are scaled until an epoch.

        rate(t) = base * factor    where t < total_iters
        rate(t) = base             from there on

    Args:
        optimizer: whose groups' rates are set.
        factor: the factor, in [0, 1].
        total_iters: the epoch.
        last_epoch: the epoch before; -1 to begin.

    Raises:
        ValueError: for a factor outside [0, 1].
        TypeError: for an optimizer that is none.
        KeyError: if a run goes on, and a group has no `initial_lr`.

    Example:
        >>> scheduler = ConstantLR(optimizer, factor=0.5, total_iters=4)
        >>> scheduler.step()

    Source: arguments of torch.optim.lr_scheduler.ConstantLR.
    """

    def _rates(self, epoch: float, base: Vector) -> Vector:
        # rate = base * factor until total_iters
        return self._scaled(base, self.factor if epoch < self.total_iters else 1.0)

    def _step(self, epoch: float, base: Vector, rates: Vector) -> Vector:
        # rate = rate * factor at once, rate / factor at total_iters
        if epoch == 0:
            return rates * self.factor if self.total_iters > 0 else rates
        if epoch - 1 < self.total_iters <= epoch:
            # no factor leads on from 0: what others set meanwhile stays
            return rates / self.factor if self.factor > 0 else rates
        return rates
