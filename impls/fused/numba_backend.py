"""Runs update rules on the CPU: one pass over all tensors of a bucket, by all of torch's threads.

The work is cut into chunks of equal size across tensors, so that a thousand small tensors and one large one are
balanced alike.
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
_SMALLEST_CHUNK, _LARGEST_CHUNK = 1 << 14, 1 << 20
# Less work than this, about 0.1 ms, is not worth waking threads for: on a busy machine they come late.
_PARALLEL_WORK = 1 << 17

Array = npt.NDArray[Any]


def prepare(bucket: Bucket, found_inf: Tensor | None = None) -> Array:
    """Advance the steps by one and return the scalars of each tensor, float64 [tensors, len(rule.scalars)].

    The table is the bucket's own and is overwritten by the next step. Where `found_inf` is not zero, the steps stay.
    """
    preparation: _Preparation | None = bucket.derived.get("preparation")
    if preparation is None:
        preparation = bucket.derived["preparation"] = _Preparation(bucket)
    if found_inf is None or not found_inf.item():
        preparation.kernel(preparation.address)
    return preparation.table


def update(bucket: Bucket, scalars: Array, grad_scale: Tensor | None = None, found_inf: Tensor | None = None) -> None:
    """Update every element of every tensor once. Where `found_inf` is not zero, nothing is stored."""
    if found_inf is not None and found_inf.item():
        return
    threads = torch.get_num_threads()
    work: _Work | None = bucket.derived.get("work")
    if work is None or work.threads != threads or work.scalars is not scalars:
        work = bucket.derived["work"] = _Work(bucket, scalars, threads)
    # GradScaler, too, multiplies by the reciprocal in float32.
    work.unscale[0] = 1.0 if grad_scale is None else np.float32(1.0 / grad_scale.item())
    workers.run(work.kernel, work.job, work.address, work.chunks, threads)


class _Preparation:
    """What `prepare` needs of a bucket, whose arrays stay where they are."""

    def __init__(self, bucket: Bucket) -> None:
        tensors = len(bucket.numel)
        self.table = np.zeros((tensors, len(bucket.rule.scalars)))
        self.job = np.array(
            [
                tensors,
                bucket.steps.ctypes.data if bucket.rule.stores_step else 0,
                bucket.step_dtype == torch.float64,
                bucket.step_numbers.ctypes.data,
                bucket.hyper.ctypes.data,
                self.table.ctypes.data,
                bucket.tensor_state.ctypes.data,
            ],
            dtype=np.int64,
        )
        self.address = self.job.ctypes.data
        self.kernel = _prepare_kernel(bucket.rule, bucket.flags, bucket.stored_dtype)


class _Work:
    """What `update` needs of a bucket on so many threads."""

    def __init__(self, bucket: Bucket, scalars: Array, threads: int) -> None:
        self.threads, self.scalars = threads, scalars
        self.chunk_tensor, self.chunk_start = _chunks(bucket.numel, threads)
        self.chunks = len(self.chunk_tensor) - 1
        self.job = np.zeros(JOB_SIZE, dtype=np.int64)
        self.job[:7] = (
            bucket.arrays.ctypes.data,
            len(bucket.numel),
            bucket.numel.ctypes.data,
            scalars.ctypes.data,
            self.chunk_tensor.ctypes.data,
            self.chunk_start.ctypes.data,
            self.chunks,
        )
        self.unscale = self.job[7:8].view(np.float64)
        self.address = self.job.ctypes.data
        self.kernel = _update_kernel(bucket.rule, bucket.flags, bucket.dtype)


@functools.cache
def _prepare_kernel(rule: Rule, flags: tuple[int, ...], stored: torch.dtype) -> Kernel:
    return kernel(prepare_source(rule, flags, _name(stored)), "prepare")


@functools.cache
def _update_kernel(rule: Rule, flags: tuple[int, ...], dtype: torch.dtype) -> Kernel:
    return kernel(update_source(rule, flags, _name(dtype)), "update")


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _chunks(numel: Array, threads: int) -> tuple[Array, Array]:
    """Where each chunk starts: in which tensor, at which element; and the end of the last."""
    ends = np.cumsum(numel + _TENSOR_OVERHEAD)
    size = min(max(int(ends[-1]) // (16 * threads), _SMALLEST_CHUNK), _LARGEST_CHUNK)
    parallel = threads > 1 and ends[-1] >= _PARALLEL_WORK
    bounds = np.arange(size, ends[-1], size) if parallel else np.zeros(0, dtype=np.int64)
    tensor = np.searchsorted(ends, bounds, side="right")
    starts = ends - numel - _TENSOR_OVERHEAD
    offset = np.minimum(bounds - starts[tensor], numel[tensor]) & -_CHUNK_STEP
    last = len(numel) - 1
    chunk_tensor = np.concatenate([[0], tensor, [last]]).astype(np.int64)
    chunk_start = np.concatenate([[0], offset, [numel[last]]]).astype(np.int64)
    return chunk_tensor, chunk_start
