"""Drawn cases are legal and can be named; a failure among them is shrunk; without hypothesis the row says so."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings

from optbench import case_ids, conformance, generate, laws, planning, registry, subjects
from optbench.case import Case
from optbench.checking import Task, check
from optbench.law import Scope
from optbench.planning import Plan
from optbench.registry import Implementation
from optbench.runs.results import Result
from optbench.trials.problem import shapes_of

FULL = Scope("full")
SPACES = [
    (name, law)
    for name, law in [
        ("sgd", "opt.oracle"), ("adam", "opt.layouts"), ("adafactor", "opt.shapes"), ("muon", "opt.sparse_in_time"),
        ("lbfgs", "opt.oracle"), ("rprop", "opt.groups"), ("cycliclr", "sch.formula"), ("multisteplr", "sch.formula"),
        ("ema", "avg.oracle"),
    ]
]  # fmt: skip


@pytest.mark.parametrize(("name", "law"), SPACES)
def test_drawn_cases_are_legal_and_read_back_from_their_ids(name: str, law: str) -> None:
    subject, entry = subjects.load(name), laws.entries()[law]
    space = entry.space(subject, FULL)
    assert space is not None
    like, listed = Case(name), list(entry.cases(subject, FULL))

    @settings(max_examples=25, database=None, derandomize=True, deadline=None)
    @given(generate.cases(like, subject, law, space))
    def drawn(case: Case) -> None:
        assert case_ids.parse(case.id, subject, like, listed) == case
        full = subject.complete(case.options)
        assert not any(full[a] == va and full[b] == vb for (a, va), (b, vb) in subject.forbidden)
        assert {case.layout, case.moment, case.dtype} <= {*space.layouts, *space.moments, *space.dtypes}

    drawn()


def test_numbers_between_declared_ones_are_drawn_and_stay_between() -> None:
    found: set[float] = set()

    @settings(max_examples=100, database=None, derandomize=True)
    @given(generate.values((1e-3, 0.1)), generate.values((2, 7)), generate.values(((0.5, 1.2), (0.3, 1.6))))
    def drawn(number: float, whole: int, pair: tuple[float, float]) -> None:
        assert 1e-3 <= number <= 0.1 and number == float(f"{number:g}")
        assert isinstance(whole, int) and 2 <= whole <= 7
        assert 0.3 <= pair[0] <= 0.5 and 1.2 <= pair[1] <= 1.6
        found.add(number)

    drawn()
    assert len(found) > 10

    @given(generate.values((False, True)), generate.values((None, "strong_wolfe")), generate.values((None, 3)))
    @settings(database=None, derandomize=True)
    def kept(flag: bool, text: Any, number: Any) -> None:
        assert flag in (False, True) and text in (None, "strong_wolfe") and number in (None, 3)

    kept()


@pytest.mark.parametrize(
    ("value", "banned", "declared", "forbidden"),
    [
        (0, 0, (0, 0.9), True), (0.4, 0, (0, 0.9), False), (0.25, 0.25, (0, 0.25), True), (0.1, 0.25, (0, 0.25), True),
        (1e-5, 1e-8, (1e-8, 1e-3), True), (1e-3, 1e-8, (1e-8, 1e-3), False), ("float16", "float16", (), True),
    ],
)  # fmt: skip
def test_what_is_between_is_as_forbidden_as_its_end(value: Any, banned: Any, declared: Any, forbidden: bool) -> None:
    assert generate._is(value, banned, declared) == forbidden


class Planted(torch.optim.SGD):
    """Wrong in the last of seventeen elements or more, and with a decay that no declaration names."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        kept = [param.detach().clone() for group in self.param_groups for param in group["params"]]
        super().step()
        for param, old in zip(self.param_groups[0]["params"], kept, strict=True):
            if param.dim() == 1 and param.numel() >= 17 and 0 < self.param_groups[0]["weight_decay"] < 0.1:
                param[-1] = old[-1]


def searched(cls: type, law: str = "opt.oracle", seed: int = 0) -> Result:
    item = Implementation("planted", "planted", made=lambda name, submodule: cls)
    space = laws.entries()[law].space(subjects.load("sgd"), Scope("full", dtypes=("float32",), seed=seed))
    case = generate.placeholder("sgd", "cpu", seed)
    return check(Task(law, case, "planted", True, f"optbench check -k '{law}[drawn]' --seed {seed}", space=space), item)


@pytest.mark.slow
def test_a_fault_between_declared_values_is_found_and_shrunk() -> None:
    result = searched(Planted, "opt.shapes")
    assert result.verdict == "fail"
    dtype, shapes, steps, options = result.case.split("/")
    assert (dtype, shapes, steps) == ("float32", "17", "1_steps")
    assert options.startswith("weight_decay=0.0") and "," not in options
    assert result.reproduce == f"optbench check -k 'opt.shapes[{result.case}]' --seed 0"


