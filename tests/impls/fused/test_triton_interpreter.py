"""The Triton path of the fused optimizers, run in Triton's interpreter: see triton_interpret.py."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")

PROGRAM = Path(__file__).with_name("triton_interpret.py")
# Honest float32 and 16-bit arithmetic stays below 6; a constant wrong in the fourth digit scores in the hundreds.
CAP = 8.0


@functools.cache
def found():
    """What the program reports, by case; it runs once."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.run(
        [sys.executable, str(PROGRAM)], env=environment, capture_output=True, text=True, timeout=1200
    )
    assert process.returncode == 0, process.stderr
    reports = [json.loads(line) for line in process.stdout.splitlines()]
    return {report.pop("case"): report for report in reports}


def test_steps_are_as_exact_as_their_dtype_allows():
    cases = {case: report for case, report in found().items() if "errors" in report}
    assert len(cases) == 36
    assert {report["backend"] for report in cases.values()} == {"triton-interpreter"}
    assert all(len(report["errors"]) == 2 for report in cases.values())
    assert {case: report["errors"] for case, report in cases.items() if not max(report["errors"]) <= CAP} == {}


def test_the_device_prepares_the_scalars_that_the_host_does():
    differences = found()["prepared"]["found"]
    assert len(differences) == 44
    # RAdam subtracts lengths a thousand times larger than their difference.
    assert {case: worst for case, worst in differences.items() if worst > (1e-13 if "radam" in case else 1e-14)} == {}


def test_found_inf_leaves_every_bit():
    changes = found()["skipped"]["found"]
    assert len(changes) == 17
    assert {case: changed for case, changed in changes.items() if changed != [False, True]} == {}


@pytest.mark.parametrize("check", ["unscaled", "against_numba", "stored", "operations"])
def test_same_bits(check):
    """Scaled gradients under their scale give what plain ones do; Triton gives and stores what Numba does, and
    both give what the same operations give on numbers.
    """
    same = found()[check]["found"]
    assert len(same) >= 8
    assert [case for case, equal in same.items() if not equal] == []


def test_tables_are_copied_only_when_a_pointer_moved():
    assert found()["copies"]["found"] == {"standing": 1, "schedule": 1, "moving": 5}
