"""MultiStepLR, all groups at once: rates fall by a factor at each milestone.

Source: torch.optim.lr_scheduler.MultiStepLR; no paper is known to define it.
"""

from ...common.lr_scheduler.multisteplr import MultiStepLRBase
from .base import LRScheduler, Vector, power, scaled


class MultiStepLR(MultiStepLRBase, LRScheduler):
    """Rates that fall by a factor at each milestone.

        rate(t) = base * gamma**(number of milestones up to t)

    Args:
        optimizer: whose groups' rates are set.
        milestones: epochs, in any order; one that is named twice counts twice, a fraction from the next epoch on.
        gamma: the factor.
        last_epoch: the epoch before; -1 to begin.

    Raises:
        TypeError: for an optimizer that is none.
        KeyError: if a run goes on, and a group has no `initial_lr`.

    Example:
        >>> scheduler = MultiStepLR(optimizer, milestones=[30, 80])
        >>> scheduler.step()

    Source: arguments of torch.optim.lr_scheduler.MultiStepLR.
    """

    def _rates(self, epoch: float, base: Vector) -> Vector:
        # rate = base * gamma**(number of milestones up to t)
        return self._scaled(base, power(self.gamma, self._passed(epoch)))

    def _step(self, epoch: float, base: Vector, rates: Vector) -> Vector:
        # rate = rate * gamma, as often as a milestone has come
        falls = self._passed(epoch) - (self._passed(epoch - 1) if epoch > 0 else 0)
        return scaled(rates, power(self.gamma, falls))

    def _passed(self, epoch: float) -> int:
        return sum(count for milestone, count in self.milestones.items() if milestone <= epoch)
