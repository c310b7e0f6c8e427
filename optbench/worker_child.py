"""The child's side of `optbench.worker`: reads requests, calls, answers. Few imports: each child pays for them."""

from __future__ import annotations

import contextlib
import importlib
import os
import pickle
import queue
import signal
import struct
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from optbench.errors import OptbenchError

_HEADER = struct.Struct("<Q")


def read_frame(stream: IO[bytes]) -> bytes | None:
    """The next message of a stream; None at its end."""
    header = stream.read(_HEADER.size)
    if len(header) < _HEADER.size:
        return None
    length = _HEADER.unpack(header)[0]
    body = stream.read(length)
    return body if len(body) == length else None


def write_frame(stream: IO[bytes], body: bytes) -> None:
    """Send one message."""
    stream.write(_HEADER.pack(len(body)) + body)
    stream.flush()


def serve(preload: Sequence[str] = ()) -> None:
    """Read a request, call, answer; end when the parent has gone.

    A request is (function, arguments). The answers to it are ("loaded", None, True) once the function is imported, then
    ("value", result, healthy) or ("error", what was raised, healthy).
    """
    requests, answers = _private_streams()
    _prepare()
    waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_read_requests, args=(requests, waiting), daemon=True).start()
    for name in preload:
        # What is missing here is told by the call that needs it.
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    while True:
        function, arguments = waiting.get()
        try:
            call = _resolve(function)
            write_frame(answers, pickle.dumps(("loaded", None, True)))
            answer = ("value", call(*arguments))
        except (Exception, SystemExit) as error:
            answer = ("error", _portable(error))
        write_frame(answers, _pickled(*answer))


def _private_streams() -> tuple[IO[bytes], IO[bytes]]:
    """Move the data channels away from descriptors 0 and 1, where foreign code reads and prints."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    os.dup2(2, 1)
    # What is printed has to be in the file when the process dies without a chance to flush.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    return requests, answers


def _prepare() -> None:
    import faulthandler

    faulthandler.enable(all_threads=False)
    if hasattr(signal, "SIGUSR1"):
        faulthandler.register(signal.SIGUSR1, all_threads=True)
    # Where memory runs out, the kernel should end the child rather than the parent.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _read_requests(stream: IO[bytes], waiting: queue.SimpleQueue[Any]) -> None:
    while (frame := read_frame(stream)) is not None:
        waiting.put(pickle.loads(frame))
    # The parent has gone, whatever the main thread is doing.
    os._exit(0)


def _resolve(function: str) -> Any:
    module, _, name = function.partition(":")
    return getattr(importlib.import_module(module), name)


def _portable(error: BaseException) -> Any:
    """An exception as the parent can take it without importing foreign code: ours as it is, others as text."""
    import traceback

    if isinstance(error, OptbenchError) and type(error).__module__ == "optbench.errors":
        return error
    said = " ".join(str(error).split())
    trace = "".join(traceback.format_exception(error))
    return (f"{type(error).__name__}: {said}" if said else type(error).__name__), trace


def _pickled(kind: str, value: Any) -> bytes:
    healthy = _device_is_healthy()
    try:
        return pickle.dumps((kind, value, healthy))
    except Exception as error:
        return pickle.dumps(("error", _portable(error), healthy))


def _device_is_healthy() -> bool:
    """Whether the accelerator still answers: after a kernel's fault its context answers nothing but errors."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return True
    try:
        torch.cuda.synchronize()
    except Exception:
        return False
    return True
