"""One launch over all averages of a device, dtype and set of flags, and what is kept of it from update to update."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..backends import backend_for
from ..bucket import Bucket
from ..layout import STORAGE_DTYPES, fits, layout_guard, real_dtype, scratch_for, walk_strides
from .average import RULE

_HALVES = (torch.float16, torch.bfloat16)
_address = torch._C.TensorBase.data_ptr


class Digits(NamedTuple):
    """What an average has beyond what its tensor can hold, both in the order in which the tensor is walked.

    Args:
        wide: the average itself, in float32 for a tensor of 16 bits, and in float64 for integers.
        residual: what additions have lost.
    """

    wide: Tensor | None = None
    residual: Tensor | None = None


class Member(NamedTuple):
    """One average's arrays as a launch walks them: the average, its source, then what exists of `Digits`."""

    device: torch.device
    dtype: torch.dtype
    flags: tuple[int, int]
    arrays: tuple[Tensor | None, ...]
    # (where the result must go, in which array it is)
    copy: tuple[Tensor, Tensor] | None
    # whether arrays are copies that hold for one update only
    loose: bool


class Section:
    """Averages that one launch updates."""

    def __init__(self, members: Sequence[Member]) -> None:
        first, count = members[0], len(members)
        places = [[0 if array is None else array.data_ptr() for array in member.arrays] for member in members]
        sizes = [member.arrays[0].numel() * (1 + member.arrays[0].is_complex()) for member in members]  # type: ignore[union-attr]
        self.backend = backend_for(first.device)
        self.bucket = Bucket(
            rule=RULE,
            flags=first.flags,
            dtype=first.dtype,
            device=first.device,
            arrays=np.array(places, dtype=np.int64).T.copy(),
            numel=np.array(sizes),
            steps=np.zeros(count, dtype=np.int64),
            step_dtype=torch.float32,
            steps_on_device=False,
            step_numbers=np.full(count, 2.0),
            hyper=np.zeros((count, 1)),
            tensor_state=np.zeros((0, count), dtype=np.int64),
        )

    def run(self, weight: float) -> str:
        """Move the averages towards their sources by this part of the way; the name of the backend that did."""
        if self.bucket.hyper[0, 0] != weight:
            self.bucket.hyper.fill(weight)
            self.bucket.revision += 1
        self.backend.update(self.bucket, self.backend.prepare(self.bucket))
        name: str = self.backend.NAME
        return name


class Passes:
    """The launches of one update, as long as averages, sources and digits stay where they are.

    Keeps no memory alive but that of the digits.

    Args:
        averages: what is updated.
        sources: what is averaged, as many, of the same shapes.
        digits: of each average; none where the tensors are all there is.
    """

    def __init__(self, averages: Sequence[Tensor], sources: Sequence[Tensor], digits: Sequence[Digits] = ()) -> None:
        self._digits = list(digits) or [Digits()] * len(averages)
        everything = list(zip(averages, sources, self._digits, strict=True))
        members = [_arrange(*one) for one in everything]
        self._loose = [index for index, member in enumerate(members) if member.loose]
        self._sections = _sections([member for member in members if not member.loose])
        self._guard = layout_guard([*averages, *sources])
        self._addresses = _addresses(averages, sources)

    def hold(self, averages: Sequence[Tensor], sources: Sequence[Tensor]) -> bool:
        """Whether these tensors are where, and as, those were that the launches were made for."""
        return _addresses(averages, sources) == self._addresses and self._guard([*averages, *sources])

    def run(self, averages: Sequence[Tensor], sources: Sequence[Tensor], weight: float) -> tuple[str, ...]:
        """average = average + weight*(source - average); the names of the backends that did."""
        loose = [_arrange(averages[index], sources[index], self._digits[index]) for index in self._loose]
        names = [section.run(weight) for section in self._sections + _sections(loose)]
        for target, result in (member.copy for member in loose if member.copy is not None):
            target.copy_(result if target.is_floating_point() or target.is_complex() else result.round())
        try:
            torch.autograd.graph.increment_version(averages)
        except RuntimeError:
            # tensors of inference mode count no versions
            torch.autograd.graph.increment_version([average for average in averages if not average.is_inference()])
        return tuple(dict.fromkeys(names))


def wide_dtype(tensor: Tensor) -> torch.dtype | None:
    """In what an average of such a tensor must be kept, in order not to stand still; None where its own dtype will do.

    Of complex numbers: the dtype of their parts.
    """
    if real_dtype(tensor) in _HALVES:
        return torch.float32
    return None if real_dtype(tensor) in STORAGE_DTYPES else torch.float64


def _arrange(average: Tensor, source: Tensor, digits: Digits) -> Member:
    dtype, wide, residual = real_dtype(average), digits.wide, digits.residual
    strides = walk_strides(average)
    loose = False
    if not (fits(average, strides, dtype) and dtype in STORAGE_DTYPES and real_dtype(source) == dtype):
        # The average is taken where there is room for its digits, and then rounded into its tensor.
        dtype, loose = wide_dtype(average) or dtype, True
        target = scratch_for(average, strides, dtype) if wide is None else wide
    else:
        target = average
    if source.shape != average.shape:
        # refuses what does not fit; what is spread lies in other strides, and is copied
        source = source.expand_as(average)
    origin = source
    if source.device != average.device or not fits(source, strides, dtype):
        origin, loose = _scratch(source.to(average.device), target, strides, dtype), True
    for array in (target, origin):
        if array.numel() and not array.data_ptr():
            raise TypeError(f"the fused tier needs plain tensors, not {type(array).__name__} without memory of its own")
    shadow = wide if target is average else None
    return Member(
        device=average.device,
        dtype=dtype,
        flags=(int(shadow is not None), int(residual is not None)),
        arrays=(target, origin, shadow, residual),
        copy=None if target is average else (average, target),
        loose=loose,
    )


def _scratch(source: Tensor, target: Tensor, strides: Sequence[int], dtype: torch.dtype) -> Tensor:
    if source.is_complex() and not target.is_complex():
        raise TypeError(f"a {source.dtype} cannot be averaged in {target.dtype}")
    if target.is_complex() and not source.is_complex():
        source = source.to(target.dtype)
    return scratch_for(source, strides, dtype)


def _sections(members: Sequence[Member]) -> list[Section]:
    by_key: dict[tuple[torch.device, torch.dtype, tuple[int, int]], list[Member]] = {}
    for member in members:
        if member.arrays[0].numel():  # type: ignore[union-attr]
            by_key.setdefault((member.device, member.dtype, member.flags), []).append(member)
    return [Section(some) for some in by_key.values()]


def _addresses(averages: Sequence[Tensor], sources: Sequence[Tensor]) -> list[int]:
    return [*map(_address, averages), *map(_address, sources)]
