"""Compile generated kernels with Numba once, keep their machine code on disk, and load it without importing Numba.

Numba's own cache looks at one file's time stamp and does not see changes elsewhere. Here the key is everything that
decides the machine code: the generated source, the intrinsics, the versions of Python, Numba and llvmlite, Numba's
settings, and the processor. A cached kernel needs llvmlite only, which imports ten times as fast as Numba.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import importlib.metadata
import os
import re
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import llvmlite
import llvmlite.binding as llvm

_MAGIC = b"optbench-kernel-1\n"
_LOCK = threading.RLock()
# Machine code must outlive every caller of the functions in it.
_ENGINES: list[Any] = []
_LIBRARY_CALLS = ("expm1", "floor", "log", "pow", "sin")

Kernel = Callable[[int], None]
# Told of a launch after it has ended: the kernel's name, its source, and the address it was called with.
Observer = Callable[[str, str, int], None]


class _Loaded(NamedTuple):
    name: str
    source: str
    function: Any


_LOADED: list[_Loaded] = []
_OBSERVERS: list[Observer] = []


@functools.cache
def kernel(source: str, name: str) -> Kernel:
    """The function `name(address)` of a generated source, as machine code. Calling it releases the GIL.

    Args:
        source: what `numba_source` wrote.
        name: the function's name in it.
    """
    with _LOCK:
        path = cache_folder() / f"{name}-{_key(source, name)}.bin"
        symbol, code = _read(path) or ("", b"")
        if not code:
            symbol, code = compile_kernel(source, name)
            _write(path, symbol, code)
        function = _load(symbol, code)
        _LOADED.append(_Loaded(name, source, function))
        _watch(_LOADED[-1:])
        return function


@contextlib.contextmanager
def observed(observer: Observer) -> Iterator[None]:
    """Tell an observer of every launch from Python; launches cost nothing more while there is none.

    What torch's OpenMP team launches is not seen: hold torch to one thread.
    """
    with _LOCK:
        _OBSERVERS.append(observer)
        _watch(_LOADED)
    try:
        yield
    finally:
        with _LOCK:
            _OBSERVERS.remove(observer)
            _watch(_LOADED)


def _watch(loaded: list[_Loaded]) -> None:
    for name, source, function in loaded:
        if _OBSERVERS:
            function.errcheck = functools.partial(_launched, name, source)
        else:
            # ctypes looks at the attribute in C: without it a call is as fast as ever.
            with contextlib.suppress(AttributeError):
                del function.errcheck


def _launched(name: str, source: str, result: None, function: Any, arguments: tuple[int]) -> None:
    for observer in _OBSERVERS:
        observer(name, source, arguments[0])


def cache_folder() -> Path:
    """Where compiled kernels are kept: $OPTBENCH_CACHE_DIR, or `optbench` in the platform's cache folder."""
    chosen = os.environ.get("OPTBENCH_CACHE_DIR")
    if chosen:
        return Path(chosen)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or tempfile.gettempdir()
    elif sys.platform == "darwin":
        base = os.path.expanduser("~/Library/Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "optbench"


def compile_kernel(source: str, name: str, listing: str = "code") -> tuple[str, Any]:
    """Compile with Numba: the symbol's name and the object file, or its "llvm" or "asm" text."""
    import numba

    from . import numba_intrinsics

    names = {**vars(numba_intrinsics), "float32": numba.float32, "float64": numba.float64}
    exec(compile(source, f"<optbench {name}>", "exec"), names)
    # Numba's own divisions raise on zero unless told otherwise.
    compiled = numba.cfunc(numba.void(numba.int64), error_model="numpy", fastmath=False)(names[name])
    library = compiled._library
    text = library.get_llvm_str()
    if listing != "code":
        return compiled._wrapper_name, text if listing == "llvm" else library.get_asm_str()
    needed = set(re.findall(r"^declare [^@]*@([\w.]+)\(", text, re.MULTILINE))
    unknown = {symbol for symbol in needed if not symbol.startswith("llvm.")} - set(_LIBRARY_CALLS)
    if unknown:
        raise RuntimeError(f"the compiled kernel {name} needs {sorted(unknown)}, which it must not")
    return compiled._wrapper_name, bytes(library._get_compiled_object())


def _load(symbol: str, code: bytes) -> Kernel:
    # older releases of llvmlite must be told, newer ones refuse to be
    with contextlib.suppress(RuntimeError):
        llvm.initialize()
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _ENGINES.append(engine)
    function: Kernel = ctypes.CFUNCTYPE(None, ctypes.c_int64)(engine.get_function_address(symbol))
    return function


def _key(source: str, name: str) -> str:
    parts = [source, name, *_environment()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


@functools.cache
def _environment() -> tuple[str, ...]:
    """Everything outside the source that decides the machine code."""
    settings = sorted(f"{key}={value}" for key, value in os.environ.items() if key.startswith("NUMBA_"))
    return (
        Path(__file__).with_name("numba_intrinsics.py").read_text(encoding="utf-8"),
        Path(__file__).read_text(encoding="utf-8"),
        sys.version,
        importlib.metadata.version("numba"),
        llvmlite.__version__,
        llvm.get_process_triple(),
        llvm.get_host_cpu_name(),
        llvm.get_host_cpu_features().flatten(),
        *settings,
    )


def _read(path: Path) -> tuple[str, bytes] | None:
    """Symbol and object file, or None where there is none or it is damaged."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    magic, digest, rest = content[: len(_MAGIC)], content[len(_MAGIC) :][:32], content[len(_MAGIC) + 32 :]
    if magic != _MAGIC or hashlib.sha256(rest).digest() != digest:
        return None
    symbol, _, code = rest.partition(b"\n")
    return symbol.decode(), code


def _write(path: Path, symbol: str, code: bytes) -> None:
    """Put the file there in one move, for processes that start together; go without where nothing can be written."""
    rest = symbol.encode() + b"\n" + code
    with contextlib.suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(_MAGIC + hashlib.sha256(rest).digest() + rest)
            os.replace(temporary, path)
        except OSError:
            os.unlink(temporary)
            raise
