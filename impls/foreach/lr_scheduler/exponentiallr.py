"""ExponentialLR, all groups at once: rates fall by a factor every epoch.

Source: torch.optim.lr_scheduler.ExponentialLR; no paper is known to define it.
"""

from ...common.lr_scheduler.exponentiallr import ExponentialLRBase
from .base import LRScheduler, Vector, power, scaled


class ExponentialLR(ExponentialLRBase, LRScheduler):
    """Rates that fall by a factor every epoch.

        rate(t) = base * gamma**t

    Args:
        optimizer: whose groups' rates are set.
        gamma: the factor.
        last_epoch: the epoch before; -1 to begin.

    Raises:
        TypeError: for an optimizer that is none.
        KeyError: if a run goes on, and a group has no `initial_lr`.

    Example:
        >>> scheduler = ExponentialLR(optimizer, gamma=0.9)
        >>> scheduler.step()

    Source: arguments of torch.optim.lr_scheduler.ExponentialLR.
    """

    def _rates(self, epoch: float, base: Vector) -> Vector:
        # rate = base * gamma**t
        return scaled(base, power(self.gamma, epoch))

    def _step(self, epoch: float, base: Vector, rates: Vector) -> Vector:
        # rate = rate * gamma
        return rates * self.gamma if epoch > 0 else rates
