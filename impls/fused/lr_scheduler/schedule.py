"""The record of a scheduler's rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, eq=False)
class Schedule:
    """A curve of rates, as a function of scalars in the language of `lang`.

    Args:
        name: the scheduler's name.
        rate: `(epoch, base, current, previous, *row, *columns, *shared) -> results`, all float64. `base` is the rate
            that the curve begins with. Where `current`, the rate that stands in the group, is the curve's at the epoch
            before, `previous`, the result is the curve's; else what stands there is taken one step further.
        row: names of what is known of an epoch only on the host, and tabulated for a device.
        columns: names of what each group has of its own.
        shared: names of what all groups share.
        results: "lr", and "momentum" where that moves as well.
    """

    name: str
    rate: Callable[..., Any]
    row: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    results: tuple[str, ...] = ("lr",)
