"""StepLR: rates fall by a factor every so many epochs."""

# mypy: allow-untyped-defs, allow-incomplete-defs
from __future__ import annotations

from ...common.lr_scheduler.steplr import StepLRBase
from ..lang import div, floor, maximum, power, rule, where
from .schedule import Schedule
from .scheduler import FusedScheduler


@rule
def rate(epoch, base, current, previous, step_size, gamma):
    """One group: lr = base * gamma^floor(epoch/step_size)."""
    decays = floor(div(epoch, step_size))
    before = floor(div(maximum(epoch - 1.0, 0.0), step_size))
    curve = base * power(gamma, decays)
    lr = where(current == previous, curve, current * power(gamma, decays - before))
    return lr


SCHEDULE = Schedule("steplr", rate, shared=("step_size", "gamma"))


class StepLR(FusedScheduler, StepLRBase):
    """Rates of all groups in one launch: lr = base * gamma^floor(epoch/step_size).

    Args: those of torch.optim.lr_scheduler.StepLR.

    Raises:
        ValueError: for a step_size that is not positive.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.5)
        >>> StepLR(optimizer, step_size=30).get_last_lr()
        [0.5]

    Source: torch.optim.lr_scheduler.StepLR.
    """

    schedule = SCHEDULE
