"""Schedulers in a race: every one on its course, and no figure for a wrong rate."""

import sys
from types import ModuleType

import pytest
import torch
from torch.optim import lr_scheduler

from optbench import registry, subjects
from optbench.courses import course
from optbench.registry import Implementation
from optbench.timing import bench, scheduling
from optbench.timing.bench import BenchPlan
from optbench.trials import formulas

SCHEDULERS = [subject.name for subject in subjects.select("schedulers")]


class Honest(lr_scheduler.StepLR):
    pass


class Off(lr_scheduler.StepLR):
    """Decays in the ninth digit, too."""

    def __init__(self, optimizer, step_size, gamma=0.1, last_epoch=-1):
        super().__init__(optimizer, step_size, gamma * (1 + 1e-9), last_epoch)


class ForgetsTheLastGroup(lr_scheduler.StepLR):
    def step(self, epoch=None):
        kept = self.optimizer.param_groups[-1]["lr"]
        super().step(epoch)
        self.optimizer.param_groups[-1]["lr"] = kept


class Tires(lr_scheduler.StepLR):
    """Right in its first instances, which are those that are checked first."""

    made = 0

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        type(self).made += 1

    def step(self, epoch=None):
        if type(self).made <= 2 or self.last_epoch < 0:
            super().step(epoch)


class Raises(lr_scheduler.StepLR):
    def step(self, epoch=None):
        if self.last_epoch >= 0:
            raise FloatingPointError("no such\nrate")
        super().step(epoch)


@pytest.fixture
def planted(monkeypatch):
    """Makes an implementation whose StepLR is the class of that name above."""
    monkeypatch.setattr(scheduling, "_FIRST_CALLS", {})

    def make(cls: str) -> Implementation:
        module = ModuleType(f"planted_{cls}.lr_scheduler")
        module.StepLR = globals()[cls]
        monkeypatch.setitem(sys.modules, f"planted_{cls}", ModuleType(f"planted_{cls}"))
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return Implementation(cls, "planted", module=f"planted_{cls}", backend={"*": "own"})

    return make


def rows(subject: str, *implementations, workload="3groups", **changes):
    found = [registry.find(each) if isinstance(each, str) else each for each in implementations]
    names = frozenset(each.name for each in found)
    plan = BenchPlan([subjects.load(subject)], found, names, workloads=[workload], seconds=0.05, **changes)
    return {row.implementation: row for row in bench.run(plan)}


@pytest.mark.parametrize("subject", SCHEDULERS)
def test_torch_keeps_to_the_course_of_every_scheduler(subject):
    row = rows(subject)["torch"]
    assert row.refused is None and row.median_s and row.rounds >= 5 and row.baseline == "torch"
    assert (row.groups, row.tensors, row.elements, row.gradients, row.dtype) == (3, 0, 0, "none", "float64")
    assert row.bytes_per_step is None and row.bandwidth_bytes_per_s is None and row.bandwidth_fraction is None
    assert row.scaled_error is not None and row.scaled_error < 100 and row.first_call_s


@pytest.mark.parametrize("subject", SCHEDULERS)
def test_a_course_moves_the_rate(subject):
    declared = subjects.load(subject)
    options = declared.complete(course(subject, 100, 25))
    if subject == "reducelronplateau":
        seen = [rates[0] for rates in formulas.plateau(options, [0.1], [1.0] * 100)]
    else:
        seen = [formulas.rates(subject, options, [0.1], epoch)[0] for epoch in range(101)]
    assert max(seen) > 2 * min(seen) >= 0
    assert len(set(seen)) >= 2


@pytest.mark.parametrize(
    ("cls", "says"),
    [
        ("Off", "does not match the oracle on this workload: epoch 10, rate of group 0"),
        ("ForgetsTheLastGroup", "epoch 10, rate of group 99"),
        ("Raises", "its step raised FloatingPointError: no such rate"),
        ("Tires", "after it was timed"),
    ],
)
def test_no_figure_for_a_wrong_rate(planted, cls, says):
    row = rows("steplr", planted(cls), workload="100groups")[cls]
    assert says in row.refused and row.median_s is None and row.verdict == ""


def test_an_honest_one_has_a_figure(planted):
    found = rows("steplr", planted("Honest"))
    assert found["Honest"].refused is None and found["Honest"].ratio_to_baseline
    assert found["Honest"].judged and not found["torch"].judged


def test_momentum_is_judged(planted, monkeypatch):
    wrong = lambda name, options, groups, epoch: [0.5] * groups  # noqa: E731
    monkeypatch.setattr(scheduling.formulas, "momenta", wrong)
    assert "momentum of group 0" in rows("cycliclr")["torch"].refused


def test_no_schedule_ends_within_a_sample():
    heat = scheduling.Scheduling(
        BenchPlan([subjects.load("onecyclelr")], []), subjects.load("onecyclelr"), bench.workloads.parse("2groups"),
        lambda name, phase: None,
    )  # fmt: skip
    heat.admit(registry.find("torch"))
    entrant = heat.entrants["torch"]
    for _ in range(3):
        entrant.before_sample(2001)
        for _ in range(2001):
            entrant.step()
    assert entrant.scheduler.last_epoch == entrant.taken == 2001


def test_an_optimizer_of_many_groups_is_a_common_one():
    optimizer = scheduling.optimizer_of(9, "cpu")
    assert [group["lr"] for group in optimizer.param_groups[:3]] == [0.1, 0.05, pytest.approx(0.1 / 3)]
    assert len({id(group["params"][0]) for group in optimizer.param_groups}) == 9
    for group in optimizer.param_groups:
        group["params"][0].grad = torch.ones(1)
    optimizer.step()
    assert optimizer.param_groups[8]["params"][0].item() == pytest.approx(-0.05)


def test_an_implementation_without_schedulers_says_so():
    assert rows("steplr", "torch-foreach")["torch-foreach"].refused == "torch-foreach has no schedulers"


def test_a_scheduler_that_an_implementation_lacks_is_refused(planted):
    assert rows("swalr", planted("Honest"))["Honest"].refused.startswith("Honest ")


FOREIGN = """
import math
from torch.optim.lr_scheduler import LRScheduler

class MyCosine(LRScheduler):
    def __init__(self, optimizer, T_max, last_epoch=-1):
        self.T_max = T_max
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        return [base * (1 + math.cos(math.pi * self.last_epoch / self.T_max)) / 2 for base in self.base_lrs]

class Timid(LRScheduler):
    def __init__(self, optimizer, last_epoch=-1):
        super().__init__(optimizer, last_epoch)
"""


def test_foreign_schedulers_are_judged_as_all_are(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(FOREIGN)
    subject = subjects.load("cosineannealinglr")
    mine, timid = (registry.find(f"{path}:{name}") for name in ("MyCosine", "Timid"))
    plan = BenchPlan([subject], [mine, timid])
    heat = scheduling.Scheduling(plan, subject, bench.workloads.parse("2groups"), lambda name, phase: None)
    heat.admit(mine)
    heat.still(mine.name)
    with pytest.raises(scheduling.Refused, match="no such option: T_max"):
        heat.admit(timid)
