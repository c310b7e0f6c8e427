"""Adafactor's three launches on a GPU, or in Triton's interpreter on CPU tensors."""

from __future__ import annotations

from typing import Any

from .tiles import TileBucket, TileSize
from .triton_adafactor_kernels import COLS, ROWS_BY_ITEMSIZE, moments_kernel, step_kernel, sums_kernel
from .triton_backend import _TYPES, Array, _check_device, _on, _options, _storage_type
from .triton_upload import Uploader

TILE_SIZE = TileSize(rows=128, cols=COLS, parts=64, elements=128 * COLS)


def update(bucket: TileBucket, scalars: Array) -> None:
    """Update every tensor of the bucket."""
    _check_device(bucket.device)
    upload: Uploader = bucket.derived.get("upload") or Uploader(bucket.device, capturable=False)
    bucket.derived["upload"] = upload
    tensors, tiles, table = upload([bucket.tensors, bucket.tiles, scalars])
    grid = (len(bucket.tiles),)
    constants: dict[str, Any] = {
        "STORAGE": _storage_type(bucket.dtype), "WORK": _TYPES[bucket.working],
        "ROWS": ROWS_BY_ITEMSIZE[bucket.dtype.itemsize], "COLS": COLS,
    }  # fmt: skip
    with _on(bucket.device):
        sums_kernel[grid](tensors, tiles, bucket.totals, **constants, **_options())
        moments_kernel[grid](tensors, tiles, bucket.totals, table, **constants, **_options())
        step_kernel[grid](tensors, tiles, bucket.totals, table, **constants, **_options())
