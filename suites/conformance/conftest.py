"""One test for each law and case of each implementation."""

from __future__ import annotations

from argparse import Namespace

import pytest

from optbench import expected, laws, registry
from optbench.errors import OptbenchError
from optbench.foreign.acquaintance import require
from optbench.planning import Plan
from optbench.pytest_plugin import add_options
from optbench.testing import checks


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where the suite is named by its path, this is read early enough."""
    add_options(parser)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    options = metafunc.config.option
    try:
        found = checks([_plan(options)])
    except OptbenchError as error:
        raise pytest.Collector.CollectError(str(error)) from error
    metafunc.parametrize("check", found, ids=[each.id for each in found])


def _plan(options: Namespace) -> Plan:
    given = registry.select(options.impl, options.device)
    foreign = bool(options.impl) and all(item.target for item in given)
    algo = options.algo or ("" if foreign else "all")
    require(algo, options.impl, given, options.oracle)
    named = tuple(options.impl) or tuple(item.name for item in given if item.ours)
    declared = expected.load(options.expect, laws.entries()) if options.expect else None
    return Plan(
        algo, named, options.device, suite=options.suite, seed=options.case_seed,
        require_torch=options.require is not None, expected=declared, oracle=options.oracle,
    )  # fmt: skip
