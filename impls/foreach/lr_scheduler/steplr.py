"""StepLR, all groups at once: rates fall by a factor every so many epochs.

Source: torch.optim.lr_scheduler.StepLR; no paper is known to define it.
"""

from ...common.lr_scheduler.steplr import StepLRBase
from .base import LRScheduler, Vector, power, scaled


class StepLR(StepLRBase, LRScheduler):
    """Rates that fall by a factor every so many epochs.

        rate(t) = base * gamma**floor(t/step_size)

    Args:
        optimizer: whose groups' rates are set.
        step_size: epochs between two falls, more than 0.
        gamma: the factor.
        last_epoch: the epoch before; -1 to begin.

    Raises:
        ValueError: for a step_size that is not positive.
        TypeError: for an optimizer that is none.
        KeyError: if a run goes on, and a group has no `initial_lr`.

    Example:
        >>> scheduler = StepLR(optimizer, step_size=30)
        >>> scheduler.step()

    Source: arguments of torch.optim.lr_scheduler.StepLR.
    """

    def _rates(self, epoch: float, base: Vector) -> Vector:
        # rate = base * gamma**floor(t/step_size)
        return self._scaled(base, power(self.gamma, epoch // self.step_size))

    def _step(self, epoch: float, base: Vector, rates: Vector) -> Vector:
        # rate = rate * gamma, as often as a fall has come
        falls = epoch // self.step_size - max(0, epoch - 1) // self.step_size
        return scaled(rates, power(self.gamma, falls))
