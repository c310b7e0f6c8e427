"""Rates that are tensors on a device: a launch counts the epoch there and writes them, and the host does nothing else.

So a captured CUDA graph that holds an optimizer's step and a scheduler's replays both.
"""

from __future__ import annotations

import importlib
import math
import os
from collections.abc import Sequence
from operator import is_, itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..backends import backend_for

if TYPE_CHECKING:
    from .scheduler import FusedScheduler

_KINDS = (torch.float32, torch.float64)
_rate = itemgetter("lr")
# Most numbers of a table, and fewest epochs.
_TABLE, _EPOCHS = 1 << 16, 1 << 10

# What graphs use at every replay. A graph does not say when it is deleted, so it lives as long as the process.
_captured: list[DeviceRates] = []


def on_device(values: Sequence[Any]) -> bool:
    """Whether these are tensors that one launch can write: of one dtype, and on one device, which is not the host."""
    if not values or not all(isinstance(value, Tensor) for value in values):
        return False
    kinds = {(value.device, value.dtype, value.numel()) for value in values}
    device, dtype, _ = next(iter(kinds))
    launched = device.type != "cpu" or os.environ.get("OPTBENCH_FUSED_BACKEND") == "triton"
    return launched and len(kinds) == 1 and dtype in _KINDS and values[0].numel() == 1


def capturing() -> bool:
    """Whether launches are being captured in a graph."""
    return torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()


class DeviceRates:
    """A schedule on a device, at an epoch that the device counts.

    Args:
        scheduler: whose rates they are.
        epoch: the epoch that the next launch comes to.
    """

    def __init__(self, scheduler: FusedScheduler, epoch: int) -> None:
        rates = list(map(_rate, scheduler.optimizer.param_groups))
        momenta = scheduler.momenta()
        device, groups = rates[0].device, len(rates)
        self.kernels = importlib.import_module(".triton_rates", __package__)
        self.backend = backend_for(device)
        self.schedule, self.device, self.groups = scheduler.schedule, device, groups
        self.rates, self.momenta = rates, momenta if on_device(momenta) else []
        self._held = scheduler.device_key()
        self._places = self._addresses()
        launch = scheduler.prepared()
        before = launch.base if epoch <= 0 else np.array(scheduler.curve(epoch - 1))
        spacing = torch.finfo(rates[0].dtype).eps
        blocks = -(-groups // self.kernels.BLOCK)
        self.epoch = epoch - 1
        self.counters = torch.full((blocks,), epoch - 1, dtype=torch.int64, device=device)
        self.base, self.last = self._copy(launch.base), self._copy(before)
        self.columns = self._copy(launch.columns)
        self.shared = self._copy(np.append(launch.shared, scheduler.tolerance * spacing))
        self.addresses = self._copy(np.array([rate.data_ptr() for rate in rates]))
        self.seconds = self._copy(np.array([value.data_ptr() for value in self.momenta])) if self.momenta else None
        self._tabulate(scheduler, epoch)

    def _tabulate(self, scheduler: FusedScheduler, first: int) -> None:
        """Ask for the rows of epochs to come, as many as there are, and as a table holds."""
        width = len(self.schedule.row)
        start = scheduler.row(first) if width else (1.0,)
        self.stride = len(start)
        self.wide = width if self.stride > width else 0
        self.ends = bool(width) and scheduler.varies
        self._capacity = max(_TABLE // self.stride, _EPOCHS) if self.ends else 1
        self.rows = torch.ones((self._capacity, self.stride), dtype=torch.float64, device=self.device)
        self.span = torch.zeros(2, dtype=torch.int64, device=self.device)
        self._fill(scheduler, first, [start])

    def extend(self, scheduler: FusedScheduler, first: int) -> None:
        """Go on with the table from an epoch on, in the memory that launches read; unless that epoch is an error."""
        try:
            rows = [scheduler.row(first)]
        except Exception:
            return
        self._fill(scheduler, first, rows)

    def _fill(self, scheduler: FusedScheduler, first: int, rows: list[Sequence[float]]) -> None:
        for epoch in range(first + 1, first + self._capacity):
            try:
                rows.append(scheduler.row(epoch))
            except Exception:
                # It is an error when that epoch comes, and not before.
                break
        self.first, self.epochs = first, len(rows)
        self.rows[: len(rows)].copy_(torch.tensor(rows, dtype=torch.float64))
        self.span.copy_(torch.tensor([first, len(rows)]))

    @property
    def end(self) -> float:
        """The first epoch that is not tabulated."""
        return self.first + self.epochs if self.ends else math.inf

    def holds(self, scheduler: FusedScheduler) -> bool:
        """Whether the launch would still do what the scheduler asks for."""
        groups = scheduler.optimizer.param_groups
        return (
            len(groups) == self.groups
            and all(map(is_, map(_rate, groups), self.rates))
            and (not self.momenta or all(map(is_, scheduler.momenta(), self.momenta)))
            and self._addresses() == self._places
            and scheduler.device_key() == self._held
        )

    def run(self) -> None:
        """Come to the next epoch, and write its rates."""
        backend = self.backend
        backend._check_device(self.device)
        with backend._on(self.device):
            self.kernels.rates_kernel(self.schedule)[(len(self.counters),)](
                self.addresses, self.seconds, self.counters, self.base, self.last, self.columns, self.shared,
                self.rows, self.span, self.stride, self.wide, self.groups,
                RATE=backend._TYPES[self.rates[0].dtype],
                MOMENTUM=backend._TYPES[self.momenta[0].dtype] if self.momenta else None,
                BLOCK=self.kernels.BLOCK, **backend._options(),
            )  # fmt: skip
        torch.autograd.graph.increment_version([*self.rates, *self.momenta])
        self.epoch += 1
        if capturing():
            _captured.append(self)

    def _addresses(self) -> list[int]:
        return [tensor.data_ptr() for tensor in [*self.rates, *self.momenta]]

    def _copy(self, array: Any) -> Tensor:
        # an empty tensor has no address
        return torch.tensor(array if array.size else [0.0], device=self.device)
