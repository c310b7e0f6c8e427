"""SWALR: rates move to fixed values, at which weights are averaged.

Pavel Izmailov, Dmitrii Podoprikhin, Timur Garipov, Dmitry Vetrov, Andrew Gordon Wilson: Averaging Weights Leads to
Wider Optima and Better Generalization, 2018, https://arxiv.org/abs/1803.05407, section 3.1.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ...common.swa_utils.swalr import SWALRBase
from ..lang import div, rule, sin, where
from ..lr_scheduler.schedule import Schedule
from ..lr_scheduler.scheduler import FusedScheduler


@rule
def rate(epoch, base, current, previous, swa_lr, anneal_epochs, cosine, half_pi):
    """One group: lr = swa_lr + (base - swa_lr) * left, where what is left goes from 1 to 0."""
    part = where(epoch < anneal_epochs, div(anneal_epochs - epoch, anneal_epochs), 0.0)
    root = sin(half_pi * part)
    left = where(cosine > 0.0, root * root, part)
    last = epoch - 1.0
    part = where(last < anneal_epochs, div(anneal_epochs - last, anneal_epochs), 0.0)
    root = sin(half_pi * part)
    before = where(cosine > 0.0, root * root, part)
    distance = base - swa_lr
    curve = where(left < 0.5, swa_lr + distance * left, base - distance * (1.0 - left))
    moved = where(before == 0.0, swa_lr, swa_lr + (current - swa_lr) * div(left, before))
    moved = where(left == 0.0, swa_lr, where(epoch < 1.0, current, moved))
    lr = where(current == previous, curve, moved)
    return lr


SCHEDULE = Schedule("swalr", rate, columns=("swa_lr",), shared=("anneal_epochs", "cosine", "half_pi"))


class SWALR(FusedScheduler, SWALRBase):
    """Rates of all groups in one launch: in anneal_epochs from where they are to swa_lr, along a cosine or a line.

    Args: those of torch.optim.swa_utils.SWALR.

    Raises:
        TypeError: for an optimizer that is none.
        ValueError: for a list of another length than the groups, an unknown strategy, or an anneal_epochs that is not
            an integer of at least 0.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.5)
        >>> SWALR(optimizer, swa_lr=0.05).get_last_lr()
        [0.5]

    Source: Izmailov et al., 2018, https://arxiv.org/abs/1803.05407.
    """

    schedule = SCHEDULE

    def shared(self) -> Sequence[float]:
        return float(self.anneal_epochs), float(self._anneal_strategy == "cos"), math.pi / 2

    def columns(self) -> Sequence[Sequence[Any]]:
        return (self._swa_lrs[: len(self.base_lrs)],)
