"""One test a law and case. A failure shows the law's message and the command that reruns the case alone."""

from __future__ import annotations

from optbench.testing import Check


def test_law(check: Check) -> None:
    check()
