"""Runs functions in a process of their own, because foreign code may crash it, hang it or poison it.

The child is started fresh (never forked, so that no lock or thread of the parent's comes along) with its own
environment variables. Requests go to it through its standard input, answers come back through a private copy of its
standard output; whatever the foreign code prints goes to a file, whose end is shown when the child dies.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from optbench.errors import OptbenchError
from optbench.worker_child import read_frame, write_frame

START_LIMIT = 120.0
_SLICE = 0.05
# How long a dead child's last words may take to arrive.
_GRACE = 0.5
_OUTPUT_LIMIT = 65536
# A frame in faulthandler's list, which goes from the inside out.
_FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+) in (?P<function>\S+)')
_FAULTHANDLER = re.compile(r"Fatal Python error|Windows fatal exception|Current thread 0x|Thread 0x")


class WorkerCrash(Exception):
    """The child died, hung or grew too large. The message is one line.

    Args:
        reason: what happened: the signal's name, the time limit, the memory limit; and where, if that is known.
        output: the end of what the child printed during the call.
    """

    def __init__(self, reason: str, output: str = "") -> None:
        last = _last_words(output)
        super().__init__(f"{reason}; it last said: {last}" if last else reason)
        self.reason = reason
        self.output = output


class WorkerError(Exception):
    """The function raised in the child. The message is "Type: message"; `trace` holds the child's traceback."""

    def __init__(self, message: str, trace: str = "") -> None:
        super().__init__(message)
        self.trace = trace


class Worker:
    """A child process that calls functions, one at a time, and is started again when it died.

    Args:
        environment: variables set in the child, beside the parent's.
        memory_limit: resident bytes above which the child is ended; None: four fifths of what is free when it starts.
        preload: modules that the child imports before it answers, where they are there.

    Example:
        >>> with Worker() as worker:
        ...     worker.call("math:factorial", 5, timeout=10)
        120
    """

    def __init__(
        self,
        environment: Mapping[str, str] | None = None,
        memory_limit: int | None = None,
        preload: Sequence[str] = (),
    ) -> None:
        self._environment = dict(environment or {})
        self._memory_limit = memory_limit
        self._preload = tuple(preload)
        self._child: _Child | None = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """The child's process id; None when none runs."""
        return self._child.process.pid if self._child else None

    def call(self, function: str, *arguments: Any, timeout: float) -> Any:
        """Call `module:function` in the child with picklable arguments.

        Args:
            function: importable in the child, "package.module:function".
            arguments: its positional arguments.
            timeout: seconds that the call may take; starting the child and importing the function are not counted.

        Raises:
            WorkerCrash: the child died, hung or outgrew its memory; the next call starts another.
            WorkerError: the function raised; an OptbenchError is raised as it is.
        """
        child = self._running()
        healthy = False
        try:
            child.send((function, arguments))
            kind, value, healthy = child.receive(START_LIMIT, f"importing {function} took more than {START_LIMIT:g} s")
            if kind == "loaded":
                healthy = False
                kind, value, healthy = child.receive(timeout, f"no answer within {timeout:g} s")
        finally:
            # Also after Ctrl-C: a child in an unknown state is never asked again.
            if not healthy:
                self.close()
        if kind == "value":
            return value
        if isinstance(value, OptbenchError):
            raise value
        raise WorkerError(*value)

    def start(self) -> None:
        """Start the child now rather than with the first call, so that it imports while the parent does other work."""
        self._running()

    def close(self) -> None:
        """End the child, and whatever it started, at once."""
        child, self._child = self._child, None
        if child:
            child.end()

    def _running(self) -> _Child:
        if self._child is not None and self._child.process.poll() is not None:
            self.close()
        if self._child is None:
            self._child = _Child(self._environment, self._memory_limit or _free_memory(), self._preload)
        return self._child


