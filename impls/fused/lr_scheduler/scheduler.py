"""The host's side of every fused scheduler: one launch gives the rates of all groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from ...common.lr_scheduler.base import LRSchedulerBase
from .schedule import Launch, Schedule

# What two ways of computing a rate may differ by, in spacings of the numbers that keep it.
_TOLERANCE = 16.0
_FLOAT64 = 2.0**-52


class FusedScheduler(LRSchedulerBase):
    """Base of the fused schedulers: one launch for the rates of all groups.

    A subclass names its `schedule` and tells what the rule's arguments are.
    """

    schedule: ClassVar[Schedule]
    caches: ClassVar = (*LRSchedulerBase.caches, "_launch")

    _launch: Launch | None = None

    def _shared(self) -> Sequence[float]:
        """Values of `schedule.shared`."""
        return [float(getattr(self, name)) for name in self.schedule.shared]

    def _columns(self) -> Sequence[Sequence[float]]:
        """Values of `schedule.columns`, of each group."""
        return ()

    def _row(self, epoch: float) -> Sequence[float]:
        """Values of `schedule.row` at an epoch: for all groups, or for each of them, one after the other."""
        return ()

    def _curve(self, epoch: float) -> list[float]:
        return self._run(epoch)[0]

    def _advance(self, epoch: float, rates: Sequence[float], spacings: Sequence[float] | None) -> list[float]:
        launch = self._prepared()
        # Before the first epoch there is no curve but the base rates.
        launch.previous[:] = launch.base if epoch <= 0 else self._run(epoch - 1)[0]
        # of the first groups, where others have joined them
        launch.current[: len(rates)] = rates
        launch.tolerance.fill(_FLOAT64)
        if spacings is not None:
            launch.tolerance[: len(spacings)] = spacings
        launch.tolerance *= _TOLERANCE
        return launch(epoch, self._row(epoch))[0]

    def _run(self, epoch: float) -> list[list[float]]:
        """All results on the curve."""
        launch = self._prepared()
        launch.current.fill(0.0)
        launch.previous.fill(0.0)
        return launch(epoch, self._row(epoch))

    def _prepared(self) -> Launch:
        groups = len(self.base_lrs)
        launch = self._launch
        if launch is None or launch.groups != groups:
            launch = self._launch = Launch(self.schedule, groups)
        launch.base[:] = self.base_lrs if not _tensors(self.base_lrs) else list(map(float, self.base_lrs))
        launch.shared[:] = self._shared()
        if self.schedule.columns:
            launch.columns[:] = self._columns()
        return launch


def _tensors(values: Sequence[Any]) -> bool:
    return bool(set(map(type, values)) - {float})
