"""Tells what is compiled while something runs: by Numba, by Triton, by torch.compile. Imports none of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any


@contextmanager
def noticed() -> Iterator[list[str]]:
    """A list that names, once the block is left, who compiled in it; what is read from a cache on disk counts too.

    Compilers that nobody had imported before are not noticed.

    Example:
        >>> with noticed() as compilers:
        ...     total = sum(range(10))
        >>> compilers
        []
    """
    found: list[str] = []
    with ExitStack() as stack:
        for name, watch in (("numba.core.event", _numba), ("triton.knobs", _triton), ("torch._dynamo.utils", _dynamo)):
            if name in sys.modules:
                stack.enter_context(watch(sys.modules[name], found))
        yield found


@contextmanager
def _numba(event: Any, found: list[str]) -> Iterator[None]:
    # The lock that both compiling and reading what was compiled take.
    with event.install_recorder("numba:compiler_lock") as recorder:
        yield
    found += ["numba"] * bool(recorder.buffer)


@contextmanager
def _triton(knobs: Any, found: list[str]) -> Iterator[None]:
    before = knobs.runtime.jit_post_compile_hook

    def hook(*arguments: Any, **named: Any) -> Any:
        found.append("triton")
        return before(*arguments, **named) if before else None

    knobs.runtime.jit_post_compile_hook = hook
    try:
        yield
    finally:
        knobs.runtime.jit_post_compile_hook = before


@contextmanager
def _dynamo(utils: Any, found: list[str]) -> Iterator[None]:
    before = utils.counters["frames"]["total"]
    yield
    found += ["torch.compile"] * (utils.counters["frames"]["total"] > before)
