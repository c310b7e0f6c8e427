"""Runs update rules with Triton: on a GPU, or in Triton's interpreter on CPU tensors.

One launch updates all tensors of a bucket (a second one those that are not 16-byte aligned), from a table of addresses
that stays on the device until an address changes. Scalars are prepared on the host where steps and rate are there, and
by a launch where they are on the device, so that a CUDA graph replays without work on the host.
"""

from __future__ import annotations

import contextlib
import functools
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import triton
import triton.language as tl
from torch import Tensor

from . import numba_backend
from .bucket import Bucket
from .triton_kernels import PREPARE_BLOCK, block_size, compile_options, flag_values, kernels
from .triton_upload import Uploader

# Decided when kernels are defined, which is when they are imported.
_INTERPRETED = bool(triton.knobs.runtime.interpret)
NAME = "triton-interpreter" if _INTERPRETED else "triton"

# The interpreter takes milliseconds for a program, of whatever size.
INTERPRETED_BLOCK = 4096

_TYPES = {
    torch.float16: tl.float16, torch.bfloat16: tl.bfloat16, torch.float32: tl.float32, torch.float64: tl.float64,
}  # fmt: skip
_MISALIGNED = 15

Array = npt.NDArray[Any]


class _Tables:
    """What the launches of a bucket read on the device, copied again only when the bucket changed."""

    def __init__(self, bucket: Bucket) -> None:
        _check_device(bucket.device)
        self.upload = Uploader(bucket.device, capturable=prepares_on_device(bucket))
        self.revision, self.stream = -1, -1
        self.aligned: npt.NDArray[np.bool_] | None = None
        self.host: list[Array] = []
        self.records = self.hyper = torch.empty(0)
        # (whether the tensors are aligned, which tensor and block each program has)
        self.launches: list[tuple[bool, Tensor]] = []

    def refresh(self, bucket: Bucket) -> None:
        """Bring the tables up to date with the bucket, by at most one copy."""
        # A table is ordered by the stream it was copied on. A captured graph gets tables of its own: it copies them at
        # every replay, and no later step may change them.
        stream, capturing = _stream(bucket.device), _capturing(bucket.device)
        if self.revision == bucket.revision and self.stream == stream and not capturing:
            return
        self.revision = bucket.revision
        # Hyperparameters that the host prepares with are none of the device's business.
        host: list[Array] = [_records(bucket), *[bucket.hyper.copy()] * prepares_on_device(bucket)]
        fresh = capturing or self.stream != stream
        if not fresh and all(map(np.array_equal, host, self.host)):
            return
        used = np.array(bucket.present)
        aligned = ~np.any(bucket.arrays[used] & _MISALIGNED, axis=0)
        kinds: list[bool] = []
        if fresh or self.aligned is None or not np.array_equal(aligned, self.aligned):
            kinds = [kind for kind in (True, False) if (aligned == kind).any()]
        maps = [_block_map(bucket.numel, aligned == kind, _block(bucket, kind)) for kind in kinds]
        self.host, self.aligned, self.stream = host, aligned, stream
        copied = self.upload([*host, *maps])
        self.records, self.hyper = copied[0], copied[len(host) - 1]
        if maps:
            self.launches = list(zip(kinds, copied[len(host) :], strict=True))
        if capturing:
            # The next step outside the graph needs tables of its own again.
            self.revision, self.stream = -1, -1


def prepares_on_device(bucket: Bucket) -> bool:
    """Whether the scalars must be computed on the device, because the steps or the rate are there."""
    return bucket.steps_on_device or bucket.lr_tensor is not None


def prepare(bucket: Bucket, found_inf: Tensor | None = None) -> Array | Tensor:
    """Advance the steps and return the scalars of each tensor, [tensors, len(rule.scalars)].

    On the host in float64, or on the device in the working type. Where `found_inf` is not zero, the steps stay.
    """
    if not prepares_on_device(bucket):
        # Without stored steps there is nothing for found_inf to protect, and it would be waited for.
        return numba_backend.prepare(bucket, found_inf if bucket.rule.stores_step else None)
    rule, tables = bucket.rule, _tables(bucket)
    tensors = len(bucket.numel)
    scalars = torch.empty((tensors, len(rule.scalars)), dtype=_working_dtype(bucket), device=bucket.device)
    with _on(bucket.device):
        kernels(rule).prepare_kernel[(triton.cdiv(tensors, PREPARE_BLOCK),)](
            tables.records, tables.hyper, bucket.lr_tensor, found_inf, scalars, tensors,
            **flag_values(rule, bucket.flags), STEP=_TYPES[bucket.step_dtype] if rule.stores_step else None,
            STORED=_storage_type(bucket.stored_dtype) if rule.tensor_state else None,
            WORK=_TYPES[_working_dtype(bucket)], BLOCK=PREPARE_BLOCK, **_options(),
        )  # fmt: skip
    return scalars


