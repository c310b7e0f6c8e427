"""Rates that are kept on a device: see triton_interpret_rates.py, which runs in a process of its own."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")

from .support import CONFIGS

PROGRAM = Path(__file__).with_name("triton_interpret_rates.py")


@functools.cache
def reports():
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.run(
        [sys.executable, str(PROGRAM)], env=environment, capture_output=True, text=True, timeout=1200
    )
    assert process.returncode == 0, process.stderr
    return [json.loads(line) for line in process.stdout.splitlines()]


def of(check):
    return [report for report in reports() if report["check"] == check]


def test_rates_on_a_device_are_those_of_floats():
    found = of("difference")
    assert len(found) == len(CONFIGS) + 2
    allowed = {"float64": 1e-14, "float32": 4e-7}
    for report in found:
        limit = allowed[report["case"].split()[1]]
        assert report["rates"] <= limit, report
        assert report["momenta"] <= limit, report


@pytest.mark.parametrize(
    ("check", "count"), [("replay", 7), ("tables", 9), ("changes", 6), ("averages", 8)]
)
def test_same(check, count):
    """Launches without the host go on alike; tables end well; changes are noticed; averages are Numba's to the bit."""
    found = of(check)
    assert len(found) == count
    assert [report["case"] for report in found if not report["same"]] == []
