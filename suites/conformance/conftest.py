"""The suite's options, and one test for each law and case of each implementation."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from optbench import conformance, registry
from optbench.conformance import Plan
from optbench.errors import OptbenchError
from optbench.worker import Worker


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("optbench")
    group.addoption("--algo", default="all", help="algorithms: names, commas, globs, all")
    group.addoption("--impl", action="append", default=[], help="implementation: a name, module:Class or path.py:Class")
    group.addoption("--device", default="cpu", help="a torch device")
    group.addoption("--suite", default="quick", choices=["quick", "full"], help="how many cases")
    group.addoption("--case-seed", default=0, type=int, help="seeds cases and values")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    options = metafunc.config.option
    named = tuple(options.impl) or tuple(item.name for item in registry.select([], options.device) if item.ours)
    plan = Plan(options.algo, named, options.device, suite=options.suite, seed=options.case_seed)
    try:
        found = conformance.planned(plan)
    except OptbenchError as error:
        raise pytest.UsageError(str(error)) from error
    ids = [f"{task.case.subject}-{task.implementation}-{task.law}[{task.case.id}]" for task in found]
    metafunc.parametrize("task", found, ids=ids)


@pytest.fixture(scope="session")
def workers() -> Iterator[dict[str, Worker]]:
    """A process for each implementation that may not run in this one, started when it is first needed."""
    started: dict[str, Worker] = {}
    yield started
    for worker in started.values():
        worker.close()
