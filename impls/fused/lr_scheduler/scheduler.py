"""The host's side of every fused scheduler: one launch gives the rates of all groups."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, ClassVar

from ...common.lr_scheduler.base import LRSchedulerBase
from ...common.lr_scheduler.groups import copied
from .device import DeviceRates, capturing, on_device
from .numba_rates import Launch
from .schedule import Schedule

_FLOAT64 = 2.0**-52


class FusedScheduler(LRSchedulerBase):
    """Base of the fused schedulers: one launch for the rates of all groups.

    A subclass names its `schedule` and tells what the rule's arguments are. Where all rates are tensors on one device,
    the launch counts the epoch there and writes them in place: after a first step, `step` may be captured in a CUDA
    graph. `last_epoch`, `get_last_lr()` and `state_dict()` then ask the device.
    """

    schedule: ClassVar[Schedule]
    # whether a row depends on the epoch
    varies: bool = True
    # what two ways of computing a rate may differ by, in spacings of the numbers that keep it
    tolerance: ClassVar[float] = 16.0
    caches: ClassVar = (*LRSchedulerBase.caches, "_launch", "_device", "_replayed")

    _launch: Launch | None = None
    _device: DeviceRates | None = None
    # whether the device may have gone on by itself
    _replayed: bool = False

    @property
    def last_epoch(self) -> Any:
        """The epoch whose rates are set."""
        self._ask_device()
        return self.__dict__["last_epoch"]

    @last_epoch.setter
    def last_epoch(self, epoch: Any) -> None:
        self.__dict__["last_epoch"] = epoch

    def get_last_lr(self) -> list[Any]:
        """The rates that were set last, tensors as copies."""
        if self._device is not None:
            self._ask_device()
            self._last_lr = [copied(rate) for rate in self._device.rates]
        return super().get_last_lr()

    def state_dict(self) -> dict[str, Any]:
        """Every attribute but the optimizer, under torch's names."""
        if self._device is not None:
            self.get_last_lr()
        return super().state_dict()

    def shared(self) -> Sequence[float]:
        """Values of `schedule.shared`."""
        return [float(getattr(self, name)) for name in self.schedule.shared]

    def columns(self) -> Sequence[Sequence[Any]]:
        """Values of `schedule.columns`, of each group; 1-element tensors are read."""
        return ()

    def row(self, epoch: float) -> Sequence[float]:
        """Values of `schedule.row` at an epoch: for all groups, or for each of them, one after the other."""
        return ()

    def momenta(self) -> list[Any]:
        """What each group holds of the second result."""
        return []

    def curve(self, epoch: float) -> list[float]:
        """The rates of a run that nobody else touches."""
        return self.results(epoch)[0]

    def results(self, epoch: float) -> list[list[float]]:
        """All results on the curve."""
        launch = self.prepared()
        launch.current.fill(0.0)
        launch.previous.fill(0.0)
        return launch(epoch, self.row(epoch))

    def prepared(self) -> Launch:
        """The launch on the host, with the constants of now."""
        groups = len(self.base_lrs)
        launch = self._launch
        if launch is None or launch.groups != groups:
            launch = self._launch = Launch(self.schedule, groups)
        launch.set_base(self.base_lrs)
        launch.shared[:] = self.shared()
        if self.schedule.columns:
            launch.set_columns(self.columns())
        return launch

    def device_key(self) -> Any:
        """What a launch on the device was told, as far as it may be compared without asking the device."""
        columns = [[_comparable(value) for value in column] for column in self.columns()]
        return [*map(_comparable, self.base_lrs)], columns, [*self.shared()]

    def __getstate__(self) -> dict[str, Any]:
        if self._device is not None:
            self.get_last_lr()
        return super().__getstate__()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """See the base class."""
        self._device, self._replayed = None, False
        super().load_state_dict(state_dict)

    def _curve(self, epoch: float) -> list[float]:
        return self.curve(epoch)

    def _advance(self, epoch: float, rates: Sequence[float], spacings: Sequence[float] | None) -> list[float]:
        launch = self.prepared()
        # Before the first epoch there is no curve but the base rates.
        launch.previous[:] = launch.base if epoch <= 0 else self.results(epoch - 1)[0]
        # of the first groups, where others have joined them
        launch.current[: len(rates)] = rates
        launch.tolerance.fill(_FLOAT64)
        if spacings is not None:
            launch.tolerance[: len(spacings)] = spacings
        launch.tolerance *= self.tolerance
        return launch(epoch, self.row(epoch))[0]

    def _settle(self, given: bool) -> None:
        epoch, device = self.last_epoch, self._device
        # At first, and where the caller names the epoch, rates may come from elsewhere.
        elsewhere = given or epoch <= 0 or self._is_initial or type(self).get_lr is not LRSchedulerBase.get_lr
        if elsewhere or not on_device([group["lr"] for group in self.optimizer.param_groups]):
            self._device = None
            super()._settle(given)
            return
        if device is None or device.epoch != epoch - 1 or not device.holds(self):
            if capturing():
                raise RuntimeError(f"{type(self).__name__} must have taken a step before one is captured in a graph")
            device = DeviceRates(self, epoch)
        elif epoch >= device.end and not capturing():
            # an error of a user's function is raised here
            self.row(epoch)
            device.extend(self, epoch)
        self._floats, self._evidence = (), None
        self._device = device
        device.run()
        self._replayed = self._replayed or capturing()
        if self.momenta() and not device.momenta:
            self._write_momenta(self.results(epoch)[1])  # type: ignore[attr-defined]

    def _update_lr(self, epoch: int | None = None) -> None:
        self._ask_device()
        # The epoch is the host's while it takes a step.
        replayed, self._replayed = self._replayed, False
        try:
            super()._update_lr(epoch)
        finally:
            self._replayed |= replayed and self._device is not None

    def _ask_device(self) -> None:
        """Take note of what the device did by itself, and tell it of epochs to come before it runs out of them."""
        device = self._device
        if device is None or not self._replayed or capturing():
            return
        epoch, end = int(device.counters[0]), device.end
        self._step_count += epoch - self.__dict__["last_epoch"]
        device.epoch = self.__dict__["last_epoch"] = epoch
        if epoch >= end:
            warnings.warn(
                f"{type(self).__name__} was tabulated up to epoch {end - 1}, and replayed up to {epoch}: ask for "
                "last_epoch now and then between replays, which tabulates what comes next",
                RuntimeWarning,
                stacklevel=3,
            )
        if epoch + 1 >= (device.first + end) / 2:
            device.extend(self, epoch + 1)


def cycled(scheduler: Any) -> list[Any]:
    """The momentum of each group, or its beta1, where the scheduler cycles it."""
    if not scheduler.cycle_momentum:
        return []
    groups = scheduler.optimizer.param_groups
    return [group["betas"][0] if scheduler.use_beta1 else group["momentum"] for group in groups]


def _comparable(value: Any) -> Any:
    """Tells a tensor that was written, or another one, from what it was."""
    return value if isinstance(value, float | int) else (id(value), value._version)
