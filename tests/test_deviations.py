"""Every row of the table of deviations is true of the torch at hand."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import replace
from typing import get_args

import pytest

from optbench import deviations, laws, registry, subjects
from optbench.conformance import run
from optbench.deviations import MEANINGS, TABLE, Effect
from optbench.planning import Plan
from optbench.runs.results import Result

# What torch documents that it refuses is not asked of it; the command shows the reason.
_LEFT_OUT = ("D-008",)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.id)
def test_the_script_shows_what_torch_does(row: deviations.Deviation) -> None:
    exec(compile(row.script, row.id, "exec"), {})


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.id)
def test_a_script_is_short_and_ends_in_an_assertion(row: deviations.Deviation) -> None:
    lines = row.script.splitlines()
    assert len(lines) <= 10
    assert lines[-1].startswith("assert ")


def test_ids_are_unique_and_in_order() -> None:
    assert [row.id for row in TABLE] == [f"D-{number:03}" for number in range(1, len(TABLE) + 1)]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.id)
def test_rows_name_what_exists(row: deviations.Deviation) -> None:
    for globs, known in (
        (row.subjects, subjects.NAMES),
        (row.laws, tuple(laws.entries())),
        (row.implementations, tuple(registry.IMPLEMENTATIONS)),
    ):
        for glob in globs.split():
            assert fnmatch.filter(known, glob), glob


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.id)
def test_a_row_tells_in_sentences_what_proves_it(row: deviations.Deviation) -> None:
    sentences = " ".join(row.proof.split())
    assert re.fullmatch(r".{40,}\.", sentences), sentences


@pytest.mark.slow
@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.id)
def test_the_command_of_a_row_meets_it(row: deviations.Deviation) -> None:
    algorithm, implementation, law, keyword = deviations.selection(row)
    results = run(Plan(algorithm, (implementation,), laws=(law,), keyword=keyword))
    if row.id in _LEFT_OUT:
        assert {result.verdict for result in results} == {"skip"}
    else:
        assert any(result.deviation == row.id for result in results)


def test_every_effect_has_a_meaning() -> None:
    assert tuple(MEANINGS) == get_args(Effect)
    assert {row.effect for row in TABLE} <= set(MEANINGS)


def test_a_row_explains_its_own_cases_only() -> None:
    result = Result(
        "opt.layouts", "math", "sgd", "torch-fused", "torch", False, "float32/grad_unlike/matrices", "fail", 1
    )
    row = deviations.explain(result)
    assert row is not None and row.id == "D-001"
    # A row that names the law comes before one for all laws.
    named = Result("opt.sparse", "torch", "sgd", "torch-fused", "torch", False, "bfloat16/pair/rows", "error", 1)
    row = deviations.explain(named)
    assert row is not None and row.laws == "opt.sparse"
    empty = replace(named, subject="adafactor", law="opt.shapes", implementation="torch-foreach")
    # Nor is another failure of its cases taken for it.
    divided, other = (
        deviations.explain(replace(empty, message=message))
        for message in ("ZeroDivisionError: division by zero", "step 1, parameter 0: got 1, want 2")
    )
    assert divided is not None and divided.id == "D-013" and other is None
    ours = Result("opt.layouts", "math", "sgd", "fused", "numba", True, "float32/grad_unlike/matrices", "fail", 1)
    assert deviations.explain(ours) is None
