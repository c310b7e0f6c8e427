"""Names of workloads, and what is wrong with one in one line."""

import subprocess
import sys

import pytest

from optbench import subjects
from optbench.errors import UsageError
from optbench.timing import workloads
from optbench.timing.workloads import SUITES, WORKLOADS, parse, select


@pytest.mark.parametrize(
    ("text", "tensors", "elements", "gradients"),
    [
        ("1x16M", 1, 1 << 24, "standing"),
        ("1000x64", 1000, 64_000, "standing"),
        ("1000x64/autograd", 1000, 64_000, "moving"),
        ("1000x1024", 1000, 1_024_000, "standing"),
        ("3x5", 3, 15, "standing"),
        ("8x4K/autograd", 8, 32768, "moving"),
        ("resnet50", 161, 25_557_032, "moving"),
    ],
)
def test_names(text: str, tensors: int, elements: int, gradients: str) -> None:
    workload = parse(text)
    assert (len(workload.shapes), workload.elements, workload.gradients) == (tensors, elements, gradients)
    assert workload.name == text


def test_a_thousand_of_1024_are_matrices() -> None:
    assert set(parse("1000x1024").shapes) == {(32, 32)}


def test_names_and_keys_agree() -> None:
    for name, workload in WORKLOADS.items():
        assert workload.name == name and workload.meaning
        moving = name.endswith("/autograd") or name == "resnet50"
        assert workload.gradients == ("moving" if moving else "rows" if name == "embeddings" else "standing")


@pytest.mark.parametrize(
    ("algo", "workloads"), [("muon", {2}), ("adafactor", {2}), ("sparse_adam", {2}), ("adam", {1}), ("ema", None)]
)
def test_what_nobody_names_fits_the_algorithm(algo: str, workloads: set[int] | None) -> None:
    subject = subjects.load(algo)
    chosen = select((), "quick", subject.kind, subject.ground)
    assert {workload.gradients == "rows" for workload in chosen} == {subject.sparse}
    assert workloads is None or {len(shape) for workload in chosen for shape in workload.shapes} == workloads


def test_suites_name_workloads_and_hold_a_curve() -> None:
    for names in SUITES.values():
        chosen = [WORKLOADS[name] for name in names]
        sizes = {workload.elements for workload in chosen if len(workload.shapes) == 1}
        assert {1 << 10, 1 << 24} <= sizes and len(sizes) >= 5
        assert {workload.gradients for workload in chosen} == {"standing", "moving"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1x16m", "did you mean '1x16M'"),
        ("", "unknown workload ''"),
        ("0x64", "unknown workload '0x64'"),
        ("64", "unknown workload '64'"),
        ("1x16M/gradient", "unknown workload"),
        ("1000000x1M", "elements: at most"),
        ("train.py:", "not of the form"),
        (":build", "not of the form"),
        ("train.py:not a name", "not of the form"),
    ],
)
def test_wrong_names_end_in_one_line(text: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_targets_are_parsed_but_not_loaded() -> None:
    workload = parse("nowhere/train.py:build_model/autograd")
    assert (workload.target, workload.gradients) == ("nowhere/train.py:build_model", "moving")
    assert parse("package.module:build").gradients == "standing"


def test_selection() -> None:
    assert [workload.name for workload in select((), "quick")] == list(SUITES["quick"])
    assert [workload.name for workload in select(("2x3", "2x3", parse("1x1K")), "quick")] == ["2x3", "1x1K"]
    with pytest.raises(UsageError, match="did you mean 'quick'"):
        select((), "quik")


def test_declarations_need_no_torch() -> None:
    code = "import sys, optbench.timing.bench, optbench.timing.workloads; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    assert workloads.SUITE_SECONDS["quick"] <= 11
