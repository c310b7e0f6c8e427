"""L-BFGS's passes over flat vectors on a GPU, or in Triton's interpreter on CPU tensors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .triton_backend import _TYPES, _check_device, _on, _options, _storage_type
from .triton_vector_kernels import BLOCK, advance_kernel, remember_kernel
from .vectors import History, chunks_of

# Elements of the smallest chunk, and most chunks: enough programs for every multiprocessor.
_CHUNKS = 1 << 12, 2048


def remember(grad: Tensor, previous: Tensor, direction: Tensor, t: float, change: Tensor, move: Tensor) -> Tensor:
    """See vectors.remember."""
    size, chunks = chunks_of(len(grad), *_CHUNKS)
    sums = torch.empty((2, chunks), dtype=torch.float64, device=grad.device)
    # As an argument it would arrive in float32.
    rate = torch.full((), t, dtype=torch.float64, device=grad.device)
    addresses = [tensor.data_ptr() for tensor in (grad, previous, direction, change, move)]
    with _on(grad.device):
        remember_kernel[(chunks,)](*addresses, rate, sums, len(grad), size, chunks, **_constants(grad))
    return sums.sum(dim=1)


def recur(grad: Tensor, history: History, result: Tensor) -> Tensor:
    """See vectors.recur."""
    size, chunks = chunks_of(len(grad), *_CHUNKS)
    # Each pass reads the sums that the pass before has left.
    sums = torch.empty((2, chunks), dtype=torch.float64, device=grad.device)
    turn = 0
    with _on(grad.device):
        for turn, (loop, *tensors) in enumerate(history.passes(grad)):
            addresses = [0 if tensor is None else tensor.data_ptr() for tensor in tensors]
            advance_kernel[(chunks,)](
                result.data_ptr(), grad.data_ptr(), *addresses, sums[1 - turn % 2], sums[turn % 2], len(grad), size,
                chunks, LOOP=loop, **_constants(grad),
            )
    return sums[turn % 2].sum()


def _constants(grad: Tensor) -> dict[str, Any]:
    _check_device(grad.device)
    working = torch.float64 if grad.dtype == torch.float64 else torch.float32
    return {"STORAGE": _storage_type(grad.dtype), "WORK": _TYPES[working], "BLOCK": BLOCK, **_options()}
