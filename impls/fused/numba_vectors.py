"""L-BFGS's passes over flat vectors on the CPU. Each element is touched once a pass; sums are taken in float64.

Vectors are cut into chunks of a size that depends on nothing but their length, so sums do not depend on the threads.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import workers
from .native import Kernel, kernel
from .numba_source import CHUNKS_DONE, JOB_SIZE, NEXT_CHUNK
from .vectors import History, chunks_of

# Elements of the smallest chunk, and most chunks: each pass sums up what all chunks of the pass before have left.
_CHUNKS = 1 << 15, 512

_REMEMBER = """
def remember(_job):
    _grad, _previous, _direction = load_int(_job, 0), load_int(_job, 1), load_int(_job, 2)
    _change, _move, _sums = load_int(_job, 3), load_int(_job, 4), load_int(_job, 5)
    _length, _size, _chunks, _t = load_int(_job, 6), load_int(_job, 7), load_int(_job, 8), load_float64(_job, 9)
    _rate = {work}(_t)
    while True:
        _chunk = fetch_add(_job, {next_chunk})
        if _chunk >= _chunks:
            return
        _stop = _length if _chunk == _chunks - 1 else (_chunk + 1) * _size
        _ys, _yy = float64(0.0), float64(0.0)
        for _index in range(_chunk * _size, _stop):
            _g = load_element(_grad, _index, 0, {storage!r})
            _y = _g - load_element(_previous, _index, 1, {storage!r})
            _s = _rate * load_element(_direction, _index, 2, {storage!r})
            store_element(_previous, _index, 1, {storage!r}, _g)
            store_element(_change, _index, 3, {storage!r}, _y)
            store_element(_move, _index, 4, {storage!r}, _s)
            _ys = accumulate(_ys, float64(_y) * float64(_s))
            _yy = accumulate(_yy, float64(_y) * float64(_y))
        store_float64(_sums, _chunk, _ys)
        store_float64(_sums, _chunks + _chunk, _yy)
        fetch_add(_job, {chunks_done})
"""

_ADVANCE = """
def advance(_job):
    _vector, _grad, _sums, _table = load_int(_job, 0), load_int(_job, 1), load_int(_job, 2), load_int(_job, 3)
    _first, _end = load_int(_job, 4), load_int(_job, 5)
    _length, _size, _chunks = load_int(_job, 6), load_int(_job, 7), load_int(_job, 8)
    while True:
        _chunk = fetch_add(_job, {next_chunk})
        if _chunk >= _chunks:
            return
        _start = _chunk * _size
        _stop = _length if _chunk == _chunks - 1 else _start + _size
        for _pass in range(_first, _end):
            _row = _table + 48 * _pass
            _loop, _added, _next = load_int(_row, 0), load_int(_row, 1), load_int(_row, 2)
            _ro, _al, _scale_at = load_int(_row, 3), load_int(_row, 4), load_int(_row, 5)
            _total = float64(0.0)
            if _loop == 0:
                for _index in range(_start, _stop):
                    _q = -load_element(_grad, _index, 0, {storage!r})
                    store_element(_vector, _index, 1, {storage!r}, _q)
                    _total = accumulate(_total, float64(_q) * float64(load_element(_next, _index, 2, {storage!r})))
            else:
                _dot = float64(0.0)
                for _other in range(_chunks):
                    _dot = _dot + load_float64(_sums, (_pass - 1) * _chunks + _other)
                _factor = load_stored(_ro, {storage!r}) * _dot
                if _loop == 1:
                    # All chunks find and store the same number.
                    store_stored(_al, {storage!r}, _factor)
                    _factor = -load_stored(_al, {storage!r})
                else:
                    _factor = load_stored(_al, {storage!r}) - _factor
                _scale = {work}(1.0)
                if _scale_at != 0:
                    _scale = {work}(load_stored(_scale_at, {storage!r}))
                _rate = {work}(_factor)
                for _index in range(_start, _stop):
                    _q = load_element(_vector, _index, 1, {storage!r})
                    _q = (_q + _rate * load_element(_added, _index, 3, {storage!r})) * _scale
                    store_element(_vector, _index, 1, {storage!r}, _q)
                    _total = accumulate(_total, float64(_q) * float64(load_element(_next, _index, 2, {storage!r})))
            store_float64(_sums, _pass * _chunks + _chunk, _total)
        fetch_add(_job, {chunks_done})
"""

_SOURCES = {"remember": _REMEMBER, "advance": _ADVANCE}


def remember(grad: Tensor, previous: Tensor, direction: Tensor, t: float, change: Tensor, move: Tensor) -> Tensor:
    """See vectors.remember."""
    length, (size, chunks) = len(grad), chunks_of(len(grad), *_CHUNKS)
    sums = np.zeros((2, chunks))
    job = _job(grad, previous, direction, change, move)
    job[5:9] = sums.ctypes.data, length, size, chunks
    job[9:10].view(np.float64)[0] = t
    workers.run(_kernel("remember", grad.dtype), job, job.ctypes.data, chunks, torch.get_num_threads())
    return torch.from_numpy(sums.sum(axis=1))


def recur(grad: Tensor, history: History, result: Tensor) -> Tensor:
    """See vectors.recur."""
    length, (size, chunks) = len(grad), chunks_of(len(grad), *_CHUNKS)
    table = np.array(
        [
            [step.loop, *(0 if tensor is None else tensor.data_ptr() for tensor in step[1:])]
            for step in history.passes(grad)
        ],
        dtype=np.int64,
    )
    sums = np.zeros((len(table), chunks))
    job = _job(result, grad)
    job[2:9] = sums.ctypes.data, table.ctypes.data, 0, len(table), length, size, chunks
    compiled = _kernel("advance", grad.dtype)
    if chunks == 1:
        # One thread needs to wait for nobody between passes.
        workers.run(compiled, job, job.ctypes.data, 1, 1)
    else:
        for index in range(len(table)):
            job[4:6] = index, index + 1
            workers.run(compiled, job, job.ctypes.data, chunks, torch.get_num_threads())
    return torch.tensor(sums[-1].sum())


def _job(*tensors: Tensor) -> Any:
    job = np.zeros(JOB_SIZE, dtype=np.int64)
    job[: len(tensors)] = [tensor.data_ptr() for tensor in tensors]
    return job


@functools.cache
def _kernel(name: str, dtype: torch.dtype) -> Kernel:
    return kernel(source(name, str(dtype).removeprefix("torch.")), name)


def source(name: str, storage: str) -> str:
    """Source of one pass, `name(job)`: take chunks until none is left.

    Args:
        name: "remember" or "advance".
        storage: "float16", "bfloat16", "float32" or "float64".
    """
    work = "float64" if storage == "float64" else "float32"
    return _SOURCES[name].format(storage=storage, work=work, next_chunk=NEXT_CHUNK, chunks_done=CHUNKS_DONE)
