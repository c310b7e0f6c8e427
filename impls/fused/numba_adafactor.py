"""Adafactor's three launches on the CPU. Sums are taken in float64, the update in the working type."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt
import torch

from . import workers
from .native import Kernel, kernel
from .numba_source import CHUNKS_DONE, JOB_SIZE, NEXT_CHUNK
from .tiles import TENSOR_COLUMNS, TILE_COLUMNS, TileBucket, TileSize

TILE_SIZE = TileSize(rows=256, cols=1024, parts=64, elements=1 << 16)
# Less work than this, about 0.1 ms, is not worth waking threads for.
_PARALLEL_WORK = 1 << 16

_FRAME = """
def {name}(_job):
    _tensors, _tiles, _count, _totals, _scalars = (
        load_int(_job, 0), load_int(_job, 1), load_int(_job, 2), load_int(_job, 3), load_int(_job, 4)
    )
    while True:
        _tile = fetch_add(_job, {next_chunk})
        if _tile >= _count:
            return
{load_tile}
{load_tensor}
{body}
        fetch_add(_job, {chunks_done})
"""

_SUMS = """
_total = float64(0.0)
for _slice in range(first_slice, end_slice):
    _cols_at = col_sums + 8 * (_slice * row_parts + row_part) * cols
    if is_vector == 0:
        for _col in range(first_col, end_col):
            store_element(_cols_at, _col, 2, 'float64', 0.0)
    for _row in range(first_row, end_row):
        _start = {itemsize} * (_slice * rows + _row) * cols
        _param_at, _grad_at = param + _start, grad + _start
        _row_total = float64(0.0)
        if is_vector == 0:
            for _col in range(first_col, end_col):
                _p = float64(load_element(_param_at, _col, 0, {storage!r}))
                _g = float64(load_element(_grad_at, _col, 1, {storage!r}))
                _square = _g * _g
                _total = accumulate(_total, _p * _p)
                _row_total = accumulate(_row_total, _square)
                store_element(_cols_at, _col, 2, 'float64', load_element(_cols_at, _col, 2, 'float64') + _square)
            store_float64(row_sums, (_slice * col_parts + col_part) * rows + _row, _row_total)
        else:
            for _col in range(first_col, end_col):
                _p = float64(load_element(_param_at, _col, 0, {storage!r}))
                _total = accumulate(_total, _p * _p)
store_float64(_totals, 2 * _tile, _total)
"""

_MOMENTS = """
_weight = load_float64(_scalars, 6 * tensor)
_eps1 = load_float64(_scalars, 6 * tensor + 1)
_least, _rate = {work}(_eps1 * _eps1), {work}(_weight)
_total = float64(0.0)
if is_vector != 0:
    # second moment
    # It is found again, from the same numbers, by the launch that stores it.
    for _col in range(first_col, end_col):
        _g = load_element(grad, _col, 1, {storage!r})
        _variance = load_element(row_var, _col, 2, {storage!r})
        _variance = _variance + _rate * (_g * _g - _variance)
        _estimate = where_(_variance < _least, _least, _variance)
        _total = accumulate(_total, float64(div_(_g * _g, _estimate)))
else:
    for _slice in range(first_slice, end_slice):
        # row and column means of the squared gradient
        # Every tile of a slice finds and writes the same numbers: none waits for another.
        _sum = float64(0.0)
        for _row in range(rows):
            _mean = float64(0.0)
            for _part in range(col_parts):
                _mean = _mean + load_float64(row_sums, (_slice * col_parts + _part) * rows + _row)
            _mean = div_(_mean, float64(cols))
            _old = float64(load_element(row_var, _slice * rows + _row, 2, {storage!r}))
            _new = _old + _weight * (_mean - _old)
            _sum = _sum + _new
            store_element(new_rows, _slice * rows + _row, 3, {work!r}, {work}(_new))
        for _col in range(first_col, end_col):
            _mean = float64(0.0)
            for _part in range(row_parts):
                _mean = _mean + load_element(col_sums, (_slice * row_parts + _part) * cols + _col, 4, 'float64')
            _mean = div_(_mean, float64(rows))
            _old = float64(load_element(col_var, _slice * cols + _col, 5, {storage!r}))
            store_element(new_cols, _slice * cols + _col, 6, {work!r}, {work}(_old + _weight * (_mean - _old)))
        # rank-one estimate of the second moment
        _mean = div_(_sum, float64(rows))
        _scale = div_(float64(1.0), where_(_mean < _eps1, _eps1, _mean))
        store_element(scales, _slice, 3, {work!r}, {work}(_scale))
        _cols_at = new_cols + {work_size} * _slice * cols
        for _row in range(first_row, end_row):
            _grad_at = grad + {itemsize} * (_slice * rows + _row) * cols
            _scaled = {work}(_scale * float64(load_element(new_rows, _slice * rows + _row, 3, {work!r})))
            for _col in range(first_col, end_col):
                _g = load_element(_grad_at, _col, 1, {storage!r})
                _estimate = _scaled * load_element(_cols_at, _col, 6, {work!r})
                _estimate = where_(_estimate < _least, _least, _estimate)
                _total = accumulate(_total, float64(div_(_g * _g, _estimate)))
