"""Averagers in a race: figures that no clock decides, and no figure for a wrong average."""

import sys
from dataclasses import replace
from types import ModuleType

import pytest
import torch
from torch.optim import swa_utils

from optbench import registry, subjects
from optbench.registry import Implementation
from optbench.timing import averaging, bench
from optbench.timing.bench import BenchPlan
from optbench.timing.workloads import parse

TORCH = ("torch-forloop", "torch-foreach")
FUNCTIONS = ("get_ema_avg_fn", "get_swa_avg_fn")


class Honest(swa_utils.AveragedModel):
    pass


class Lazy(swa_utils.AveragedModel):
    """Copies the first model, and then counts."""

    def update_parameters(self, model):
        if self.n_averaged:
            self.n_averaged += 1
        else:
            super().update_parameters(model)


class Tires(swa_utils.AveragedModel):
    """Right for the first six updates."""

    updates = 0

    def update_parameters(self, model):
        self.updates += 1
        if self.updates <= 6:
            super().update_parameters(model)


class WritesTheModel(swa_utils.AveragedModel):
    def update_parameters(self, model):
        super().update_parameters(model)
        with torch.no_grad():
            next(model.parameters()).mul_(0.5)


class Off(swa_utils.AveragedModel):
    """Counts one model too many."""

    def update_parameters(self, model):
        super().update_parameters(model)
        if self.n_averaged == 1:
            self.n_averaged += 1


class Raises(swa_utils.AveragedModel):
    def update_parameters(self, model):
        raise FloatingPointError("no such kernel\nin this build")


@pytest.fixture
def planted(monkeypatch):
    """Makes an implementation whose averager is the class of that name above."""
    monkeypatch.setattr(averaging, "_FIRST_CALLS", {})

    def make(cls: str) -> Implementation:
        # A path of one form of averaging, as torch's are.
        offers = {"AveragedModel": globals()[cls], **{name: getattr(swa_utils, name) for name in FUNCTIONS}}
        module = ModuleType(f"planted_{cls}")
        module.path = lambda name: offers.get(name.removeprefix("swa_utils."))
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return Implementation(cls, "planted", module=module.__name__, factory="path", backend={"*": "own"})

    return make


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(averaging, "_RESET_AFTER", 40)


def rows(subject: str, *implementations, workload="2x64", **changes):
    found = [registry.find(each) if isinstance(each, str) else each for each in implementations]
    names = frozenset(each.name for each in found)
    plan = BenchPlan([subjects.load(subject)], found, names, workloads=[workload], seconds=0.05, **changes)
    return {row.implementation: row for row in bench.run(plan)}


@pytest.mark.parametrize("subject", ["swa", "ema"])
def test_figures_that_no_clock_decides(subject):
    found = rows(subject)
    assert list(found) == list(TORCH)
    for row in found.values():
        assert row.refused is None and row.median_s and row.rounds >= 5 and row.verdict
        assert (row.elements, row.tensors, row.gradients, row.groups, row.dtype) == (128, 2, "none", 0, "float32")
        # The average is read and written, the model is read.
        assert row.bytes_per_step == 128 * 12
        assert row.bandwidth_bytes_per_s == pytest.approx(128 * 12 / row.median_s)
        assert row.scaled_error < 2 and row.dispatched_ops and row.first_call_s
        # Too small to be limited by memory.
        assert row.bandwidth_fraction is None


@pytest.mark.parametrize("subject", ["swa", "ema"])
@pytest.mark.parametrize("dtype", ["bfloat16", "complex64", "float64"])
def test_every_dtype_is_timed(subject, dtype):
    row = rows(subject, dtype=dtype)["torch-forloop"]
    assert row.refused is None and row.dtype == dtype


@pytest.mark.parametrize(
    ("cls", "says"),
    [
        ("Lazy", "does not match the oracle on this workload: update 2"),
        ("WritesTheModel", "update 1: it leaves the model alone"),
        ("Raises", "its step raised FloatingPointError: no such kernel in this build"),
        ("Tires", "after it was timed"),
    ],
)
def test_no_figure_for_a_wrong_average(planted, cls, says):
    row = rows("ema", planted(cls))[cls]
    assert says in row.refused and row.median_s is None and row.verdict == ""


