"""The roof: the rate at which this machine reads and writes memory in place, over as many streams as an optimizer has.

A plain copy is no roof on a CPU, because a write to memory that is not in the cache reads it first. So the roof is a
read-modify-write: one array is read, the others are read and written. Exclusive or on 64-bit integers costs the same
for any content, makes no denormals, and serves every dtype as bytes.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

# A roof over less memory than this many last-level caches would measure the cache.
CACHES = 8
# A workload below this many last-level caches lives in the cache: a fraction of the memory's bandwidth says nothing.
FEWEST_CACHES = 2
_FALLBACK_CACHE = 32 << 20
# 4 KiB of each array at a time: the one that is read stays in the first cache, and however the arrays' addresses
# collide, only two are walked at once. All arrays side by side took 1.5 times as long on torch's memory.
_BLOCK = 512
_WAKING_PART = 8


def _sweep(read, written, start, stop):  # type: ignore[no-untyped-def]
    for begin in range(start, stop, _BLOCK):
        end = min(begin + _BLOCK, stop)
        source = read[begin:end]
        for array in written:
            target = array[begin:end]
            # Slices from zero: an index that could be negative keeps the loop from being vectorised.
            for i in range(source.shape[0]):
                target[i] ^= source[i]


@functools.cache
def _compiled() -> Callable[..., None]:
    """The sweep, compiled to run without the interpreter's lock, so that plain threads run it."""
    import numba

    try:
        return numba.njit(nogil=True, cache=True)(_sweep)  # type: ignore[no-any-return]
    except RuntimeError:
        # Neither the package's folder nor the user's cache can be written.
        return numba.njit(nogil=True)(_sweep)  # type: ignore[no-any-return]


def cache_bytes() -> int:
    """Size of the last-level cache, 32 MiB where it is unknown."""
    from optbench.runs.environment import last_level_cache_bytes

    try:
        return last_level_cache_bytes() or _FALLBACK_CACHE
    except Exception:
        return _FALLBACK_CACHE


def applies(footprint: int, cache: int) -> bool:
    """Whether a workload of so many bytes is large enough that memory, not the cache, limits it."""
    return footprint >= FEWEST_CACHES * cache


class HostRoof:
    """Multi-threaded sweeps: one array is read, the others are read and written.

    A step is two sweeps, after which every array holds what it held before: so the very arrays of a workload can be
    swept, and the roof shares their place in memory with the contestants.

    Args:
        read: int64 array.
        written: int64 arrays of the same length.
        threads: number of threads.
    """

    def __init__(self, read: np.ndarray, written: Sequence[np.ndarray], threads: int) -> None:
        self.bytes_per_step = 2 * read.nbytes * (1 + 2 * len(written))
        self._arrays: tuple[Any, ...] = (read, tuple(written))
        self._kernel = _compiled()
        self._pool = ThreadPoolExecutor(threads)
        blocks = -(-len(read) // _BLOCK)
        edges = [min(len(read), _BLOCK * (blocks * part // threads)) for part in range(threads)] + [len(read)]
        self._parts = list(itertools.pairwise(edges))
        self._kernel(*self._arrays, 0, 0)

    def step(self) -> None:
        """Sweep twice."""
        self._sweep_twice(self._parts)

    def wake(self) -> None:
        """Sweep a small part twice: the first sweep of threads and cores that slept is 5 to 10% slower."""
        self._sweep_twice([(start, start + (stop - start) // _WAKING_PART) for start, stop in self._parts])

    def _sweep_twice(self, parts: Sequence[tuple[int, int]]) -> None:
        for _ in range(2):
            for part in [self._pool.submit(self._kernel, *self._arrays, *edges) for edges in parts]:
                part.result()

    def close(self) -> None:
        self._pool.shutdown()
        self._arrays = ()


class DeviceRoof:
    """A large copy on an accelerator: bytes read plus bytes written."""

    def __init__(self, device: str, footprint: int, l2: int) -> None:
        import torch

        half = max(footprint, 4 * l2, 1 << 28) // 2
        self._source: Any = torch.randint(0, 255, (half,), dtype=torch.uint8, device=device)
        self._target: Any = torch.empty_like(self._source)
        self.bytes_per_step = 2 * half

    def step(self) -> None:
        self._target.copy_(self._source)

    def wake(self) -> None:
        pass

    def close(self) -> None:
        self._source = self._target = None