class _Child:
    """One process and the ways to talk to it."""

    def __init__(self, environment: Mapping[str, str], memory_limit: int | None, preload: Sequence[str]) -> None:
        self.memory_limit = memory_limit
        descriptor, name = tempfile.mkstemp(prefix="optbench-worker-")
        self.output = Path(name)
        self.said_before = 0
        code = f"import sys; sys.path[:] = {sys.path!r}; from optbench.worker_child import serve; serve({preload!r})"
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=descriptor,
            env={**os.environ, **environment},
            # The terminal's Ctrl-C goes to the parent alone, which then ends the whole group.
            start_new_session=True,
        )
        self.end = weakref.finalize(self, _end, self.process, self.output)
        os.close(descriptor)
        self.answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=_read_answers, args=(self.process.stdout, self.answers), daemon=True).start()

    def send(self, request: Any) -> None:
        self.said_before = self.output.stat().st_size
        assert self.process.stdin is not None
        body = pickle.dumps(request)
        try:
            write_frame(self.process.stdin, body)
        except OSError as error:
            raise self._died() from error

    def receive(self, timeout: float, too_late: str) -> Any:
        """The next answer; WorkerCrash where there is none."""
        deadline = time.monotonic() + timeout
        while True:
            with contextlib.suppress(queue.Empty):
                return self.answers.get(timeout=_SLICE)
            # The pipe alone does not tell: a process that the child started may hold it open.
            if self.process.poll() is not None:
                with contextlib.suppress(queue.Empty):
                    return self.answers.get(timeout=_GRACE)
                raise self._died()
            if self.memory_limit and _resident_bytes(self.process.pid) > self.memory_limit:
                raise WorkerCrash(f"it used more than {self.memory_limit / 1e9:.3g} GB of memory", self._said())
            if time.monotonic() > deadline:
                raise self._hung(too_late)

    def _died(self) -> WorkerCrash:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_GRACE)
        said = self._said()
        return WorkerCrash(_cause(self.process.poll()) + _place(said), said)

    def _hung(self, too_late: str) -> WorkerCrash:
        # The child's faulthandler answers this signal with where it is.
        if hasattr(signal, "SIGUSR1"):
            with contextlib.suppress(OSError):
                os.kill(self.process.pid, signal.SIGUSR1)
                time.sleep(2 * _SLICE)
        said = self._said()
        return WorkerCrash(too_late + _place(said), said)

    def _said(self) -> str:
        """The end of what the child printed since the request was sent."""
        with contextlib.suppress(OSError), self.output.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(self.said_before, size - _OUTPUT_LIMIT))
            return stream.read().decode(errors="replace")
        return ""


def _read_answers(stream: IO[bytes], answers: queue.SimpleQueue[Any]) -> None:
    with contextlib.suppress(OSError), stream:
        while (frame := read_frame(stream)) is not None:
            answers.put(pickle.loads(frame))


def _end(process: subprocess.Popen[bytes], output: Path) -> None:
    """Kill a child and what it started, and take its exit status, so that no zombie stays."""
    with contextlib.suppress(OSError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)
    # Standard output is closed by the thread that reads it.
    with contextlib.suppress(OSError):
        if process.stdin is not None:
            process.stdin.close()
    with contextlib.suppress(OSError):
        output.unlink()


def _cause(status: int | None) -> str:
    if status is None:
        return "it closed its pipe"
    if status >= 0:
        return f"it left with exit status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return f"it died of {name}" + (" (out of memory?)" if name == "SIGKILL" else "")


def _place(output: str) -> str:
    """Where the main thread was, by faulthandler's list of frames; the library's own frames say little."""
    start = output.rfind("(most recent call first)")
    frames = [found for found in _FRAME.finditer(output, max(start, 0)) if not found["file"].startswith("<")]
    theirs = [found for found in frames if "site-packages" not in found["file"] and "lib/python" not in found["file"]]
    if start < 0 or not frames:
        return ""
    found = (theirs or frames)[0]
    return f", in {Path(found['file']).name} line {found['line']} ({found['function']})"


def _last_words(output: str) -> str:
    """The last line that the child printed before faulthandler's own."""
    lines = [line.strip() for line in _FAULTHANDLER.split(output)[0].splitlines() if line.strip()]
    return lines[-1][:200] if lines else ""


def _resident_bytes(pid: int) -> int:
    """Resident memory; 0 where the system does not tell."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def _free_memory() -> int | None:
    """Four fifths of the memory that is free now; None where the system does not tell."""
    free = []
    with contextlib.suppress(OSError, ValueError, IndexError):
        text = Path("/proc/meminfo").read_text()
        free.append(int(text.split("MemAvailable:")[1].split()[0]) * 1024)
    with contextlib.suppress(OSError, ValueError):
        limit, used = (int(Path(f"/sys/fs/cgroup/memory.{name}").read_text()) for name in ("max", "current"))
        free.append(limit - used)
    return int(0.8 * min(free)) if free else None
