"""LambdaLR: rates are what functions of the epoch make of the base rates."""

# mypy: allow-untyped-defs, allow-incomplete-defs
from __future__ import annotations

from collections.abc import Sequence

from ...common.lr_scheduler.lambdalr import LambdaLRBase
from ..lang import rule
from .lambdas import factors
from .schedule import Schedule
from .scheduler import FusedScheduler


@rule
def rate(epoch, base, current, previous, factor):
    """One group: lr = base * factor."""
    lr = base * factor
    return lr


SCHEDULE = Schedule("lambdalr", rate, row=("factor",))


class LambdaLR(FusedScheduler, LambdaLRBase):
    """Rates of all groups in one launch: lr = base * lr_lambda(epoch).

    A function that several groups share is called once an epoch. For rates on a device it is called ahead of time.

    Args: those of torch.optim.lr_scheduler.LambdaLR.

    Raises:
        ValueError: for fewer or more functions than parameter groups.
        TypeError: for a function that is none.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.5)
        >>> LambdaLR(optimizer, lambda epoch: 0.5 ** (epoch + 1)).get_last_lr()
        [0.25]

    Source: torch.optim.lr_scheduler.LambdaLR.
    """

    schedule = SCHEDULE

    def row(self, epoch: float) -> Sequence[float]:
        return factors(self.lr_lambdas, epoch)
