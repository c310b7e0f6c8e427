"""Runs update rules on the CPU: one pass over all tensors of a bucket, by all of torch's threads.

The work is cut into chunks of equal size across tensors, so that a thousand small tensors and one large one are balanced alike.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from . import workers
from .bucket import Bucket
from .lang import Rule
from .native import Kernel, kernel
from .numba_source import JOB_SIZE, prepare_source, update_source

NAME = "numba"

# What a tensor costs besides its elements, in elements.
_TENSOR_OVERHEAD = 64
# Chunks start at multiples of this many elements, and hold between these numbers of them.
_CHUNK_STEP = 64
_SMALLEST_CHUNK, _LARGEST_CHUNK = 1 << 14, 1 << 16
# Less work than this, about 0.1 ms, is not worth waking threads for: on a busy machine they come late.
_PARALLEL_WORK = 1 << 17

Array = npt.NDArray[Any]


def prepare(bucket: Bucket, found_inf: Tensor | None = None) -> Array:
    """Advance the steps by one and return the scalars of each tensor, float64 [tensors, len(rule.scalars)].

    The table is the bucket's own and is overwritten by the next step. Where `found_inf` is not zero, the steps stay.
    """
    tensors = len(bucket.numel)
    table: Array | None = bucket.derived.get("scalars")
    if table is None:
        table = bucket.derived["scalars"] = np.zeros((tensors, len(bucket.rule.scalars)))
    if found_inf is not None and found_inf.item():
        return table
    job = np.array(
        [
            tensors,
            bucket.steps.ctypes.data if bucket.rule.stores_step else 0,
            bucket.step_dtype == torch.float64,
            bucket.step_numbers.ctypes.data,
            bucket.hyper.ctypes.data,
            table.ctypes.data,
        ],
        dtype=np.int64,
    )
    _prepare_kernel(bucket.rule, bucket.flags)(job.ctypes.data)
    return table


def update(
    bucket: Bucket, scalars: Array, grad_scale: Tensor | None = None, found_inf: Tensor | None = None
) -> None:
    """Update every element of every tensor once. Where `found_inf` is not zero, nothing is stored."""
    if found_inf is not None and found_inf.item():
        return
    threads = torch.get_num_threads()
    chunk_tensor, chunk_start = _chunks(bucket, threads)
    chunks = len(chunk_tensor) - 1
    job = np.zeros(JOB_SIZE, dtype=np.int64)
    job[:7] = (
        bucket.arrays.ctypes.data,
        len(bucket.numel),
        bucket.numel.ctypes.data,
        scalars.ctypes.data,
        chunk_tensor.ctypes.data,
        chunk_start.ctypes.data,
        chunks,
    )
    # GradScaler, too, multiplies by the reciprocal in float32.
    job.view(np.float64)[7] = 1.0 if grad_scale is None else np.float32(1.0 / grad_scale.item())
    workers.run(_update_kernel(bucket.rule, bucket.flags, bucket.dtype), job, chunks, threads)


@functools.cache
def _prepare_kernel(rule: Rule, flags: tuple[int, ...]) -> Kernel:
    return kernel(prepare_source(rule, flags), "prepare")


@functools.cache
def _update_kernel(rule: Rule, flags: tuple[int, ...], dtype: torch.dtype) -> Kernel:
    return kernel(update_source(rule, flags, str(dtype).removeprefix("torch.")), "update")


def _chunks(bucket: Bucket, threads: int) -> tuple[Array, Array]:
    """Where each chunk starts: in which tensor, at which element; and the end of the last."""
    kept = bucket.derived.get("chunks")
    if kept is not None and kept[0] == threads:
        return kept[1]  # type: ignore[no-any-return]
    ends = np.cumsum(bucket.numel + _TENSOR_OVERHEAD)
    size = min(max(int(ends[-1]) // (16 * threads), _SMALLEST_CHUNK), _LARGEST_CHUNK)
    parallel = threads > 1 and ends[-1] >= _PARALLEL_WORK
    bounds = np.arange(size, ends[-1], size) if parallel else np.zeros(0, dtype=np.int64)
    tensor = np.searchsorted(ends, bounds, side="right")
    starts = ends - bucket.numel - _TENSOR_OVERHEAD
    offset = np.minimum(bounds - starts[tensor], bucket.numel[tensor]) & -_CHUNK_STEP
    last = len(bucket.numel) - 1
    chunk_tensor = np.concatenate([[0], tensor, [last]]).astype(np.int64)
    chunk_start = np.concatenate([[0], offset, [bucket.numel[last]]]).astype(np.int64)
    bucket.derived["chunks"] = (threads, (chunk_tensor, chunk_start))
    return chunk_tensor, chunk_start
