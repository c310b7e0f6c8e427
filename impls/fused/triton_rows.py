"""The gather launcher on a GPU, or in Triton's interpreter: a program for each block of a sparse gradient's values.

Neighbouring values lie in one row, so their places in the parameter and its state are neighbours as well; each element
finds its row by a division. The tables change with every gradient: one copy brings them to the device.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor

from .rows import RowBucket
from .triton_backend import (
    _INTERPRETED,
    _TYPES,
    INTERPRETED_BLOCK,
    Array,
    _block_map,
    _check_device,
    _numpy_dtype,
    _on,
    _options,
    _storage_type,
    _working_dtype,
)
from .triton_kernels import flag_values
from .triton_row_kernels import ROWS_BLOCK, rows_kernel
from .triton_upload import Uploader


def update(bucket: RowBucket, scalars: Array | Tensor) -> None:
    """Update every row of every tensor once."""
    _check_device(bucket.device)
    working = _working_dtype(bucket)
    block = INTERPRETED_BLOCK if _INTERPRETED else ROWS_BLOCK
    everything = np.ones(len(bucket.numel), dtype=np.bool_)
    host: list[Array] = [
        np.vstack([bucket.arrays, bucket.numel, bucket.rows, bucket.width]).T,
        _block_map(bucket.numel, everything, block),
    ]
    if not isinstance(scalars, Tensor):
        host.append(scalars.astype(_numpy_dtype(working)))
    records, block_map, *table = _uploader(bucket.device)(host)
    with _on(bucket.device):
        rows_kernel(bucket.rule).rows_kernel[(len(block_map),)](
            records, block_map, scalars if isinstance(scalars, Tensor) else table[0],
            **flag_values(bucket.rule, bucket.flags), STORAGE=_storage_type(bucket.dtype), WORK=_TYPES[working],
            BLOCK=block, **_options(),
        )


@functools.cache
def _uploader(device: torch.device) -> Uploader:
    return Uploader(device, capturable=False)
