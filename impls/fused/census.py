"""Count what a step launches on the CPU, and the bytes of elements that its kernels load and store.

Once a kernel has ended, its source is gone through again in Python with the same arguments: loops run over the same
numbers and tables, elements are counted instead of read, and nothing is written. So the bytes are those that the
kernel asks for, not those that somebody says it does. Tables of one number a tensor are left out.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from . import native, numba_intrinsics

# Kernels that ask whether a plan still holds, and update nothing.
_CHECKS = frozenset(("objects", "memory", "gradients"))
_SIZES = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}


@dataclass
class Census:
    """What was counted.

    Args:
        launches: kernels by name.
        moved_bytes: of elements, loaded and stored.
    """

    launches: Counter[str] = field(default_factory=Counter)
    moved_bytes: int = 0


@contextlib.contextmanager
def taken() -> Iterator[Census]:
    """Count the launches of this process until the context ends. Only for one thread of torch's, see `native`.

    Example:
        >>> import torch
        >>> with taken() as census:
        ...     torch.ones(2).sum().item()
        2.0
        >>> census.launches.total()
        0
    """
    census = Census()

    def launched(name: str, source: str, address: int) -> None:
        if name in _CHECKS:
            return
        census.launches[name] += 1
        if "load_element(" in source or "store_element(" in source:
            census.moved_bytes += _Count().of(name, source, address)

    with native.observed(launched):
        yield census


@functools.cache
def _code(name: str, source: str) -> Any:
    return compile(source, f"<optbench {name}>", "exec")


class _Element:
    """Stands for every number that is read from an array: whatever is done with it gives another."""

    def _same(self, *others: object) -> _Element:
        return self

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _same
    __neg__ = __pos__ = __and__ = __rand__ = __or__ = __ror__ = __invert__ = _same
    __lt__ = __le__ = __gt__ = __ge__ = _same
    __eq__ = __ne__ = _same  # type: ignore[assignment]
    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        raise TypeError("what a kernel does must not depend on an element's value: use where")


_ELEMENT = _Element()


class _Count:
    """One pass through a kernel's source."""

    def __init__(self) -> None:
        self.bytes = 0
        self._taken: Counter[tuple[int, int]] = Counter()

    def of(self, name: str, source: str, address: int) -> int:
        """The bytes that the kernel moved when it was called with this address."""
        # Every operation on elements gives one; those below do what they say.
        names: dict[str, Any] = {each: _ELEMENT._same for each in vars(numba_intrinsics) if not each.startswith("__")}
        names |= {
            "float32": _identity,
            "float64": _identity,
            "load_int": functools.partial(_read, ctypes.c_int64),
            "load_float64": functools.partial(_read, ctypes.c_double),
            "load_float32": functools.partial(_read, ctypes.c_float),
            "fetch_add": self._fetch_add,
            "load_element": self._load,
            "store_element": self._store,
            # The stores of a streamed line have been counted.
            "aligned": lambda *arguments: True,
        }
        exec(_code(name, source), names)
        names[name](address)
        return self.bytes

    def _fetch_add(self, address: int, index: int) -> int:
        self._taken[address, index] += 1
        return self._taken[address, index] - 1

    def _load(self, address: int, index: int, row: int, storage: str) -> _Element:
        self.bytes += _SIZES[storage]
        return _ELEMENT

    def _store(self, address: int, index: int, row: int, storage: str, value: object) -> None:
        self.bytes += _SIZES[storage]


def _identity(value: Any) -> Any:
    return value


def _read(kind: Any, address: int, index: int) -> Any:
    return kind.from_address(address + ctypes.sizeof(kind) * index).value
