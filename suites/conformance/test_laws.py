"""One test a law and case. A failure shows the law's message and the command that reruns the case alone."""

from __future__ import annotations

import pytest

from optbench import registry
from optbench.checking import Task, check, check_isolated
from optbench.worker import Worker


def test_law(task: Task, workers: dict[str, Worker]) -> None:
    item = registry.find(task.implementation)
    if item.worker:
        worker = workers.setdefault(item.name, Worker(item.environment))
        result = check_isolated(task, worker)
    else:
        result = check(task)
    if result.verdict == "skip":
        pytest.skip(result.message)
    if result.broken and result.judged:
        pytest.fail(f"{result.verdict}: {result.message}\n{result.reproduce}", pytrace=False)
