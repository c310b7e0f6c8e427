"""ChainedScheduler, which leaves all arithmetic of rates to its parts.

Source: torch.optim.lr_scheduler.ChainedScheduler; no paper is known to define it.
"""

from ...common.lr_scheduler.chainedscheduler import ChainedSchedulerBase
from .composite import Composite


class ChainedScheduler(ChainedSchedulerBase, Composite):
    """Schedulers that step one after another at each epoch, each from the rate that the one before has set.

    Args:
        schedulers: the parts, of whatever make, in the order in which they were built.
        optimizer: theirs, if it is to be checked.

    Raises:
        TypeError: for a part that is no scheduler.
        ValueError: for no part, a ReduceLROnPlateau, or parts of several optimizers.

    Example:
        >>> scheduler = ChainedScheduler([ConstantLR(optimizer), ExponentialLR(optimizer, gamma=0.9)])
        >>> scheduler.step()

    Source: arguments of torch.optim.lr_scheduler.ChainedScheduler.
    """

    def _begun(self, rates: list[float], later: bool) -> list[float]:
        for index, part in enumerate(self._parts()):
            rates = part._begun(rates, later and index == 0)
        return rates

    def _after(self, epoch: int, rates: list[float]) -> list[float]:
        for part in self._parts():
            rates = part._after(epoch, rates)
        return rates
