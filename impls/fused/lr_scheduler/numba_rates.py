"""Runs schedulers' rules on the host: one launch for the rates of all groups."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..native import Kernel, kernel
from ..numba_source import _lines, _specialise
from .schedule import Schedule

_RATES = """
def rates(_job):
    _groups, epoch = load_int(_job, 0), load_float64(_job, 1)
    _base, _current, _previous, _tolerance = load_int(_job, 2), load_int(_job, 3), load_int(_job, 4), load_int(_job, 5)
    _row, _wide, _columns, _shared, _out = (
        load_int(_job, 6), load_int(_job, 7), load_int(_job, 8), load_int(_job, 9), load_int(_job, 10)
    )
    for _group in range(_groups):
        base, current = load_float64(_base, _group), load_float64(_current, _group)
        previous = load_float64(_previous, _group)
        if absolute_(current - previous) <= load_float64(_tolerance, _group) * absolute_(previous):
            current = previous
{loads}
{body}
{stores}
"""


def source(schedule: Schedule) -> str:
    """Source of `rates(job)`: the results of every group."""
    body, returned = _specialise(schedule.rate, {}, "float64")
    # a row is shared by all groups, unless each has its own
    loads = [f"{name} = load_float64(_row, _group * _wide + {place})" for place, name in enumerate(schedule.row)]
    loads += [
        f"{name} = load_float64(_columns, _group + {place} * _groups)" for place, name in enumerate(schedule.columns)
    ]
    loads += [f"{name} = load_float64(_shared, {place})" for place, name in enumerate(schedule.shared)]
    return _RATES.format(
        loads=_lines(8, loads),
        body=_lines(8, body.splitlines()),
        stores=_lines(
            8, (f"store_float64(_out, _group + {place} * _groups, {name})" for place, name in enumerate(returned))
        ),
    )


@functools.cache
def _kernel(schedule: Schedule) -> Kernel:
    return kernel(source(schedule), "rates")


class Launch:
    """A launch over so many groups, whose constants may be changed in between."""

    def __init__(self, schedule: Schedule, groups: int) -> None:
        self.schedule, self.groups = schedule, groups
        self.base, self.current, self.previous, self.tolerance = (np.zeros(groups) for _ in range(4))
        self.columns = np.zeros((len(schedule.columns), groups))
        self.shared = np.zeros(len(schedule.shared))
        self.out = np.zeros((len(schedule.results), groups))
        self._row = np.zeros(len(schedule.row) * groups)
        # None: to be read again
        self._held_base: list[Any] | None = None
        self._held_columns: list[list[Any] | None] = [None] * len(schedule.columns)
        self._kernel = _kernel(schedule)
        self._job = np.zeros(12, dtype=np.int64)
        self._epoch = self._job[1:2].view(np.float64)
        arrays = self.base, self.current, self.previous, self.tolerance
        self._job[0] = groups
        self._job[2:6] = [array.ctypes.data for array in arrays]
        self._job[6] = self._row.ctypes.data
        self._job[8:11] = self.columns.ctypes.data, self.shared.ctypes.data, self.out.ctypes.data
        self._address = self._job.ctypes.data

    def set_base(self, rates: Sequence[Any]) -> None:
        """Base rates of all groups."""
        if rates != self._held_base:
            self.base[:], self._held_base = _numbers(rates)

    def set_columns(self, columns: Sequence[Sequence[Any]]) -> None:
        """What each group has of its own, a column after the other."""
        for place, column in enumerate(columns):
            if column != self._held_columns[place]:
                self.columns[place], self._held_columns[place] = _numbers(column)

    def __call__(self, epoch: float, row: Sequence[float] = ()) -> list[list[float]]:
        """The results of every group.

        Args:
            row: of this epoch, for all groups, or for each of them, one after the other.
        """
        self._epoch[0] = epoch
        self._row[: len(row)] = row
        self._job[7] = len(self.schedule.row) if len(row) > len(self.schedule.row) else 0
        self._kernel(self._address)
        found: list[list[float]] = self.out.tolist()
        return found


def _numbers(values: Sequence[Any]) -> tuple[list[float], list[Any] | None]:
    """The values as floats, and what to compare with others; None where those that are equal may become others.

    Tensors may, which are written in place.
    """
    constant = set(map(type, values)) <= {float, int}
    return list(map(float, values)), list(values) if constant else None
