"""Scripts about schedulers show what a law did: they fail for what is broken, and pass for what is right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from optbench.impls.foreach import lr_scheduler as foreach
from optbench.reference import lr_scheduler as reference

from optbench.case import Case
from optbench.checking import Task, check
from optbench.failures.localise import localise
from optbench.failures.scripts import script
from optbench.subjects._schedule import Power

from .planting import passes, plant, shown

CODE = """
import warnings

import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau


class Right(torch.optim.lr_scheduler.LRScheduler):
    def __init__(self, optimizer, step_size, gamma=0.1, last_epoch=-1):
        if step_size < 1:
            raise ValueError(f"step_size={step_size}")
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        lrs = [group["lr"] for group in self.optimizer.param_groups]
        if self.last_epoch == 0 or self.last_epoch % self.step_size:
            return [lr.clone() if hasattr(lr, "clone") else lr for lr in lrs]
        return [lr * self.gamma for lr in lrs]


class FromZero(Right):
    def load_state_dict(self, state):
        super().load_state_dict(state)
        self.last_epoch = 0


class Again(Right):
    def __init__(self, *args, last_epoch=-1, **kwargs):
        super().__init__(*args, last_epoch=last_epoch, **kwargs)
        if last_epoch > 0:
            self.last_epoch -= 1


class Shares(Right):
    def load_state_dict(self, state):
        optimizer, self.__dict__ = self.optimizer, state
        self.optimizer = optimizer


class IntegerKeys(Right):
    def state_dict(self):
        return {"epoch": {self.last_epoch: self.step_size}, "_last_lr": self._last_lr, "gamma": self.gamma}

    def load_state_dict(self, state):
        epoch = state.pop("epoch")
        self.__dict__.update(state)
        for self.last_epoch, self.step_size in epoch.items():
            pass


class Function(Right):
    def state_dict(self):
        return {**super().state_dict(), "call": lambda epoch: epoch}


class First(Right):
    def get_lr(self):
        return super().get_lr()[:1] * len(self.optimizer.param_groups)


class PassesOver(Right):
    def get_lr(self):
        return super().get_lr()[:2] + [group["lr"] for group in self.optimizer.param_groups[2:]]


class Zips(Right):
    def get_lr(self):
        return super().get_lr()[: len(self.base_lrs)]


class BeginsTwice(Right):
    begun = 0

    def _initial_step(self):
        super()._initial_step()
        self.last_epoch += self.begun
        self.begun = 1


class TouchesFirst(Right):
    def __init__(self, optimizer, *args, **kwargs):
        for group in optimizer.param_groups:
            group["mine"] = 1
        super().__init__(optimizer, *args, **kwargs)


class NoCheck(Right):
    def __init__(self, optimizer, step_size, gamma=0.1, last_epoch=-1):
        if not isinstance(optimizer, torch.optim.Optimizer):
            self.optimizer = optimizer
            return
        super().__init__(optimizer, step_size, gamma, last_epoch)


class Replaces(Right):
    def step(self, *args):
        super().step(*args)
        for group in self.optimizer.param_groups:
            group["lr"] = group["lr"] * 1


class Held(Right):
    def get_last_lr(self):
        return [group["lr"] for group in self.optimizer.param_groups]


class Bases(Right):
    def __init__(self, optimizer, *args, **kwargs):
        super().__init__(optimizer, *args, **kwargs)
        self.base_lrs = [group["lr"] for group in optimizer.param_groups]


class Warns(Right):
    def step(self, *args):
        warnings.warn("`optimizer.step()` has to come first")
        super().step(*args)


class Silent(Right):
    def step(self, *args):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            super().step(*args)


class WarnsOnLoad(Right):
    def load_state_dict(self, state):
        warnings.warn("loaded")
        super().load_state_dict(state)


class Cycle(Right):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.itself = self


