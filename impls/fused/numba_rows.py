"""The gather launcher on the CPU: one pass over the rows that sparse gradients touch, by all of torch's threads."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt
import torch

from . import workers
from .lang import Rule
from .native import Kernel, kernel
from .numba_backend import _chunks
from .numba_source import CHUNKS_DONE, JOB_SIZE, NEXT_CHUNK, _element, _lines
from .rows import RowBucket

_UPDATE = """
def update(_job):
    _arrays, _tensors, _numel, _scalars = load_int(_job, 0), load_int(_job, 1), load_int(_job, 2), load_int(_job, 3)
    _chunk_tensor, _chunk_start, _chunks = load_int(_job, 4), load_int(_job, 5), load_int(_job, 6)
    _row_numbers, _widths, _chunk_row = load_int(_job, 7), load_int(_job, 8), load_int(_job, 9)
    _unscale = {work}(1.0)
    while True:
        _chunk = fetch_add(_job, {next_chunk})
        if _chunk >= _chunks:
            return
        _tensor, _start = load_int(_chunk_tensor, _chunk), load_int(_chunk_start, _chunk)
        _row = load_int(_chunk_row, _chunk)
        _last, _stop = load_int(_chunk_tensor, _chunk + 1), load_int(_chunk_start, _chunk + 1)
        while _tensor <= _last:
            _end = _stop if _tensor == _last else load_int(_numel, _tensor)
            _rows, _width = load_int(_row_numbers, _tensor), load_int(_widths, _tensor)
{load_pointers}
{load_scalars}
            while _start < _end:
                _column = _start - _row * _width
                _count = _width - _column
                if _count > _end - _start:
                    _count = _end - _start
                _place = {itemsize} * (load_int(_rows, _row) * _width + _column)
{place_pointers}
                for _index in range(_count):
{element}
                _start, _row = _start + _count, _row + 1
            _tensor, _start, _row = _tensor + 1, 0, 0
        fetch_add(_job, {chunks_done})
"""


def update(bucket: RowBucket, scalars: npt.NDArray[np.float64]) -> None:
    """Update every row of every tensor once."""
    threads = torch.get_num_threads()
    chunk_tensor, chunk_start = _chunks(bucket.numel, threads)
    job = np.zeros(JOB_SIZE, dtype=np.int64)
    job[:7] = (
        bucket.arrays.ctypes.data,
        len(bucket.numel),
        bucket.numel.ctypes.data,
        scalars.ctypes.data,
        chunk_tensor.ctypes.data,
        chunk_start.ctypes.data,
        len(chunk_tensor) - 1,
    )
    # the row that each chunk starts in: integer division in a kernel could raise
    chunk_row = chunk_start // bucket.width[chunk_tensor]
    job[7:10] = bucket.rows.ctypes.data, bucket.width.ctypes.data, chunk_row.ctypes.data
    compiled = _kernel(bucket.rule, bucket.flags, bucket.dtype)
    workers.run(compiled, job, job.ctypes.data, len(chunk_tensor) - 1, threads)


@functools.cache
def _kernel(rule: Rule, flags: tuple[int, ...], dtype: torch.dtype) -> Kernel:
    return kernel(rows_source(rule, flags, str(dtype).removeprefix("torch.")), "update")


def rows_source(rule: Rule, flags: tuple[int, ...], storage: str) -> str:
    """Source of `update(job)`: take chunks of rows until none is left.

    Args:
        storage: "float16", "bfloat16", "float32" or "float64".
    """
    work = "float64" if storage == "float64" else "float32"
    itemsize = {"float64": 8, "float32": 4}.get(storage, 2)
    present = (True, True, *rule.present(flags))
    used = [(row, name) for row, name in enumerate(("param", "grad", *rule.state)) if present[row]]
    return _UPDATE.format(
        work=work,
        itemsize=itemsize,
        next_chunk=NEXT_CHUNK,
        chunks_done=CHUNKS_DONE,
        load_pointers=_lines(
            12, (f"_from_{name} = load_int(_arrays, _tensor + {row} * _tensors)" for row, name in used)
        ),
        load_scalars=_lines(
            12,
            (
                f"{name} = {work}(load_float64(_scalars, _tensor * {len(rule.scalars)} + {index}))"
                for index, name in enumerate(rule.scalars)
            ),
        ),
        place_pointers=_lines(
            16,
            (
                f"_at_{name} = _from_{name} + " + (f"{itemsize} * _start" if name == "grad" else "_place")
                for _, name in used
            ),
        ),
        element=_lines(20, [_element(rule, flags, storage, work, used, [])]),
    )
