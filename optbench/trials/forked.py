"""Calls a function in a forked copy of this process, as servers and data loaders do, and waits for so long only."""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import signal
import time
from collections.abc import Callable
from typing import Any

TIME_LIMIT = 20.0
_CHUNK = 1 << 20


class ForkFailed(Exception):
    """The child raised, died or hung; the message says which."""


def call(function: Callable[[], Any], timeout: float = TIME_LIMIT) -> Any:
    """What the function returns in a forked child, which has all that this process has but its other threads.

    Args:
        function: its result has to be picklable.
        timeout: seconds after which the child is killed.

    Raises:
        ForkFailed: it raised, died, or gave no answer in time.

    Example:
        >>> call(lambda: 1 + 1)
        2
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        _answer(function, writing)
    os.close(writing)
    try:
        kind, value = _received(reading, timeout)
    finally:
        os.close(reading)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    if kind != "value":
        raise ForkFailed(value)
    return value


def _answer(function: Callable[[], Any], writing: int) -> None:
    """The child's whole life; it ends without the parent's clean-up."""
    try:
        try:
            body = pickle.dumps(("value", function()))
        except BaseException as error:
            body = pickle.dumps(("error", f"{type(error).__name__}: {error}"))
        with os.fdopen(writing, "wb") as stream:
            stream.write(body)
    finally:
        os._exit(0)


def _received(reading: int, timeout: float) -> tuple[str, Any]:
    deadline, parts = time.monotonic() + timeout, bytearray()
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([reading], [], [], left)[0]:
            return "hung", f"no answer within {timeout:g} s"
        part = os.read(reading, _CHUNK)
        if not part:
            break
        parts += part
    return pickle.loads(parts) if parts else ("died", "it died without an answer")