store_float64(_totals, 2 * _tile + 1, _total)
"""

_STEP = """
_eps1, _eps2 = load_float64(_scalars, 6 * tensor + 1), load_float64(_scalars, 6 * tensor + 2)
_least = {work}(_eps1 * _eps1)
_keep = {work}(load_float64(_scalars, 6 * tensor + 4))
_param_squares, _update_squares = float64(0.0), float64(0.0)
for _other in range(first_tile, first_tile + tiles):
    _param_squares = _param_squares + load_float64(_totals, 2 * _other)
    _update_squares = _update_squares + load_float64(_totals, 2 * _other + 1)
_size = sqrt_(div_(_param_squares, float64(numel)))
_size = where_(_size > _eps2, _size, _eps2)
# clip the update by its root mean square
_excess = div_(sqrt_(div_(_update_squares, float64(numel))), load_float64(_scalars, 6 * tensor + 3))
_excess = where_(_excess > 1.0, _excess, 1.0)
_step = {work}(div_(_size * load_float64(_scalars, 6 * tensor + 5), _excess))
if is_vector != 0:
    _rate = {work}(load_float64(_scalars, 6 * tensor))
    for _col in range(first_col, end_col):
        _g = load_element(grad, _col, 1, {storage!r})
        _variance = load_element(row_var, _col, 2, {storage!r})
        _variance = _variance + _rate * (_g * _g - _variance)
        store_element(row_var, _col, 2, {storage!r}, _variance)
        _estimate = where_(_variance < _least, _least, _variance)
        # step
        _p = load_element(param, _col, 0, {storage!r}) * _keep
        store_element(param, _col, 0, {storage!r}, _p - _step * div_(_g, sqrt_(_estimate)))
else:
    for _slice in range(first_slice, end_slice):
        if col_part == 0:
            for _row in range(first_row, end_row):
                _value = load_element(new_rows, _slice * rows + _row, 3, {work!r})
                store_element(row_var, _slice * rows + _row, 2, {storage!r}, _value)
        if row_part == 0:
            for _col in range(first_col, end_col):
                _value = load_element(new_cols, _slice * cols + _col, 6, {work!r})
                store_element(col_var, _slice * cols + _col, 5, {storage!r}, _value)
        _cols_at = new_cols + {work_size} * _slice * cols
        _scale = float64(load_element(scales, _slice, 3, {work!r}))
        for _row in range(first_row, end_row):
            _start = {itemsize} * (_slice * rows + _row) * cols
            _param_at, _grad_at = param + _start, grad + _start
            _scaled = {work}(_scale * float64(load_element(new_rows, _slice * rows + _row, 3, {work!r})))
            for _col in range(first_col, end_col):
                _estimate = _scaled * load_element(_cols_at, _col, 6, {work!r})
                _estimate = where_(_estimate < _least, _least, _estimate)
                # step
                _p = load_element(_param_at, _col, 0, {storage!r}) * _keep
                _g = load_element(_grad_at, _col, 1, {storage!r})
                store_element(_param_at, _col, 0, {storage!r}, _p - _step * div_(_g, sqrt_(_estimate)))
"""

_LAUNCHES = {"sums": _SUMS, "moments": _MOMENTS, "step": _STEP}


def update(bucket: TileBucket, scalars: npt.NDArray[np.float64]) -> None:
    """Update every tensor of the bucket."""
    totals = bucket.totals
    job = np.zeros(JOB_SIZE, dtype=np.int64)
    job[:5] = (
        bucket.tensors.ctypes.data,
        bucket.tiles.ctypes.data,
        len(bucket.tiles),
        totals.data_ptr(),
        scalars.ctypes.data,
    )
    threads = torch.get_num_threads() if int(bucket.numel.sum()) >= _PARALLEL_WORK else 1
    for name in _LAUNCHES:
        workers.run(_kernel(name, bucket.dtype), job, job.ctypes.data, len(bucket.tiles), threads)


@functools.cache
def _kernel(name: str, dtype: torch.dtype) -> Kernel:
    return kernel(source(name, str(dtype).removeprefix("torch.")), name)


def source(name: str, storage: str) -> str:
    """Source of one launch, `name(job)`: take tiles until none is left.

    Args:
        name: "sums", "moments" or "step".
        storage: "float16", "bfloat16", "float32" or "float64".
    """
    work = "float64" if storage == "float64" else "float32"
    body = _LAUNCHES[name].format(
        storage=storage, work=work, itemsize=torch.finfo(getattr(torch, storage)).bits // 8,
        work_size=8 if work == "float64" else 4,
    )  # fmt: skip
    return _FRAME.format(
        name=name,
        next_chunk=NEXT_CHUNK,
        chunks_done=CHUNKS_DONE,
        load_tile=_loads("_tiles", "_tile", TILE_COLUMNS),
        load_tensor=_loads("_tensors", "tensor", TENSOR_COLUMNS),
        body="\n".join(" " * 8 + line for line in body.splitlines()),
    )


def _loads(table: str, row: str, columns: tuple[str, ...]) -> str:
    lines = (f"{column} = load_int({table}, {row} * {len(columns)} + {place})" for place, column in enumerate(columns))
    return "\n".join(" " * 8 + line for line in lines)
