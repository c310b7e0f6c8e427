"""The options of `pytest --pyargs optbench.suites.conformance`, which pytest has to know before it collects.

Where optbench is installed pytest loads this by an entry point; elsewhere `-p optbench.pytest_plugin` does. Runs of
other tests get no options. Imports nothing heavy, because every run of pytest pays for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

SUITE = "optbench.suites.conformance"


def pytest_load_initial_conftests(early_config: object, parser: pytest.Parser, args: list[str]) -> None:
    """Add the options, if the suite is asked for."""
    if any(str(argument).startswith(SUITE) for argument in args):
        add_options(parser)


def add_options(parser: pytest.Parser) -> None:
    """Add the suite's options, once."""
    group = parser.getgroup("optbench")
    if group.options:
        return
    group.addoption("--algo", default="", help="algorithms: names, commas, globs, all; default: all, or of foreign "
                    "classes every law that needs no formula")  # fmt: skip
    group.addoption("--impl", action="append", default=[], help="implementation: a name, module:Class or path.py:Class")
    group.addoption("--oracle", default="", help="your own reference class that decides what is right")
    group.addoption("--expect", help="TOML file of the failures that the implementations' owner expects")
    group.addoption("--device", default="cpu", help="a torch device")
    group.addoption("--suite", default="quick", choices=["quick", "full"], help="how many cases")
    group.addoption("--require", choices=["torch"], help="judge foreign code as a drop-in for torch.optim too")
    group.addoption("--case-seed", default=0, type=int, help="seeds cases and values")
