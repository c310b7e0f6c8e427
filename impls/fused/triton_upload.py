"""Copies small tables from the host to a GPU: one asynchronous copy from a ring of pinned buffers guarded by events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Array = npt.NDArray[Any]

_ALIGNMENT = 16
_RING_SLOTS = 4
_DTYPES = {"int32": torch.int32, "int64": torch.int64, "float32": torch.float32, "float64": torch.float64}

# Buffers of captured copies, on the host and on the device, which a graph uses at every replay. A graph does not say
# when it is deleted, so they live as long as the process: a few tens of bytes a tensor and capture.
_captured: list[tuple[Tensor, Tensor]] = []


class Uploader:
    """Makes device tensors from host arrays. They are never written again, so launches in flight stay valid.

    Args:
        device: where to.
        capturable: whether a CUDA graph may be captured later. Pinned memory cannot be had during a capture, so a
            buffer is kept ready for one.
    """

    def __init__(self, device: torch.device, capturable: bool) -> None:
        self.device = device
        self.capturable = capturable
        self.ring: list[tuple[Tensor, torch.cuda.Event]] = []
        self.turn = 0
        self.spare: Tensor | None = None

    def __call__(self, arrays: Sequence[Array]) -> list[Tensor]:
        """Return the arrays as tensors on the device, copied together."""
        starts = np.cumsum([0, *(-(-array.nbytes // _ALIGNMENT) * _ALIGNMENT for array in arrays)])
        size = int(starts[-1])
        packed = torch.empty(size, dtype=torch.uint8, device=self.device)
        if self.device.type == "cpu":
            _fill(packed, arrays, starts)
        elif torch.cuda.is_current_stream_capturing():
            pinned, self.spare = self.spare, None
            if pinned is None or pinned.numel() < size:
                pinned = _pinned(size)
            _fill(pinned, arrays, starts)
            packed.copy_(pinned[:size], non_blocking=True)
            _captured.append((pinned, packed))
        else:
            pinned, copied = self._slot(size)
            _fill(pinned, arrays, starts)
            packed.copy_(pinned[:size], non_blocking=True)
            copied.record()
            if self.capturable and (self.spare is None or self.spare.numel() < size):
                self.spare = _pinned(size)
        return [
            packed[start : start + array.nbytes].view(_DTYPES[array.dtype.name]).view(array.shape)
            for array, start in zip(arrays, starts, strict=False)
        ]

    def _slot(self, size: int) -> tuple[Tensor, torch.cuda.Event]:
        """The next buffer of the ring, once its last copy is done."""
        if len(self.ring) < _RING_SLOTS:
            self.ring.append((_pinned(size), torch.cuda.Event()))
            return self.ring[-1]
        self.turn = (self.turn + 1) % _RING_SLOTS
        pinned, copied = self.ring[self.turn]
        copied.synchronize()
        if pinned.numel() < size:
            pinned = _pinned(size)
            self.ring[self.turn] = (pinned, copied)
        return pinned, copied


def _pinned(size: int) -> Tensor:
    return torch.empty(size, dtype=torch.uint8, pin_memory=True)


def _fill(buffer: Tensor, arrays: Sequence[Array], starts: Array) -> None:
    host = buffer.numpy()
    for array, start in zip(arrays, starts, strict=False):
        host[start : start + array.nbytes].view(array.dtype).reshape(array.shape)[...] = array
