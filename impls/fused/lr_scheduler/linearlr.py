"""LinearLR: rates move in a straight line from one share of themselves to another."""

# mypy: allow-untyped-defs, allow-incomplete-defs
from __future__ import annotations

from ...common.lr_scheduler.linearlr import LinearLRBase
from ..lang import div, rule, where
from .schedule import Schedule
from .scheduler import FusedScheduler


@rule
def rate(epoch, base, current, previous, start_factor, end_factor, total_iters):
    """One group: lr = base * (start + (end - start) * min(epoch/total_iters, 1))."""
    difference = end_factor - start_factor
    factor = where(epoch < total_iters, start_factor + difference * div(epoch, total_iters), end_factor)
    last = epoch - 1.0
    before = where(last < total_iters, start_factor + difference * div(last, total_iters), end_factor)
    before = where(epoch < 1.0, 1.0, before)
    curve = base * factor
    moved = where(factor == before, current, where(before == 0.0, curve, current * div(factor, before)))
    lr = where(current == previous, curve, moved)
    return lr


SCHEDULE = Schedule("linearlr", rate, shared=("start_factor", "end_factor", "total_iters"))


class LinearLR(FusedScheduler, LinearLRBase):
    """Rates of all groups in one launch: lr = base * (start + (end - start) * min(epoch/total_iters, 1)).

    Args: those of torch.optim.lr_scheduler.LinearLR.

    Raises:
        ValueError: for a start_factor outside (0, 1] or an end_factor outside [0, 1].

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.5)
        >>> LinearLR(optimizer, start_factor=0.5).get_last_lr()
        [0.25]

    Source: torch.optim.lr_scheduler.LinearLR.
    """

    schedule = SCHEDULE
