"""What ChainedScheduler and SequentialLR share: parts, of whatever make, that are begun and told apart here."""

import math
import warnings
from bisect import bisect_right
from collections.abc import Sequence
from copy import deepcopy
from typing import Any, ClassVar

from torch.optim import lr_scheduler
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.optimizer import Optimizer

from .base import LRSchedulerBase
from .groups import standing, write


class CompositeBase(LRSchedulerBase):
    """A scheduler that moves no rate itself, but has `_schedulers` that do."""

    # its step takes no epoch
    jumps: ClassVar = False
    transient: ClassVar = (*LRSchedulerBase.transient, "_schedulers")

    _schedulers: Sequence[LRScheduler]

    def state_dict(self) -> dict[str, Any]:
        """Every attribute but the optimizer, and the parts' states as a list under `_schedulers`."""
        return super().state_dict() | {"_schedulers": [part.state_dict() for part in self._schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for part, state in zip(self._schedulers, state_dict.get("_schedulers", ()), strict=False):
            part.load_state_dict(deepcopy(state))
        # after the parts, each of which sets the rates that it left
        super().load_state_dict({name: value for name, value in state_dict.items() if name != "_schedulers"})

    def _initial_step(self) -> None:
        """Begin anew, as a part of another composite is told to."""
        begin(self)

    def _update_lr(self, epoch: int | None = None) -> None:
        """Begin in the middle of another composite's run, which is told so by epoch 0."""
        begin(self, later=True)

    def _check_parts(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None) -> None:
        name = type(self).__name__
        if len(schedulers) < 1:
            raise ValueError(f"{name} expects at least one scheduler, but got {schedulers!r}")
        for index, part in enumerate(schedulers):
            kind = type(part).__name__
            if not hasattr(part, "optimizer"):
                raise TypeError(f"{name} expects parts with an `optimizer`, but got {kind} at index {index}")
            if isinstance(part, lr_scheduler.ReduceLROnPlateau):
                raise ValueError(f"{name} cannot step the {kind} at index {index}, whose `step` needs a metric")
            if part.optimizer is not (optimizer or schedulers[0].optimizer):
                raise ValueError(f"{name} expects parts of one optimizer, but the {kind} at index {index} has another")


def begin(scheduler: LRScheduler, *, later: bool = False) -> None:
    """Put a scheduler at its epoch 0 and set its first rates.

    Args:
        later: from its own base rates, as where a SequentialLR comes to it; else from the rates that stand there, as
            when it was built.
    """
    parts = getattr(scheduler, "_schedulers", None)
    if parts is None:
        if later:
            scheduler._update_lr(0)
        else:
            scheduler.last_epoch = -1
            scheduler._initial_step()
        return
    if hasattr(scheduler, "_milestones"):
        for part in parts:
            rewind(part)
        scheduler.last_epoch = 0
        begin(parts[bisect_right(scheduler._milestones, 0)], later=later)
    else:
        begin(parts[0], later=later)
        # each goes on from what the one before has set
        for part in parts[1:]:
            begin(part)
    scheduler._last_lr = standing(scheduler.optimizer.param_groups)


def rewind(scheduler: LRScheduler) -> None:
    """Put a scheduler before its epoch 0; torch's composites undo their parts' first steps so, one by one."""
    if hasattr(scheduler, "last_epoch"):
        scheduler.last_epoch = -1
    for part in getattr(scheduler, "_schedulers", ()):
        rewind(part)


def place(scheduler: LRScheduler, epoch: int) -> None:
    """Put a scheduler where a run has it at this epoch, with the rates that it would have alone."""
    parts = getattr(scheduler, "_schedulers", ())
    turn = bisect_right(getattr(scheduler, "_milestones", ()), epoch)
    # SWALR, of whatever make, goes on from what the part before has left
    if hasattr(scheduler, "_milestones") and not hasattr(parts[turn], "anneal_epochs"):
        begins = [0, *map(math.ceil, scheduler._milestones)]
        for part in parts[turn + 1 :]:
            rewind(part)
        place(parts[turn], epoch - max(0, begins[turn]))
        scheduler.last_epoch = epoch
        scheduler._last_lr = standing(scheduler.optimizer.param_groups)
    elif getattr(scheduler, "jumps", False):
        scheduler.last_epoch = epoch
        scheduler._settle(given=True)  # type: ignore[attr-defined]
    else:
        replay(scheduler, epoch)


def replay(scheduler: LRScheduler, epoch: int) -> None:
    """Take all steps to an epoch, where there is no curve, or one on top of another, or one that goes on from another.

    What stands there would have to tell the rate, and building has changed it.
    """
    reset(scheduler)
    begin(scheduler)
    with warnings.catch_warnings():
        # nobody has skipped a rate
        warnings.simplefilter("ignore")
        for _ in range(epoch):
            scheduler.step()


def base_rates(scheduler: LRScheduler) -> list[Any]:
    """The rates from which a scheduler, or its first part, begins."""
    parts = getattr(scheduler, "_schedulers", None)
    if parts is None:
        return scheduler.base_lrs
    return base_rates(parts[bisect_right(getattr(scheduler, "_milestones", ()), 0)])


def reset(scheduler: LRScheduler) -> None:
    """Set the rates from which a scheduler begins, which its own first step, and its neighbours', have changed."""
    for group, rate in zip(scheduler.optimizer.param_groups, base_rates(scheduler), strict=False):
        write([group], [rate])
