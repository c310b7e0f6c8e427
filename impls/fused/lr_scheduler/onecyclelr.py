"""OneCycleLR: rates go up once and down to almost nothing, and momentum against them.

Leslie N. Smith, Nicholay Topin: Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates,
2017, https://arxiv.org/abs/1708.07120.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs
from __future__ import annotations

import math
from collections.abc import Sequence
from operator import itemgetter
from typing import Any

from ...common.lr_scheduler.onecyclelr import OneCycleLRBase
from ..lang import div, maximum, rule, sin, where
from .schedule import Schedule
from .scheduler import FusedScheduler, cycled


@rule
def rate(
    epoch, base, current, previous, start1, stop1, start2, stop2, start3, stop3, from1, to1, from2, to2, from3, to3,
    last1, last2, end1, end2, end3, cosine, half_pi,
):  # fmt: skip
    """One group: in each of three phases from one rate to another, and from one momentum to another."""
    begun = where(epoch <= last1, 0.0, where(epoch <= last2, end1, end2))
    ended = where(epoch <= last1, end1, where(epoch <= last2, end2, end3))
    start = where(epoch <= last1, start1, where(epoch <= last2, start2, start3))
    stop = where(epoch <= last1, stop1, where(epoch <= last2, stop2, stop3))
    origin = where(epoch <= last1, from1, where(epoch <= last2, from2, from3))
    target = where(epoch <= last1, to1, where(epoch <= last2, to2, to3))
    # the last phase may have no length, and is then at its end
    share = where(ended > begun, div(ended - epoch, ended - begun), 0.0)
    root = sin(half_pi * share)
    # past the end, a straight line would leave its bounds
    left = where(cosine > 0.0, root * root, maximum(share, 0.0))
    # from both ends, so that what is small has all its digits
    root = sin(half_pi * (1.0 - share))
    gone = where(cosine > 0.0, root * root, 1.0 - left)
    lr = where(left < 0.5, stop + (start - stop) * left, start - (start - stop) * gone)
    momentum = where(left < 0.5, target + (origin - target) * left, origin - (origin - target) * gone)
    return lr, momentum


SCHEDULE = Schedule(
    "onecyclelr",
    rate,
    columns=("start1", "stop1", "start2", "stop2", "start3", "stop3", "from1", "to1", "from2", "to2", "from3", "to3"),
    shared=("last1", "last2", "end1", "end2", "end3", "cosine", "half_pi"),
    results=("lr", "momentum"),
)


class OneCycleLR(FusedScheduler, OneCycleLRBase):
    """Rates and momenta of all groups in one launch: up to max_lr in pct_start of the steps, then down to min_lr.

    Along a cosine or a straight line, from max_lr/div_factor, and to that divided by final_div_factor; with
    three_phase, first back to where it began. Momentum, or beta1, goes down where rates go up.

    Args: those of torch.optim.lr_scheduler.OneCycleLR.

    Raises:
        TypeError: for an optimizer that is none.
        ValueError: for a length that is not a positive integer, a pct_start outside [0, 1], an unknown strategy, a
            factor that is not positive, a list of another length than the groups, an optimizer without momentum while
            that is to be cycled, or, at a step, more steps than the length.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.5, momentum=0.9)
        >>> OneCycleLR(optimizer, max_lr=1.0, total_steps=10, div_factor=4.0).get_last_lr()
        [0.25]

    Source: Smith and Topin, 2017, https://arxiv.org/abs/1708.07120.
    """

    schedule = SCHEDULE

    def shared(self) -> Sequence[float]:
        end1, end2, end3 = (float(phase["end_step"]) for phase in self._three())
        # no epoch is in a phase without length
        last1, last2 = (end if end > begun else -math.inf for begun, end in ((0.0, end1), (end1, end2)))
        return last1, last2, end1, end2, end3, float(self._anneal_func_type == "cos"), math.pi / 2

    def columns(self) -> Sequence[Sequence[Any]]:
        phases = self._three()
        names = [phase[end] for phase in phases for end in ("start_lr", "end_lr")]
        if self.cycle_momentum:
            names += [phase[end] for phase in phases for end in ("start_momentum", "end_momentum")]
        groups = self.optimizer.param_groups[: len(self.base_lrs)]
        columns = {name: list(map(itemgetter(name), groups)) for name in set(names)}
        return [columns[name] for name in names]

    def _settle(self, given: bool) -> None:
        # also where a device counts the epochs
        self._check_epoch(self.last_epoch)
        super()._settle(given)

    def momenta(self) -> list[Any]:
        return cycled(self)

    def _momenta(self, epoch: float) -> list[float]:
        return self.results(epoch)[1]

    def _three(self) -> list[dict[str, Any]]:
        """The phases; of two, the second is the third as well, of which none is left."""
        first, *rest = self._schedule_phases
        return [first, *rest] if len(rest) == 2 else [first, rest[0], rest[0]]
