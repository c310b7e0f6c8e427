"""Every id can be read back to the case that it names; nothing else can."""

from __future__ import annotations

from dataclasses import replace

import pytest

from optbench import case_ids, laws, subjects
from optbench.case import AsTensor, Case
from optbench.law import Scope

FULL = Scope("full", seed=3)


@pytest.mark.parametrize("name", ["adam", "adafactor", "sequentiallr", "cycliclr", "ema"])
def test_whatever_a_law_lists_reads_back_as_it_is_and_as_a_drawn_case(name: str) -> None:
    subject = subjects.load(name)
    read = 0
    for entry in laws.select():
        if entry.law.kind != subject.kind or not entry.concerns(subject):
            continue
        listed = list(entry.cases(subject, FULL))
        for case in listed[:: max(1, len(listed) // 20)]:
            assert case_ids.parse(case.id, subject, Case(name, seed=3), listed).id == case.id  # type: ignore[union-attr]
            drawn = replace(case, drawn=True, seed=3, steps=7)
            assert case_ids.parse(drawn.id, subject, Case(name, seed=3), listed) == drawn
            read += 1
    assert read > 20


def test_values_that_nobody_declared_read_back() -> None:
    options = {"lr": AsTensor(0.25), "betas": (0.7, 0.95), "weight_decay": 0.031}
    case = Case("adam", options, "bfloat16", shapes="3x4,0,scalar", steps=2, drawn=True)
    assert case.id == "bfloat16/3x4,0,scalar/2_steps/betas=0.7:0.95,lr=tensor:0.25,weight_decay=0.031"
    assert case_ids.parse(case.id, subjects.load("adam"), Case("adam"), ()) == case


@pytest.mark.parametrize("text", ["", "nonsense", "float32/nonsense", "float32/2_steps/momentun=0.9", "float32/3x4"])
def test_what_is_no_id_is_refused(text: str) -> None:
    # The last one lacks its steps: it would be another case than it names.
    assert case_ids.parse(text, subjects.load("sgd"), Case("sgd"), ()) is None
