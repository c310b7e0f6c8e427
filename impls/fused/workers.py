"""Threads that work through the chunks of a kernel: torch's own OpenMP team, or a pool of Python threads.

A kernel takes chunks from a counter until none is left. torch's team is already awake, and after every parallel
region of torch's it spins for milliseconds: a second team would fight with it for the same cores (measured: 0.75 of
the speed). Where torch has no GNU OpenMP interface, and in forked children, whose OpenMP runtime is broken, Python
threads do the work: compiled kernels release the GIL, and the caller never waits for a thread that has not begun.
"""

from __future__ import annotations

import ctypes
import functools
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import numpy.typing as npt
import torch

from .native import Kernel
from .numba_source import CHUNKS_DONE, NEXT_CHUNK

Job = npt.NDArray[np.int64]


def run(kernel: Kernel, job: Job, address: int, chunks: int, threads: int) -> None:
    """Run a kernel over all chunks of a job, on at most so many threads; return when all are done.

    Args:
        address: that of `job`.
    """
    job[NEXT_CHUNK] = job[CHUNKS_DONE] = 0
    threads = min(threads, chunks)
    if threads <= 1:
        kernel(address)
        return
    team = None if _forked else _torch_team()
    if team is not None:
        team(ctypes.cast(kernel, ctypes.c_void_p), address, threads, 0)  # type: ignore[arg-type]
    else:
        # A helper that comes late must find the counters of its own job.
        _pool.run(kernel, job.copy(), chunks, threads)


@functools.cache
def _torch_team() -> Callable[..., None] | None:
    """`GOMP_parallel(function, data, threads, flags)` of the OpenMP runtime that torch is linked with, if any."""
    library = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
    if not hasattr(os, "RTLD_NOLOAD") or not torch.backends.openmp.is_available():
        return None
    try:
        # Symbols are looked up in the library and in what it is linked with.
        parallel = ctypes.CDLL(str(library), mode=os.RTLD_NOLOAD | os.RTLD_LAZY).GOMP_parallel
    except (OSError, AttributeError):
        return None
    parallel.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
    parallel.restype = None
    return parallel  # type: ignore[no-any-return]


class _Pool:
    def __init__(self) -> None:
        self.queue: SimpleQueue[tuple[Kernel, Job]] = SimpleQueue()
        self.threads = 0
        self.lock = threading.Lock()

    def run(self, kernel: Kernel, job: Job, chunks: int, threads: int) -> None:
        self._grow(threads - 1)
        for _ in range(threads - 1):
            self.queue.put((kernel, job))
        kernel(job.ctypes.data)
        try:
            _wait(job, chunks)
        except BaseException:
            # The helpers' last chunks write to tensors that the caller may free.
            _wait(job, chunks)
            raise

    def _grow(self, threads: int) -> None:
        with self.lock:
            while self.threads < threads:
                try:
                    threading.Thread(target=self._serve, name="optbench", daemon=True).start()
                except RuntimeError:
                    # The interpreter is shutting down: the caller does it all.
                    return
                self.threads += 1

    def _serve(self) -> None:
        while True:
            kernel, job = self.queue.get()
            kernel(job.ctypes.data)
            # A job must not live on in a waiting thread.
            del kernel, job


def _wait(job: Job, chunks: int) -> None:
    while job[CHUNKS_DONE] < chunks:
        time.sleep(0)


_pool = _Pool()
_forked = False


def _after_fork() -> None:
    global _pool, _forked
    # The child has none of its parent's threads, and perhaps their locked locks.
    _pool, _forked = _Pool(), True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
