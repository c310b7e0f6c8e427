"""SequentialLR: one schedule after the other.

There is no paper. With milestones m(1) < m(2) < ... and m(0) = 0, the rate of a group at epoch t = 0, 1, 2, ...:

    i = number of milestones <= t
    lr(t) = lr_i(t - m(i))          each part as if it were alone, from its own epoch 0; SWALR from lr(m(i) - 1)

Where this departs from PyTorch's code:
- A part begins with its own first rate, whatever was built or ran before it. PyTorch's first part starts from the
  initial_lr of the part that was built last, and its MultiplicativeLR goes on from where the part before has ended.
- A composite can be any part. PyTorch advances it by one epoch, and fails on a ChainedScheduler after a milestone.
- Built with a last_epoch, it puts the part that is due at the epoch that is due; PyTorch starts the first part anew.
- A milestone that is no integer counts from the next epoch on. Milestones that are not sorted are refused.
"""

from __future__ import annotations

from typing import Any

from torch.optim import Optimizer

from ._composite import Composite, find_part, go_to, goes_on, start


class SequentialLR(Composite):
    """Run schedulers one after the other, drop-in for torch.optim.lr_scheduler.SequentialLR.

    Args: as torch's. schedulers: of one optimizer, of any implementation; milestones: the epochs at which each but the
        first begins.
    Raises: ValueError for no schedulers, a wrong number of milestones or unsorted ones, ReduceLROnPlateau, and
        schedulers of other optimizers; TypeError for what is no scheduler.
    Example: `SequentialLR(optimizer, [ConstantLR(optimizer), ExponentialLR(optimizer, 0.9)], milestones=[5]).step()`
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: list[Any], milestones: list[int], last_epoch: int = -1
    ) -> None:
        if len(schedulers) < 1:
            raise ValueError("SequentialLR expects at least one scheduler, but got none")
        self._set_parts(optimizer, schedulers)
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                f"SequentialLR expects a milestone between any two schedulers, but got {len(milestones)} milestones "
                f"for {len(schedulers)} schedulers"
            )
        self._milestones = list(milestones)
        if sorted(milestones) != self._milestones:
            raise ValueError(f"milestones must be sorted, not {milestones}")
        go_to(self, last_epoch + 1)

    def step(self) -> None:  # type: ignore[override]
        """Go to the next epoch: of the part that is due, or to the first one of the next part."""
        self._adopt_groups()
        before = find_part(self.last_epoch, self._milestones)[0]
        self.last_epoch += 1
        index = find_part(self.last_epoch, self._milestones)[0]
        if index == before:
            self._schedulers[index].step()
        else:
            start(self._schedulers[index], chained=goes_on(self._schedulers[index]))
        self._read_rates()
