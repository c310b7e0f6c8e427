"""SequentialLR, which leaves all arithmetic of rates to its parts."""

from bisect import bisect_right
from itertools import pairwise

from torch.optim.lr_scheduler import LRScheduler
from torch.optim.optimizer import Optimizer

from .base import check
from .composite import CompositeBase, begin, place, reset


class SequentialLRBase(CompositeBase):
    """One scheduler after another, each from its own epoch 0 on when its milestone has come.

    Raises:
        TypeError: for a part that is no scheduler.
        ValueError: for no part, a ReduceLROnPlateau, a part of another optimizer, another number of milestones than one
            less than the parts, or milestones that decrease.

    Source: the constructor of torch.optim.lr_scheduler.SequentialLR.
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: list[LRScheduler], milestones: list[int], last_epoch: int = -1
    ) -> None:
        self._check_parts(schedulers, optimizer)
        expected = f"{len(schedulers) - 1} values, one less than the schedulers"
        check(len(milestones) == len(schedulers) - 1, "milestones", milestones, expected)
        check(all(one <= other for one, other in pairwise(milestones)), "milestones", milestones, "none to decrease")
        self._schedulers = schedulers
        self._milestones = [*milestones]
        self.optimizer = optimizer
        if last_epoch == -1:
            reset(self)
            begin(self)
        else:
            place(self, last_epoch + 1)

    def step(self) -> None:  # type: ignore[override]
        """Go to the next epoch, by a step of the part whose turn it is."""
        before = bisect_right(self._milestones, self.last_epoch)
        self.last_epoch += 1
        turn = bisect_right(self._milestones, self.last_epoch)
        part = self._schedulers[turn]
        if turn == before:
            part.step()
        else:
            begin(part, later=True)
        self._last_lr = part.get_last_lr()
