"""Every implementation's rates over a course, or why there are none."""

import sys
from types import ModuleType

import pytest
from torch.optim import lr_scheduler

from optbench import curves, registry, subjects
from optbench.registry import Implementation
from optbench.runs.records import Recorder, read

SCHEDULERS = [subject.name for subject in subjects.select("schedulers")]


@pytest.fixture
def planted(monkeypatch):
    """A registry entry whose StepLR is given."""

    def plant(scheduler) -> Implementation:
        module = ModuleType("planted.lr_scheduler")
        module.StepLR = scheduler
        monkeypatch.setitem(sys.modules, "planted", ModuleType("planted"))
        monkeypatch.setitem(sys.modules, "planted.lr_scheduler", module)
        item = Implementation("planted", "planted", module="planted", backend={"*": "own"})
        monkeypatch.setitem(registry.IMPLEMENTATIONS, "planted", item)
        return item

    return plant


@pytest.mark.parametrize("name", SCHEDULERS)
def test_torch_follows_the_formula(name):
    entry = curves.collect([name], [])[name]
    assert list(entry["rates"]) == ["torch"] and not entry["refused"]
    assert len(entry["formula"]) == len(entry["rates"]["torch"]) == curves.EPOCHS + 1
    assert entry["rates"]["torch"] == pytest.approx(entry["formula"], rel=1e-12, abs=0)
    assert all(isinstance(text, str) for text in entry["options"].values())


def test_other_algorithms_have_no_curves():
    assert curves.collect(["adam", "ema"], [registry.find("torch")]) == {}


def test_an_interpreter_without_a_process_is_left_out():
    entry = curves.collect(["steplr"], [registry.find("fused-triton"), registry.find("torch-foreach")])["steplr"]
    assert set(entry["rates"]) | set(entry["refused"]) == {"torch"}


def test_what_raises_has_a_reason_in_place_of_a_curve(planted):
    class Raises(lr_scheduler.StepLR):
        def step(self, epoch=None):
            raise FloatingPointError("no such\nrate")

    entry = curves.collect(["steplr", "linearlr"], [planted(Raises)])
    assert entry["steplr"]["refused"] == {"planted": "FloatingPointError: no such rate"}
    assert entry["linearlr"]["refused"] == {"planted": "planted has no LinearLR."}


def test_a_wrong_curve_is_recorded_as_it_is(planted):
    class Off(lr_scheduler.StepLR):
        def __init__(self, optimizer, step_size, gamma):
            super().__init__(optimizer, step_size, gamma * 1.001)

    rates = curves.collect(["steplr"], [planted(Off)])["steplr"]["rates"]
    assert rates["planted"][30] == pytest.approx(1.001 * rates["torch"][30])


def test_code_with_a_process_is_asked_there(planted):
    class Hands:
        def call(self, function, *arguments, timeout):
            assert (function, arguments) == ("optbench.curves:follow", ("steplr", "planted", "cpu"))
            return [7.0]

    item = planted(lr_scheduler.StepLR)
    assert curves.collect(["steplr"], [item], workers={"planted": [Hands()]})["steplr"]["rates"]["planted"] == [7.0]


def test_a_record_and_its_journal_keep_the_curves(tmp_path):
    found = curves.collect(["steplr"], [])
    with Recorder("bench", "optbench bench", {}, {}, home=tmp_path) as recorder:
        recorder.draw(found)
        assert read(recorder.journal)["curves"] == found
        path = recorder.finish({"sentence": "OK.", "exit_status": 0})
    assert read(path)["curves"] == found
