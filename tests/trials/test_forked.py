"""Functions in a forked child: their results, and what becomes of those that raise, die or hang."""

from __future__ import annotations

import os
import sys
import threading
import time
import warnings
from collections.abc import Iterator

import pytest

from optbench.trials import forked

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="it cannot fork")


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    # From Python 3.12 on a process with several threads is warned.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def test_the_child_has_what_this_process_has_and_changes_nothing_of_it() -> None:
    values = [1, 2]

    def more() -> tuple[list[int], int]:
        values.append(3)
        return values, os.getpid()

    found, pid = forked.call(more)
    assert found == [1, 2, 3] and values == [1, 2] and pid != os.getpid()


def test_a_large_answer_arrives_whole() -> None:
    assert forked.call(lambda: b"x" * (1 << 22)) == b"x" * (1 << 22)


def test_what_the_child_raises_is_told() -> None:
    with pytest.raises(forked.ForkFailed, match="ZeroDivisionError: "):
        forked.call(lambda: 1 // 0)


def test_an_answer_that_cannot_be_sent_is_told() -> None:
    with pytest.raises(forked.ForkFailed, match="pickle"):
        forked.call(lambda: threading.Lock())


def test_a_child_that_dies_or_hangs_is_told_and_none_is_left() -> None:
    with pytest.raises(forked.ForkFailed, match="died without an answer"):
        forked.call(lambda: os._exit(3))
    started = time.monotonic()
    with pytest.raises(forked.ForkFailed, match=r"no answer within 0\.2 s"):
        forked.call(lambda: time.sleep(60), timeout=0.2)
    assert time.monotonic() - started < 30
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
