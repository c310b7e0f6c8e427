"""ConstantLR: rates are smaller for some epochs."""

# mypy: allow-untyped-defs, allow-incomplete-defs
from __future__ import annotations

from ...common.lr_scheduler.constantlr import ConstantLRBase
from ..lang import div, rule, where
from .schedule import Schedule
from .scheduler import FusedScheduler


@rule
def rate(epoch, base, current, previous, factor, total_iters):
    """One group: lr = base * factor before epoch total_iters, base from then on."""
    scale = where(epoch < total_iters, factor, 1.0)
    before = where(epoch < 1.0, 1.0, where(epoch - 1.0 < total_iters, factor, 1.0))
    curve = base * scale
    # no factor leads on from 0: what others set meanwhile stays
    back = where(before == 0.0, current, current * div(scale, before))
    moved = where(scale == before, current, back)
    lr = where(current == previous, curve, moved)
    return lr


SCHEDULE = Schedule("constantlr", rate, shared=("factor", "total_iters"))


class ConstantLR(FusedScheduler, ConstantLRBase):
    """Rates of all groups in one launch: lr = base * factor before epoch total_iters, base from then on.

    Args: those of torch.optim.lr_scheduler.ConstantLR.

    Raises:
        ValueError: for a factor outside [0, 1].

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.5)
        >>> ConstantLR(optimizer, factor=0.5).get_last_lr()
        [0.25]

    Source: torch.optim.lr_scheduler.ConstantLR.
    """

    schedule = SCHEDULE
