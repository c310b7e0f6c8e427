"""Fixtures of the command line's tests."""

import contextlib

import pytest

from tests.cli.fakes import Fakes


@pytest.fixture
def fakes(monkeypatch, tmp_path):
    """Fake laws and timings, in a folder of their own."""
    from optbench import conformance
    from optbench.timing import bench

    made = Fakes()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(conformance, "run", made.check)
    # No process is started for results that are made up.
    monkeypatch.setattr(conformance, "crew", lambda plan: contextlib.nullcontext({}))
    monkeypatch.setattr(bench, "run", made.bench)
    coverage = {"factors": {"dtype": ["float32"], "layout": ["strided"]}, "covered": 12, "total": 12, "pairs": []}
    monkeypatch.setattr(conformance, "coverage", lambda plan, results: {"adam": coverage})
    return made