def test_a_mean_of_one_model_too_many_is_found(planted):
    assert "update 2" in rows("swa", planted("Off"))["Off"].refused
    assert rows("swa", planted("Honest"))["Honest"].refused is None


def test_a_mean_of_many_models_goes_back_to_one_of_a_few(planted):
    implementation = planted("Honest")
    plan = BenchPlan([subjects.load("swa")], [implementation], workloads=["2x64"])
    heat = averaging.Averaging(plan, subjects.load("swa"), parse("2x64"), lambda name, phase: None)
    assert heat.unfit() == ""
    heat.admit(implementation)
    entrant = heat.entrants["Honest"]
    for _ in range(30):
        entrant.before_sample(9)
        for _ in range(9):
            entrant.step()
        assert int(entrant.averager.n_averaged) == entrant.taken <= 40
    heat.still("Honest")


def test_averages_share_memory_where_nothing_else_is_kept(planted):
    plan = BenchPlan([subjects.load("ema")], [], workloads=["2x64"])
    heat = averaging.Averaging(plan, subjects.load("ema"), parse("2x64"), lambda name, phase: None)
    heat.unfit()
    for name in TORCH:
        heat.admit(registry.find(name))
    places = {name: [t.data_ptr() for t in entrant.averages] for name, entrant in heat.entrants.items()}
    assert places["torch-forloop"] == places["torch-foreach"] == [t.data_ptr() for t in heat.averages]


@pytest.mark.parametrize(
    ("subject", "changes"), [("ema", {"options": {"decay": 0.9999}}), ("swa", {"dtype": "bfloat16"})]
)
def test_an_average_of_more_digits_keeps_its_own_memory(subject, changes):
    plan = BenchPlan([subjects.load(subject)], [], workloads=["2x64"], **changes)
    heat = averaging.Averaging(plan, subjects.load(subject), parse("2x64"), lambda name, phase: None)
    heat.unfit()
    assert heat.averages is None


def test_what_needs_too_much_memory_is_refused(monkeypatch):
    monkeypatch.setattr(averaging.device, "free_bytes", lambda device: 1000)
    row = rows("ema")["torch-foreach"]
    assert "GiB are free" in row.refused and row.median_s is None


def test_a_users_model_is_averaged(tmp_path):
    path = tmp_path / "train.py"
    path.write_text("import torch\ndef build():\n    return torch.nn.Linear(5, 3)\n")
    row = rows("ema", workload=f"{path}:build")["torch-foreach"]
    assert (row.refused, row.elements, row.tensors) == (None, 18, 2)


def test_an_implementation_without_averagers_says_so():
    assert rows("ema", "torch-fused")["torch-fused"].refused == "torch-fused has no averagers"


FOREIGN = """
import copy
import torch

class MyEMA:
    def __init__(self, model, decay=0.5):
        self.module, self.decay = copy.deepcopy(model), decay

    @torch.no_grad()
    def update_parameters(self, model):
        for mine, param in zip(self.module.parameters(), model.parameters()):
            mine.lerp_(param, 1 - self.decay)

class NoDecay:
    def __init__(self, model):
        self.module = copy.deepcopy(model)

    def update_parameters(self, model):
        pass
"""


def test_foreign_averages_begin_with_the_model_and_get_every_option_they_take(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(FOREIGN)
    mine, lacking = (registry.find(f"{path}:{name}") for name in ("MyEMA", "NoDecay"))
    plan = BenchPlan([subjects.load("ema")], [mine, lacking], options={"decay": 0.75})
    heat = averaging.Averaging(plan, subjects.load("ema"), parse("2x64"), lambda name, phase: None)
    heat.unfit()
    heat.admit(registry.find("torch-foreach"))
    heat.admit(mine)
    assert heat.entrants[mine.name].averager.decay == 0.75
    heat.contestant(mine.name).step()
    heat.entrants[mine.name].taken += 1
    heat.still(mine.name)
    with pytest.raises(averaging.Refused, match="no such option: decay"):
        heat.admit(lacking)
    usual = averaging.Averaging(replace(plan, options={}), subjects.load("ema"), parse("2x64"), heat.observe)
    usual.unfit()
    usual.admit(mine)
    assert usual.entrants[mine.name].averager.decay == 0.999
