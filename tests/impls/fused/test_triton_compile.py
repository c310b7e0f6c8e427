"""The machine code of the fused rules' Triton kernels, for GPUs that are not here: see triton_compile.py.

The compilation runs in a process of its own, without Triton's interpreter. It also runs under the oldest Triton that is
supported, in an environment without torch, if there is one:

    make triton36
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from optbench.impls import fused
from optbench.impls.fused.optimizer import FusedOptimizer

pytest.importorskip("triton")

PROGRAM = Path(__file__).with_name("triton_compile.py")
OLDEST = Path(__file__).resolve().parents[3] / ".venv-triton36" / "bin" / "python"
PYTHONS = [
    pytest.param(sys.executable, id="this-triton"),
    pytest.param(
        str(OLDEST),
        id="triton-3.6",
        marks=pytest.mark.skipif(not OLDEST.exists(), reason="no .venv-triton36: make triton36"),
    ),
]


def examine(*arguments, python=sys.executable):
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    process = subprocess.run(
        [python, str(PROGRAM), *arguments], env=environment, capture_output=True, text=True, timeout=3600
    )
    assert process.returncode in (0, 1), process.stderr
    assert process.stderr == ""
    reports = [json.loads(line) for line in process.stdout.splitlines()]
    assert process.returncode == any(report["faults"] for report in reports)
    return reports


def elementwise_rules():
    classes = [getattr(fused, name) for name in fused.__all__]
    return {cls.rule.name for cls in classes if issubclass(cls, FusedOptimizer)} | {"average"}


def assert_sound(reports, kernels):
    assert len(reports) >= kernels
    assert {report["rule"] for report in reports} == elementwise_rules()
    assert {report.get("target") for report in reports} == {None, "sm_80", "sm_90", "gfx942"}
    assert [report for report in reports if report["faults"]] == []


@pytest.mark.parametrize("python", PYTHONS)
def test_kernels_have_no_faults(python):
    assert_sound(examine(python=python), kernels=100)


@pytest.mark.slow
@pytest.mark.parametrize("python", PYTHONS)
def test_every_specialisation_has_no_faults(python):
    assert_sound(examine("--full", python=python), kernels=2000)


@pytest.mark.parametrize(
    ("plant", "fault", "targets"),
    [
        ("alignment", "wide loads: 0", {"sm_80", "sm_90", "gfx942"}),
        ("absent-state", "wide stores", {"sm_80", "sm_90", "gfx942"}),
        ("approximate", "approximate", {"sm_80", "sm_90", "gfx942"}),
        ("fusion", "fused", {"sm_80", "sm_90", "gfx942"}),
        ("registers", "spills", {"sm_80", "sm_90"}),
        ("double", "float64", {"sm_80", "sm_90", "gfx942"}),
        ("specialise", "recompiles", {None}),
    ],
)
def test_a_planted_fault_is_found(plant, fault, targets):
    # Where there are exact quotients and roots, AMD's contractions cannot be told from them.
    reports = examine("--plant", plant, "--rules", "asgd" if plant == "fusion" else "adam")
    faulty = [report for report in reports if any(fault in text for text in report["faults"])]
    assert {report.get("target") for report in faulty} == targets
