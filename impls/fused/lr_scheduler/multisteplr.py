"""MultiStepLR: rates fall by a factor at each of some epochs."""

# mypy: allow-untyped-defs, allow-incomplete-defs
from __future__ import annotations

from collections.abc import Sequence

from ...common.lr_scheduler.multisteplr import MultiStepLRBase
from ..lang import power, rule, where
from .schedule import Schedule
from .scheduler import FusedScheduler


@rule
def rate(epoch, base, current, previous, decays, before, gamma):
    """One group: lr = base * gamma^decays, of which there were `before` one epoch ago."""
    curve = base * power(gamma, decays)
    lr = where(current == previous, curve, current * power(gamma, decays - before))
    return lr


SCHEDULE = Schedule("multisteplr", rate, row=("decays", "before"), shared=("gamma",))


class MultiStepLR(FusedScheduler, MultiStepLRBase):
    """Rates of all groups in one launch: lr = base * gamma^(number of milestones <= epoch).

    A milestone counts as often as it is named; a fractional one from the epoch after it on.

    Args: those of torch.optim.lr_scheduler.MultiStepLR.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.5)
        >>> MultiStepLR(optimizer, milestones=[30, 80]).get_last_lr()
        [0.5]

    Source: torch.optim.lr_scheduler.MultiStepLR.
    """

    schedule = SCHEDULE

    def row(self, epoch: float) -> Sequence[float]:
        return float(self._decays(epoch)), float(self._decays(epoch - 1) if epoch > 0 else 0)

    def _decays(self, epoch: float) -> int:
        return sum(count for milestone, count in self.milestones.items() if float(milestone) <= epoch)