def pretended(fails: Callable[[Case], str], law: str = "opt.oracle", seed: int = 0) -> Any:
    """A search in which a case passes, or fails with what the function says."""
    space = laws.entries()[law].space(subjects.load("sgd"), FULL)
    task = Task(law, generate.placeholder("sgd", "cpu", seed), "mine", True, f"-k '{law}[drawn]' --seed 0", space=space)

    def checked(each: Task) -> Result:
        message = fails(each.case)
        verdict: Any = "skip" if message == "skip" else "fail" if message else "pass"
        known = "D-001" if message == "known" else None
        return Result(law, "math", "sgd", "mine", "x", True, each.case.id, verdict, 1, 1.0, 8.0, message, known,
                      each.reproduce)  # fmt: skip

    return generate.search(task, checked)


@pytest.mark.parametrize(
    ("fails", "smallest"),
    [
        (lambda case: True, r"float32/\w+/1_steps"),
        (lambda case: max(map(math.prod, shapes_of(case.shapes))) > 40, r"float32/41/1_steps"),
        (lambda case: 0 < case.options.get("weight_decay", 0) < 0.1, r"float32/\w+/1_steps/weight_decay=0.001"),
        (lambda case: case.options.get("nesterov"), r"float32/\w+/1_steps/momentum=0.9,nesterov=True"),
        (lambda case: case.dtype == "bfloat16" and case.steps > 1, r"bfloat16/\w+/2_steps"),
        (lambda case: case.moment == "gap" and "," in case.shapes, r"float32/gap/\w+,\w+/1_steps"),
    ],
)  # fmt: skip
def test_a_failure_shrinks_to_what_decides(fails: Any, smallest: str) -> None:
    result = pretended(lambda case: "wrong" if fails(case) else "")
    assert (result.verdict, result.message) == ("fail", "wrong")
    assert re.fullmatch(smallest, result.case), result.case
    assert result.reproduce == f"-k 'opt.oracle[{result.case}]' --seed 0"


def test_the_seed_decides_what_is_drawn() -> None:
    seen: dict[tuple[int, int], list[str]] = {}
    for seed in (0, 1):
        for time in (0, 1):
            drawn = seen.setdefault((seed, time), [])
            pretended(lambda case, kept=drawn: kept.append(case.id) or "", seed=seed)  # type: ignore[misc]
    assert seen[0, 0] == seen[0, 1] != seen[1, 0] == seen[1, 1]
    assert len(seen[0, 0]) <= generate.EXAMPLES


def test_what_is_known_does_not_hide_what_is_new() -> None:
    known = pretended(lambda case: "known" if case.steps > 1 else "")
    assert known.deviation == "D-001" and known.case.endswith("2_steps")
    new = pretended(lambda case: "known" if case.dtype == "bfloat16" else "new" if case.steps > 1 else "")
    assert new.message == "new" and new.deviation is None


def test_cases_that_do_not_concern_anybody_are_no_pass() -> None:
    assert pretended(lambda case: "skip") == "skip"


def test_what_passes_is_one_row_that_says_how_many() -> None:
    result = pretended(lambda case: "")
    assert (result.verdict, result.case) == ("pass", "drawn")
    assert result.message == f"{result.comparisons} drawn cases"
    assert result.reproduce == "-k 'opt.oracle[drawn]' --seed 0"
    assert generate.EXAMPLES / 2 < result.comparisons <= generate.EXAMPLES


def test_the_full_suite_asks_for_drawn_cases_and_the_quick_one_does_not() -> None:
    for suite, many in (("quick", 0), ("full", 1)):
        plan = Plan("sgd", ("reference",), suite=suite, laws=("opt.oracle", "opt.version"))
        found = planning.tasks(plan, registry.select(["reference"]))
        drawn = [task for task in found if task.space is not None]
        assert len(drawn) == many and all(task.law == "opt.oracle" for task in drawn)


def test_a_shrunk_case_is_found_again_by_its_command() -> None:
    name = "opt.oracle[bfloat16/late/3x4,0/2_steps/momentum=0.45]"
    for suite in ("quick", "full"):
        plan = Plan("sgd", ("reference",), suite=suite, laws=("opt.oracle",), keyword=name, seed=5)
        (task,) = planning.tasks(plan, registry.select(["reference"]))
        assert f"{task.law}[{task.case.id}]" == name and task.case.seed == 5
        assert check(task).verdict == "pass"


def test_without_hypothesis_the_row_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    result = searched(torch.optim.SGD)
    assert (result.verdict, result.message) == ("skip", generate.MISSING)


def test_where_a_path_is_missing_the_row_says_so() -> None:
    plan = Plan("lbfgs", ("torch-fused",), suite="full", laws=("opt.oracle",), keyword="[drawn]")
    (result,) = conformance.run(plan)
    assert (result.verdict, result.message) == ("skip", "torch.optim has no such path for LBFGS")
