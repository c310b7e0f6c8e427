"""Scripts about averages show what a law did: they fail for what is broken, and pass for what is right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from optbench.impls.peers import torch_swa
from torch.optim import swa_utils

from optbench.failures.scripts import script

from .planting import passes, plant, shown

CODE = '''
import copy

import torch


class Right(torch.nn.Module):
    def __init__(self, model, decay=0.999):
        super().__init__()
        self.module, self.decay, self.count = copy.deepcopy(model), decay, 0

    def average(self, average, current, decay):
        average.mul_(decay).add_(current, alpha=1 - decay)

    @torch.no_grad()
    def update_parameters(self, model):
        for average, current in zip(self.module.parameters(), model.parameters()):
            self.average(average, current, self.decay)
        for average, current in zip(self.module.buffers(), model.buffers()):
            average.copy_(current)
        self.count += 1


class Swapped(Right):
    def average(self, average, current, decay):
        super().average(average, current, 1 - decay)


class NoBuffers(Right):
    @torch.no_grad()
    def update_parameters(self, model):
        for average, current in zip(self.module.parameters(), model.parameters()):
            self.average(average, current, self.decay)


class Counts(Right):
    def average(self, average, current, decay):
        super().average(average, current, decay if self.count else 0.0)

    def __deepcopy__(self, memo):
        return type(self)(self.module, self.decay)

    def __reduce__(self):
        return type(self), (self.module, self.decay)


class LosesState(Right):
    def load_state_dict(self, state):
        super().load_state_dict({name: value * ("weight1" not in name) for name, value in state.items()})


class SharesState(Right):
    def load_state_dict(self, state):
        for name, param in self.named_parameters():
            param.data = state[name]


class Writes(Right):
    def update_parameters(self, model):
        super().update_parameters(model)
        next(model.parameters()).detach().mul_(1)


class WritesLast(Right):
    def update_parameters(self, model):
        super().update_parameters(model)
        list(model.parameters())[-1].data.add_(1)


class Shares(Right):
    def __init__(self, model, decay=0.999):
        super().__init__(model, decay)
        self.module.tail.running = model.tail.running


class Moves(Right):
    def update_parameters(self, model):
        super().update_parameters(model)
        for param in self.module.parameters():
            param.data = param.data.clone()


class Trains(Right):
    def update_parameters(self, model):
        super().update_parameters(model)
        model.train()


class NoGradients(Right):
    def update_parameters(self, model):
        super().update_parameters(model)
        model.zero_grad()


class Halves(Right):
    def average(self, average, current, decay):
        average.copy_(average.bfloat16() * decay + (1 - decay) * current.bfloat16())
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return plant(CODE, tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("name", "law", "variant", "says"),
    [
        ("Swapped", "avg.oracle", "", "averager = Swapped(model"),
        ("NoBuffers", "avg.oracle", "", "got = average.module.tail.running.detach()"),
        ("Counts", "avg.round_trip", "deepcopy", "twin = copy.deepcopy(average)"),
        ("Counts", "avg.round_trip", "pickle", "twin = pickle.loads(pickle.dumps(average))"),
        ("LosesState", "avg.round_trip", "torch.save", "torch.load(file, weights_only=True)"),
        ("SharesState", "avg.round_trip", "state_dict", "load_state_dict(saved)"),
        ("Writes", "avg.pure", "", "before['weight0']"),
        ("WritesLast", "avg.pure", "", "torch.equal(model.weight0"),
        ("Shares", "avg.pure", "", "average.module.tail.running.untyped_storage().data_ptr() not in"),
        ("Moves", "avg.pure", "", "average.module.weight0 is kept['weight0'][0]"),
        ("Trains", "avg.pure", "", "== [True, False]"),
        ("NoGradients", "avg.pure", "", ".grad is before"),
        ("Halves", "avg.precision", "", "for values in shown["),
    ],
)
def test_every_laws_failure_is_shown_by_what_the_law_did(
    folder: Path, name: str, law: str, variant: str, says: str
) -> None:
    text = script.of(shown(f"{folder}/planted.py:{name}", law, "ema", variant))
    assert says in text and "optbench" not in text
    assert script.fails(text) and len(text.splitlines()) < 32
    assert passes(text.replace(f"from planted import {name}", f"from planted import Right as {name}"))


def test_listening_changes_nothing_about_what_is_pickled() -> None:
    result = shown("torch-foreach", "avg.round_trip", "swa", "pickle")
    assert result.finding is not None and "local object" in result.finding["message"] == result.message
    assert "pickle.loads(pickle.dumps(average))" in script.of(result)


def test_what_only_torch_has_is_shown_too(monkeypatch: pytest.MonkeyPatch) -> None:
    made, update_bn = swa_utils.get_ema_avg_fn, swa_utils.update_bn

    def any_decay(decay: float = 0.999) -> Any:
        return made(min(max(decay, 0.0), 1.0))

    def leaves_evaluation(loader: Any, model: torch.nn.Module, device: Any = None) -> None:
        update_bn(loader, model, device)
        model.eval()

    with monkeypatch.context() as patched:
        for name, planted in (("get_ema_avg_fn", any_decay), ("update_bn", leaves_evaluation)):
            patched.setattr(swa_utils, name, planted)
            patched.setitem(torch_swa.AVG_FN, name, planted)
        texts = [script.of(shown("torch-forloop", "avg.errors", "ema", "illegal-0 avg_fn"))]
        texts += [script.of(shown("torch-forloop", "avg.bn", "swa", variant)) for variant in ("tensor", "list")]
        assert all(script.fails(text) for text in texts)
    assert "torch.optim.swa_utils.get_ema_avg_fn(-0.25)" in texts[0]
    assert all("torch.optim.swa_utils.update_bn(" in text for text in texts[1:])
    assert all(map(passes, texts))
