"""The Triton kernels that are not elementwise: compiled for GPUs that are not here, and run in Triton's interpreter.

See triton_compile_own.py and triton_interpret_own.py; each runs in a process of its own.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")

HERE = Path(__file__).parent
OLDEST = HERE.parents[2] / ".venv-triton36" / "bin" / "python"
PYTHONS = [
    pytest.param(sys.executable, id="this-triton"),
    pytest.param(
        str(OLDEST),
        id="triton-3.6",
        marks=pytest.mark.skipif(not OLDEST.exists(), reason="no .venv-triton36: make triton36"),
    ),
]
TARGETS = {"sm_80", "sm_90", "gfx942"}


def run(program, *arguments, python=sys.executable, **environment):
    inherited = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    process = subprocess.run(
        [python, str(HERE / program), *arguments],
        env=inherited | environment,
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert process.returncode in (0, 1), process.stderr
    assert process.stderr == ""
    return [json.loads(line) for line in process.stdout.splitlines()]


@pytest.mark.parametrize(
    ("arguments", "kernels"), [((), 78), pytest.param(("--full",), 234, marks=pytest.mark.slow)], ids=["quick", "full"]
)
@pytest.mark.parametrize("python", PYTHONS)
def test_kernels_have_no_faults(arguments, kernels, python):
    reports = run("triton_compile_own.py", *arguments, python=python)
    assert len(reports) == kernels
    assert {report["target"] for report in reports} == TARGETS
    assert [report for report in reports if report["faults"]] == []


@pytest.mark.parametrize(
    ("plant", "fault", "targets"),
    [
        ("approximate", "approximate", TARGETS),
        pytest.param("fusion", "fused", TARGETS, marks=pytest.mark.slow),
        pytest.param("registers", "spills", {"sm_80", "sm_90"}, marks=pytest.mark.slow),
    ],
)
def test_a_planted_fault_is_found(plant, fault, targets):
    reports = run("triton_compile_own.py", "--plant", plant)
    faulty = [report for report in reports if any(fault in text for text in report["faults"])]
    assert {report["target"] for report in faulty} == targets


def test_the_interpreter_computes_what_numba_does():
    """To the bit where elements are independent; sums of many numbers are taken in another order."""
    reports = run("triton_interpret_own.py", PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
    assert len(reports) == 15
    assert all(report["backends"] == ["triton-interpreter", "numba"] for report in reports)
    for report in reports:
        # L-BFGS goes on with differences of nearly equal vectors
        allowed = {"sparse": 0.0, "muon": 0.0, "adafactor": 4.0, "lbfgs": 1000.0}[report["case"].split()[0]]
        assert report["difference"] <= allowed, report
