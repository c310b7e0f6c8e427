"""MultiplicativeLR: functions of the epoch say by how much rates change."""

# mypy: allow-untyped-defs, allow-incomplete-defs
from __future__ import annotations

from collections.abc import Sequence

from ...common.lr_scheduler.multiplicativelr import MultiplicativeLRBase
from ..lang import rule
from .lambdas import factors
from .schedule import Schedule
from .scheduler import FusedScheduler


@rule
def rate(epoch, base, current, previous, factor):
    """One group: lr = lr * factor."""
    lr = current * factor
    return lr


SCHEDULE = Schedule("multiplicativelr", rate, row=("factor",))


class MultiplicativeLR(FusedScheduler, MultiplicativeLRBase):
    """Rates of all groups in one launch: lr = lr * lr_lambda(epoch), from epoch 1 on.

    A function that several groups share is called once an epoch. For rates on a device it is called ahead of time.

    Args: those of torch.optim.lr_scheduler.MultiplicativeLR.

    Raises:
        ValueError: for fewer or more functions than parameter groups.
        TypeError: for a function that is none.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.5)
        >>> MultiplicativeLR(optimizer, lambda epoch: 0.95).get_last_lr()
        [0.5]

    Source: torch.optim.lr_scheduler.MultiplicativeLR.
    """

    schedule = SCHEDULE

    def row(self, epoch: float) -> Sequence[float]:
        return factors(self.lr_lambdas, epoch)

    def _advance(self, epoch: float, rates: Sequence[float], spacings: Sequence[float] | None) -> list[float]:
        if epoch <= 0:
            # a part of a SequentialLR begins at its base, whatever the one before has left
            return [*rates] if self._is_initial else [*map(float, self.base_lrs)]
        launch = self.prepared()
        launch.current[: len(rates)] = rates
        return launch(epoch, self.row(epoch))[0]