def update(
    bucket: Bucket, scalars: Array | Tensor, grad_scale: Tensor | None = None, found_inf: Tensor | None = None
) -> None:
    """Update every element of every tensor once. Where `found_inf` is not zero, nothing is stored."""
    rule, working = bucket.rule, _working_dtype(bucket)
    # A launch that prepared has brought the tables up to date; during a capture, each time would make new ones.
    tables = bucket.derived["triton"] if isinstance(scalars, Tensor) else _tables(bucket)
    shared, table = [0.0] * len(rule.scalars), None
    if isinstance(scalars, Tensor):
        table = scalars
    elif (scalars == scalars[0]).all():
        # Arguments of the launch: nothing to copy.
        shared = scalars[0].tolist()
    else:
        (table,) = tables.upload([scalars.astype(_numpy_dtype(working))])
    with _on(bucket.device):
        for aligned, block_map in tables.launches:
            kernels(rule).update_kernel[(len(block_map),)](
                tables.records, block_map, table, grad_scale, found_inf, *shared,
                **flag_values(rule, bucket.flags), STORAGE=_storage_type(bucket.dtype), WORK=_TYPES[working],
                BLOCK=_block(bucket, aligned), ALIGNED=aligned, **_options(),
            )  # fmt: skip


def _tables(bucket: Bucket) -> _Tables:
    tables: _Tables = bucket.derived.setdefault("triton", None) or _Tables(bucket)
    bucket.derived["triton"] = tables
    tables.refresh(bucket)
    return tables


def _records(bucket: Bucket) -> npt.NDArray[np.int64]:
    """One record a tensor: see triton_kernels."""
    step = bucket.steps if bucket.rule.stores_step else bucket.step_numbers.view(np.int64)
    return np.vstack([bucket.arrays, bucket.numel, step, *bucket.tensor_state]).T


def _block_map(numel: npt.NDArray[np.int64], chosen: npt.NDArray[np.bool_], block: int) -> npt.NDArray[np.int32]:
    """For each program of a launch, its tensor and its block in that tensor."""
    tensors = np.flatnonzero(chosen)
    blocks = -(-numel[tensors] // block)
    first = np.cumsum(blocks) - blocks
    index = np.arange(blocks.sum()) - np.repeat(first, blocks)
    return np.stack([np.repeat(tensors, blocks), index], axis=1).astype(np.int32)


def _block(bucket: Bucket, aligned: bool) -> int:
    return INTERPRETED_BLOCK if _INTERPRETED else block_size(bucket.dtype.itemsize, aligned)


def _working_dtype(bucket: Bucket) -> torch.dtype:
    return torch.float64 if bucket.dtype == torch.float64 else torch.float32


def _numpy_dtype(dtype: torch.dtype) -> type[np.floating[Any]]:
    return np.float64 if dtype == torch.float64 else np.float32


def _storage_type(dtype: torch.dtype) -> tl.dtype:
    # The interpreter converts bfloat16 wrongly; the kernels then handle its bits.
    return tl.uint16 if _INTERPRETED and dtype == torch.bfloat16 else _TYPES[dtype]


def _check_device(device: torch.device) -> None:
    if device.type == "cpu" and not _INTERPRETED:
        raise RuntimeError("Triton runs on CPU tensors only in its interpreter: set TRITON_INTERPRET=1")
    if device.type != "cpu" and _INTERPRETED:
        raise RuntimeError(f"Triton's interpreter reads CPU tensors only, not {device.type}: unset TRITON_INTERPRET")


def _capturing(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.is_current_stream_capturing()


def _stream(device: torch.device) -> int:
    return torch.cuda.current_stream(device).cuda_stream if device.type == "cuda" else 0


def _on(device: torch.device) -> AbstractContextManager[Any]:
    return torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()


@functools.cache
def _options() -> dict[str, Any]:
    return {} if _INTERPRETED else compile_options(triton.runtime.driver.active.get_current_target())
