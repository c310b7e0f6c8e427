"""Reduction: the smallest case that still fails, within the budget, and never one that does not fail."""

from __future__ import annotations

import pytest

from optbench import subjects
from optbench.case import Case
from optbench.failures.reduction import reduced, simpler
from optbench.trials.problem import shapes_of

SGD = subjects.load("sgd")
LARGE = Case(
    "sgd", {"momentum": 0.9, "weight_decay": 0.1, "maximize": True, "nesterov": True}, "bfloat16", "strided", "late",
    "thousand", "wide", 5, variant="seed=2", seed=2,
)  # fmt: skip


@pytest.mark.parametrize(
    ("fails", "smallest"),
    [
        (lambda case: True, "float32/1/1_steps"),
        (lambda case: case.options.get("weight_decay"), "float32/1/1_steps/weight_decay=0.1"),
        (lambda case: case.options.get("nesterov"), "float32/1/1_steps/momentum=0.9,nesterov=True"),
        (lambda case: case.dtype == "bfloat16" and case.steps > 2, "bfloat16/1/3_steps"),
        (lambda case: any(shape[-1:] > (16,) for shape in shapes_of(case.shapes)), "float32/17/1_steps"),
        (lambda case: case.moment == "late" and len(shapes_of(case.shapes)) > 1, "float32/late/1,1/1_steps"),
    ],
)
def test_what_decides_stays_and_all_else_goes(fails, smallest: str) -> None:  # type: ignore[no-untyped-def]
    found = reduced(LARGE, SGD, fails, budget=200)
    assert (found.id, found.seed) == (smallest, 2)


def test_nothing_smaller_leaves_the_case_as_it_is() -> None:
    assert reduced(LARGE, SGD, lambda case: False) is LARGE


def test_the_budget_is_kept() -> None:
    asked: list[Case] = []
    found = reduced(LARGE, SGD, lambda case: not asked.append(case), budget=5)  # type: ignore[func-returns-value]
    assert len(asked) == 5 and found is asked[-1]


def test_what_torch_refuses_together_is_never_tried() -> None:
    case = Case("sgd", {"momentum": 0.9, "nesterov": True}, drawn=True, shapes="1", steps=1)
    assert {"nesterov": True} not in [dict(candidate.options) for candidate in simpler(case, SGD)]


def test_of_a_scheduler_options_and_moments_are_reduced_alone() -> None:
    case = Case("steplr", {"step_size": 5, "gamma": 0.5}, "float64", moment="any epoch")
    found = reduced(case, subjects.load("steplr"), lambda case: case.options["step_size"] == 5)
    assert (found.moment, found.shapes, found.options) == ("every step", "mixed", {"step_size": 5})


def test_a_required_option_stays() -> None:
    case = Case("steplr", {"step_size": 5, "gamma": 0.5}, "float64")
    assert all("step_size" in candidate.options for candidate in simpler(case, subjects.load("steplr")))


def test_what_a_narrowed_subject_has_in_every_case_stays() -> None:
    adamw = subjects.load("adamw").narrowed({"eps": (1e-30,)}, ("float32",))
    case = Case("adamw", {"eps": 1e-30, "lr": 0.1, "amsgrad": True}, "float32", steps=4)
    smaller = list(simpler(case, adamw))
    assert smaller and all(each.options["eps"] == 1e-30 and each.dtype == "float32" for each in smaller)
    assert any(each.options == {"eps": 1e-30} for each in smaller)