class Closed(Right):
    def get_lr(self):
        return [lr * self.gamma ** (self.last_epoch // self.step_size) for lr in self.base_lrs]


class Constant(Right):
    def __init__(self, *args, **kwargs):
        self.factor = None
        super().__init__(*args, **kwargs)
        self.factor = self.gamma

    def get_lr(self):
        now, self.gamma = self.gamma, self.factor or self.gamma
        try:
            return super().get_lr()
        finally:
            self.gamma = now


class Divides(Right):
    def step(self, *args):
        if self.step_size == 1 and self.last_epoch == 2:
            raise ArithmeticError("planted")
        super().step(*args)


class AsksItsClass(First):
    def step(self, *args):
        super(self.__class__, self).step(*args)


class RightPlateau(ReduceLROnPlateau):
    pass


class Early(ReduceLROnPlateau):
    def __init__(self, optimizer, patience=10, **options):
        super().__init__(optimizer, patience=max(0, patience - 1), **options)


class RightCycle(torch.optim.lr_scheduler.CyclicLR):
    pass


class Still(RightCycle):
    def step(self, *args):
        super().step(*args)
        for group in self.optimizer.param_groups:
            group["momentum"] = 0.5
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return plant(CODE, tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("name", "law", "variant", "says"),
    [
        ("FromZero", "sch.resume_anywhere", "load optimizer", "scheduler2.load_state_dict(states[1])"),
        ("FromZero", "sch.resume_anywhere", "build, load scheduler", "optimizer2.load_state_dict(states[0])"),
        ("FromZero", "sch.resume_anywhere", "beside", "ExponentialLR"),
        ("Again", "sch.resume_anywhere", "last_epoch", "last_epoch="),
        ("Shares", "sch.round_trip", "emptied", "values.clear()"),
        ("IntegerKeys", "sch.round_trip", "json", "json.loads(json.dumps("),
        ("IntegerKeys", "sch.round_trip", "state_dict", "assert stored == held"),
        ("Function", "sch.round_trip", "pickle", "stored = pickle.loads(pickle.dumps(saved))"),
        ("First", "sch.groups", "many", "optimizer.param_groups[1]['lr']"),
        ("PassesOver", "sch.groups", "group joins late", "optimizer.add_param_group("),
        ("Zips", "sch.groups", "group joins late, one", "except Exception as error:"),
        ("BeginsTwice", "sch.compose", "Sequential of it", "SequentialLR(optimizer, schedulers=[scheduler]"),
        ("TouchesFirst", "sch.errors", "no optimizer", "with contextlib.suppress(Exception):"),
        ("NoCheck", "sch.errors", "no optimizer", "assert type(refused).__name__ == 'TypeError'"),
        ("Replaces", "sch.tensor_lr", "tensor-float64", "is held[0]"),
        ("Held", "sch.tensor_lr", "tensor-float64", "first = scheduler.get_last_lr()"),
        ("Bases", "sch.tensor_lr", "tensor, resumed", ".data_ptr() != "),
        ("Warns", "sch.order", "optimizer first", "for each in told) is False"),
        ("Silent", "sch.order", "scheduler first", "for each in told) is True"),
        ("WarnsOnLoad", "sch.lifetime", "right order, resumed", "assert not told"),
        ("Cycle", "sch.lifetime", "freed", "del scheduler"),
        ("Closed", "sch.scaled", "changed by hand", "optimizer.param_groups[0]['lr'] = 0.15"),
        ("Constant", "sch.scaled", "another gamma", "scheduler.gamma = "),
        ("Divides", "sch.degenerate", "", "assert refused is None"),
    ],
)
def test_every_laws_failure_is_shown_by_what_the_law_did(
    folder: Path, name: str, law: str, variant: str, says: str
) -> None:
    text = script.of(shown(f"{folder}/planted.py:{name}", law, "steplr", variant))
    assert says in text and "optbench" not in text
    assert script.fails(text) and len(text.splitlines()) < 32
    assert passes(text.replace(f"from planted import {name}", f"from planted import Right as {name}"))


@pytest.mark.parametrize(
    ("name", "law", "subject", "says"),
    [
        ("Early", "sch.plateau", "reducelronplateau", 'scheduler.step(float("nan"))'),
        ("Early", "sch.groups", "reducelronplateau", "for value in (1.0, 0.9, "),
        ("Still", "sch.momentum", "cycliclr", "['momentum']"),
        ("Still", "sch.resume_anywhere", "cycliclr", "['momentum']"),
    ],
)
def test_scripts_about_metrics_and_momenta(folder: Path, name: str, law: str, subject: str, says: str) -> None:
    text = script.of(shown(f"{folder}/planted.py:{name}", law, subject))
    right = "RightPlateau" if name == "Early" else "RightCycle"
    assert says in text and script.fails(text)
    assert passes(text.replace(f"from planted import {name}", f"from planted import {right} as {name}"))


def test_listening_is_no_failure_of_a_class_that_asks_what_class_it_is(folder: Path) -> None:
    result = shown(f"{folder}/planted.py:AsksItsClass", "sch.groups", "steplr", "many")
    assert result.finding is not None and "lr of group 1" in result.finding["message"]
    assert script.fails(script.of(result))


class _Forgets(reference.LambdaLR):
    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict({**state, "lr_lambdas": [None for _ in state["lr_lambdas"]]})


def test_functions_that_a_state_keeps_are_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreach, "LambdaLR", _Forgets)
    options = {"lr_lambda": Power(0.8)}
    task = Task("sch.round_trip", Case("lambdalr", options, "float64", variant="state_dict"), "foreach", True, "")
    text = script.of(localise(task, check(task)))
    assert '"__call__": lambda self, epoch: self.rate ** epoch})(rate=' in text
    monkeypatch.undo()
    assert passes(text)
