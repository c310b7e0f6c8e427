"""What SequentialLR and ChainedScheduler share: schedulers that consist of others, of any implementation."""

from __future__ import annotations

import math
import warnings
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import torch

from ._base import LRScheduler, copied, write


class Composite(LRScheduler):
    """Drives its parts. It can be a part itself, also of torch's composites."""

    def _set_parts(self, optimizer: Any, schedulers: Sequence[Any]) -> None:
        name = type(self).__name__
        for index, scheduler in enumerate(schedulers):
            kind = type(scheduler).__name__
            if not hasattr(scheduler, "optimizer"):
                raise TypeError(f"{name} needs schedulers with an optimizer, but {kind} at index {index} has none")
            if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
                raise ValueError(f"{name} has no metrics for {kind} at index {index}")
            if scheduler.optimizer is not optimizer:
                raise ValueError(f"{name} needs schedulers of one optimizer, but {kind} at index {index} has another")
        self._schedulers = schedulers
        self.optimizer = optimizer

    def _initial_step(self) -> None:
        start(self)

    def _update_lr(self, epoch: int | None = None) -> None:
        # As torch's SequentialLR tells a part that its turn has come: by epoch 0.
        start(self)

    def _read_rates(self) -> None:
        self._last_lr = [copied(group["lr"]) for group in self.optimizer.param_groups]

    def _adopt_groups(self) -> None:
        # Parts that are not due yet see a new group late, when its rate has changed.
        for group in self.optimizer.param_groups:
            group.setdefault("initial_lr", copied(group["lr"]))

    def state_dict(self) -> dict[str, Any]:
        """All attributes but the optimizer, with the parts' states."""
        state = {name: value for name, value in self.__dict__.items() if name not in ("optimizer", "_schedulers")}
        return state | {"_schedulers": [scheduler.state_dict() for scheduler in self._schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a copy of what state_dict() gave, here or in torch.optim, and write its rates to the optimizer."""
        for scheduler, state in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            scheduler.load_state_dict(copied(state))
        super().load_state_dict({name: value for name, value in state_dict.items() if name != "_schedulers"})


def find_part(epoch: float, milestones: Sequence[float]) -> tuple[int, int]:
    """Which part of a sequence an epoch belongs to, and the epoch at which that part begins."""
    index = bisect_right(milestones, epoch)
    return index, max(math.ceil(milestones[index - 1]), 0) if index else 0


def due(sequence: Any, epoch: float) -> Any:
    """The part that an epoch belongs to."""
    return sequence._schedulers[find_part(epoch, sequence._milestones)[0]]


def goes_on(scheduler: Any) -> bool:
    """Whether a schedule begins at the rate that the part before has left: SWALR, of any implementation."""
    return hasattr(scheduler, "anneal_epochs")


def start(scheduler: Any, *, chained: bool = False) -> None:
    """Put a scheduler at epoch 0 and let it write its first rates: over what stands there, or onto it if chained."""
    if hasattr(scheduler, "_milestones"):
        rewind(scheduler)
        scheduler.last_epoch = 0
        start(due(scheduler, 0))
    elif hasattr(scheduler, "_schedulers"):
        for index, part in enumerate(scheduler._schedulers):
            start(part, chained=chained or index > 0)
    else:
        if not chained:
            reset_rates(scheduler)
        scheduler.last_epoch = -1
        scheduler._initial_step()
        return
    scheduler._last_lr = [copied(group["lr"]) for group in scheduler.optimizer.param_groups]


def rewind(scheduler: Any) -> None:
    """Put a scheduler, or its parts, before epoch 0, where those are that have not begun."""
    if hasattr(scheduler, "last_epoch"):
        scheduler.last_epoch = -1
    for part in getattr(scheduler, "_schedulers", ()):
        rewind(part)


def reset_rates(scheduler: Any) -> None:
    """Write the initial rates of a scheduler; those of groups that it has not seen yet are in the groups."""
    for index, group in enumerate(scheduler.optimizer.param_groups):
        known = index < len(scheduler.base_lrs)
        write(group, "lr", scheduler.base_lrs[index] if known else group.get("initial_lr", group["lr"]))


def go_to(scheduler: Any, epoch: int) -> None:
    """Put a scheduler at an epoch, with the rates that it would have alone."""
    if hasattr(scheduler, "_milestones") and not goes_on(due(scheduler, epoch)):
        index, begin = find_part(epoch, scheduler._milestones)
        for later in scheduler._schedulers[index + 1 :]:
            rewind(later)
        go_to(scheduler._schedulers[index], epoch - begin)
        scheduler.last_epoch = epoch
        scheduler._last_lr = [copied(group["lr"]) for group in scheduler.optimizer.param_groups]
    elif hasattr(scheduler, "_get_closed_form_lr"):
        scheduler._update_lr(epoch)
    else:
        start(scheduler)
        # Every epoch in turn: there is no closed form, be it for one schedule on top of another.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in range(epoch):
                scheduler.step()
