"""ExponentialLR: rates fall by a factor every epoch."""

# mypy: allow-untyped-defs, allow-incomplete-defs
from __future__ import annotations

from ...common.lr_scheduler.exponentiallr import ExponentialLRBase
from ..lang import minimum, power, rule, where
from .schedule import Schedule
from .scheduler import FusedScheduler


@rule
def rate(epoch, base, current, previous, gamma):
    """One group: lr = base * gamma^epoch."""
    curve = base * power(gamma, epoch)
    lr = where(current == previous, curve, current * power(gamma, minimum(epoch, 1.0)))
    return lr


SCHEDULE = Schedule("exponentiallr", rate, shared=("gamma",))


class ExponentialLR(FusedScheduler, ExponentialLRBase):
    """Rates of all groups in one launch: lr = base * gamma^epoch.

    Args: those of torch.optim.lr_scheduler.ExponentialLR.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.5)
        >>> ExponentialLR(optimizer, gamma=0.9).get_last_lr()
        [0.5]

    Source: torch.optim.lr_scheduler.ExponentialLR.
    """

    schedule = SCHEDULE
