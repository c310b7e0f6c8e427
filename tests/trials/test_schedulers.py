"""Trials of schedulers: options as constructors take them, and laws that catch what is wrong."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import pytest
import torch

from optbench import conformance, laws, planning, registry, subjects
from optbench.case import Case
from optbench.checking import Task, check
from optbench.planning import Plan
from optbench.registry import Implementation
from optbench.subjects._schedule import Constant, Each, Part, Plain, Power
from optbench.trials.base import Unsupported
from optbench.trials.checker import Checker
from optbench.trials.schedulers import Trial

SCHEDULERS = [subject.name for subject in subjects.select("schedulers")]
LAWS = [name for name, entry in laws.entries().items() if entry.law.kind == "scheduler"]


def _trial(name: str, options: dict[str, Any], implementation: str = "torch", taken: Any = None) -> Trial:
    subject = subjects.load(name)
    case = Case(name, {**subject.base, **options}, "float64")
    return Trial(subject, registry.find(implementation), case, Checker(), {}, taken)


def test_values_are_passed_as_constructors_take_them() -> None:
    run = _trial("lambdalr", {"lr_lambda": Each((Power(0.5), Plain(Power(0.5))))}).run(lrs=(1.0, 1.0, 1.0))
    first, second, third = run.scheduler.lr_lambdas
    assert isinstance(second, types.FunctionType) and second(2) == 0.25
    # A function object is a copy: loading writes into it.
    assert first == third == Power(0.5) and first is not third
    assert _trial("multisteplr", {"milestones": (2, 2)}).run().scheduler.milestones == {2: 2}


def test_parts_are_built_of_the_same_make_in_order() -> None:
    scheduler = _trial("sequentiallr", {}, "foreach").run().scheduler
    assert [type(part).__name__ for part in scheduler._schedulers] == ["LinearLR", "CosineAnnealingLR"]
    assert {type(part).__module__.split(".")[2] for part in (scheduler, *scheduler._schedulers)} == {"foreach"}


def test_foreign_code_is_not_blamed_for_composites_of_torch() -> None:
    trial = _trial("onecyclelr", {}, "torch.optim.lr_scheduler:OneCycleLR")
    who = trial.implementation
    assert [trial.whose(name, who).name for name in ("sequentiallr", "cycliclr", "linearlr", "onecyclelr")] == [
        "reference", "reference", "torch", who.name,
    ]  # fmt: skip


def test_an_option_that_foreign_code_lacks_is_unsupported() -> None:
    with pytest.raises(Unsupported, match="gamma"):
        _trial("steplr", {"gamma": 0.5}, taken=frozenset({"step_size"})).run()
    with pytest.raises(Unsupported, match="last_epoch"):
        trial = _trial("steplr", {}, taken=frozenset({"step_size"}))
        trial.build(trial.optimizer(), last_epoch=3)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_torch_breaks_nothing_that_no_deviation_explains(name: str) -> None:
    results = list(conformance.run(Plan(name, ("torch",))))
    assert [f"{result.law} {result.case}" for result in results if result.broken and not result.deviation] == []
    assert all(result.comparisons for result in results if result.verdict == "pass")


@pytest.mark.parametrize("tier", ["reference", "foreach", "fused"])
def test_our_tiers_keep_every_law(tier: str) -> None:
    results = list(conformance.run(Plan("steplr,onecyclelr,sequentiallr,reducelronplateau", (tier,))))
    assert [f"{result.law} {result.case}" for result in results if result.broken] == []


def test_each_law_has_cases_of_some_scheduler() -> None:
    everything = [subjects.load(name) for name in SCHEDULERS]
    for law in LAWS:
        concerned = [subject.name for subject in everything if laws.entries()[law].concerns(subject)]
        assert concerned, law
    assert laws.entries()["sch.plateau"].concerns(subjects.load("reducelronplateau"))
    assert not laws.entries()["sch.plateau"].concerns(subjects.load("steplr"))


def _verdicts(cls: type, subject: str, law: str) -> list[str]:
    item = Implementation("planted", "planted", made=lambda name, submodule: cls)
    found = planning.cases(laws.entries()[law], subjects.load(subject), Plan(subject))
    return [check(Task(law, case, "planted", True, ""), item).verdict for case in found]


def test_a_scheduler_that_does_nothing_is_caught() -> None:
    class DoesNothing(torch.optim.lr_scheduler.ExponentialLR):
        def get_lr(self):  # type: ignore[no-untyped-def]
            return [group["lr"] for group in self.optimizer.param_groups]

    assert _verdicts(DoesNothing, "exponentiallr", "sch.formula").count("pass") == 0


def test_an_error_of_a_part_in_a_billion_is_caught() -> None:
    class Off(torch.optim.lr_scheduler.ExponentialLR):
        def get_lr(self):  # type: ignore[no-untyped-def]
            return [lr * (1 + 1e-9) for lr in super().get_lr()]

    assert set(_verdicts(Off, "exponentiallr", "sch.formula")) == {"fail"}


def test_an_absolute_error_near_zero_is_caught() -> None:
    class Floor(torch.optim.lr_scheduler.LinearLR):
        def get_lr(self):  # type: ignore[no-untyped-def]
            return [lr + 1e-13 for lr in super().get_lr()]

    verdicts = _verdicts(Floor, "linearlr", "sch.degenerate")
    assert verdicts.count("pass") == 0


def test_foreign_code_is_judged_by_the_laws_of_schedulers(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "import torch\n"
        "class Mine(torch.optim.lr_scheduler.LRScheduler):\n"
        "    def __init__(self, optimizer, step_size, last_epoch=-1):\n"
        "        self.step_size = step_size\n"
        "        super().__init__(optimizer, last_epoch)\n"
        "    def get_lr(self):\n"
        "        return [lr * 0.1 ** (self.last_epoch // self.step_size) for lr in self.base_lrs]\n",
        encoding="utf-8",
    )
    plan = Plan("steplr", (f"{path}:Mine",), laws=("sch.formula", "sch.compose", "sch.plateau"))
    results = list(conformance.run(plan))
    assert {result.verdict for result in results} == {"pass", "skip"}
    assert {result.message for result in results if result.verdict == "skip"} == {"no such option: gamma"}


def test_values_have_names_that_ids_can_hold() -> None:
    assert str(Each((Power(0.5), Constant(2.0)))) == "each:power:0.5:constant:2"
    assert str(Part("steplr", {"step_size": 3, "gamma": 0.5})) == "steplr[step_size=3;gamma=0.5]"
    assert str(Plain(Power(0.5))) == "function:power:0.5"
