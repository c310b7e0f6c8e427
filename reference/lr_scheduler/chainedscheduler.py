"""ChainedScheduler: several schedules on top of one another.

There is no paper. At each epoch, every part takes the rate onwards in turn. For parts that multiply the rate:

    lr(t) = base * f_1(t) * f_2(t) * ...

Parts that always set their closed form (LambdaLR, CyclicLR, OneCycleLR, CosineAnnealingWarmRestarts) come first: they
write over what stands there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch.optim import Optimizer

from ._composite import Composite


class ChainedScheduler(Composite):
    """Run schedulers at once, drop-in for torch.optim.lr_scheduler.ChainedScheduler.

    Args: as torch's. schedulers: of one optimizer, of any implementation; optimizer: theirs.
    Raises: ValueError for no schedulers, ReduceLROnPlateau, and schedulers of different optimizers; TypeError for what
        is no scheduler.
    Example: `ChainedScheduler([ConstantLR(optimizer), ExponentialLR(optimizer, 0.9)]).step()`
    """

    def __init__(self, schedulers: Sequence[Any], optimizer: Optimizer | None = None) -> None:
        if len(schedulers) < 1:
            raise ValueError("ChainedScheduler expects at least one scheduler, but got none")
        self._set_parts(optimizer or getattr(schedulers[0], "optimizer", None), schedulers)
        self._read_rates()

    def step(self) -> None:  # type: ignore[override]
        """Take every part to its next epoch."""
        for scheduler in self._schedulers:
            scheduler.step()
        self._read_rates()
