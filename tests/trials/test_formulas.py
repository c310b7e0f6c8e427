"""The harness's formulas: against torch where torch keeps the law, within bounds, and without loss near an end."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from optbench import subjects
from optbench.subjects._schedule import Each, Part, Power
from optbench.trials import formulas

BASES = (0.3, 0.05)
NAMES = sorted(formulas.RATES)
PLAIN = [name for name in NAMES if "schedulers" not in subjects.load(name).defaults]


def _torch_rates(name: str, options: Mapping[str, Any], epochs: int) -> list[list[float]]:
    subject = subjects.load(name)
    optimizer = torch.optim.SGD([{"params": [torch.zeros(1)], "lr": lr} for lr in BASES], momentum=0.9)
    given = {key: [*value.values] if isinstance(value, Each) else value for key, value in options.items()}
    module = torch.optim.swa_utils if subject.module == "swa_utils" else torch.optim.lr_scheduler
    scheduler = getattr(module, subject.class_name)(optimizer, **given)
    seen = [scheduler.get_last_lr()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(epochs):
            scheduler.step()
            seen.append(scheduler.get_last_lr())
    return seen


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("options", ["base", "fullest"])
def test_they_are_torchs_rates(name: str, options: str) -> None:
    subject = subjects.load(name)
    chosen = {**subject.base, **(subject.fullest if options == "fullest" else {})}
    full = subject.complete(chosen)
    ends = name == "onecyclelr"
    last = formulas.horizon(name, full) * (1 if ends else 3) - ends
    for epoch, rates in enumerate(_torch_rates(name, chosen, last)):
        np.testing.assert_allclose(formulas.rates(name, full, BASES, epoch), rates, rtol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_rates_stay_between_their_extremes(name: str) -> None:
    subject = subjects.load(name)
    full = subject.complete(subject.base)
    highest = {"cycliclr": 0.1, "onecyclelr": 0.1}.get(name, BASES[0])
    for epoch in range(3 * formulas.horizon(name, full)):
        assert all(0 <= rate <= highest for rate in formulas.rates(name, full, BASES, epoch)), epoch


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("options", ["base", "fullest"])
def test_bounds_hold_and_are_met(name: str, options: str) -> None:
    subject = subjects.load(name)
    full = subject.complete({**subject.base, **(subject.fullest if options == "fullest" else {})})
    last = formulas.horizon(name, full) - (name == "onecyclelr")
    for i, base in enumerate(BASES):
        found = formulas.bounds(name, formulas.of_group(full, i), base)
        if found is None:
            continue
        seen = [formulas.rates(name, full, BASES, epoch)[i] for epoch in range(last + 1)]
        assert found[0] <= min(seen) and max(seen) <= found[1]
        assert {min(seen), max(seen)} & set(found)


@pytest.mark.parametrize(
    ("name", "options", "last", "rate"),
    [
        ("cosineannealinglr", {"T_max": 7}, 7, 0.0),
        ("cosineannealinglr", {"T_max": 7}, 14, 0.3),
        ("linearlr", {"start_factor": 0.3, "end_factor": 0.0, "total_iters": 7}, 7, 0.0),
        ("polynomiallr", {"total_iters": 7, "power": 0.5}, 7, 0.0),
        ("swalr", {"swa_lr": 0.07, "anneal_epochs": 7}, 7, 0.07),
        ("cosineannealingwarmrestarts", {"T_0": 3, "T_mult": 3}, 12, 0.3),
        ("constantlr", {"factor": 0.0, "total_iters": 7}, 7, 0.3),
    ],
)
def test_the_last_epoch_is_exact(name: str, options: dict[str, Any], last: int, rate: float) -> None:
    assert formulas.rates(name, subjects.load(name).complete(options), [0.3], last) == [rate]


@pytest.mark.parametrize("length", [100, 1000, 10**6])
def test_nothing_is_lost_near_the_end(length: int) -> None:
    """An epoch before its end a cosine is pi**2/4 / length**2 of what it was, to first order."""
    full = subjects.load("cosineannealinglr").complete({"T_max": length})
    angle = np.pi / (2 * length)
    expected = 0.3 * (angle * (1 - angle**2 / 6 + angle**4 / 120 - angle**6 / 5040)) ** 2
    assert formulas.rates("cosineannealinglr", full, [0.3], length - 1)[0] == pytest.approx(expected, rel=1e-14, abs=0)


def test_a_group_has_its_own_value_of_each_option() -> None:
    full = {"lr_lambda": Each((Power(0.5), Power(0.25)))}
    assert formulas.rates("lambdalr", full, [1.0, 1.0, 1.0], 1) == [0.5, 0.25, 0.5]


def test_parts_begin_at_their_milestones() -> None:
    parts = (Part("exponentiallr", {"gamma": 0.5}), Part("steplr", {"step_size": 1}))
    full = {"schedulers": parts, "milestones": (2,)}
    seen = [formulas.rates("sequentiallr", full, [1.0], epoch)[0] for epoch in range(5)]
    assert seen == pytest.approx([1.0, 0.5, 1.0, 0.1, 0.01])
    seen = [formulas.rates("chainedscheduler", {"schedulers": parts}, [1.0], epoch)[0] for epoch in range(3)]
    assert seen == pytest.approx([1.0, 0.05, 0.0025])


def test_a_rate_that_somebody_set_is_scaled_onwards() -> None:
    full = subjects.load("cosineannealinglr").complete({"T_max": 4, "eta_min": 0.1})

    def onwards(rate: float, since: int, epoch: int) -> float:
        return formulas.onwards("cosineannealinglr", full, 1.0, rate, since, epoch)

    lowest = formulas.rates("cosineannealinglr", full, [1.0], 4)[0]
    assert onwards(3.1, 0, 2) == pytest.approx(0.1 + 3.0 / 2)
    assert onwards(3.1, -1, 2) == onwards(3.1, 0, 2)
    assert onwards(1.1, 2, 3) == pytest.approx(0.1 + 2.0 * (1 - np.sqrt(0.5)) / 2)
    # At the lowest point nothing is left of it; what was set there is added to.
    assert onwards(3.1, 0, 5) == formulas.rates("cosineannealinglr", full, [1.0], 5)[0]
    assert onwards(lowest + 1, 4, 5) == pytest.approx(1 + onwards(3.1, 0, 5))
    assert onwards(7.0, 4, 4) == 7.0


def test_momentum_goes_against_the_rate() -> None:
    full = subjects.load("cycliclr").complete({"base_lr": 0.0, "max_lr": 1.0, "step_size_up": 4})
    heights = [formulas.rates("cycliclr", full, [0.0], epoch)[0] for epoch in range(9)]
    assert heights == [0.0, 0.25, 0.5, 0.75, 1.0, 0.75, 0.5, 0.25, 0.0]
    momenta = [formulas.momenta("cycliclr", full, 1, epoch) for epoch in (0, 4)]
    assert momenta == [[0.9], [pytest.approx(0.8)]]
    assert formulas.momenta("cycliclr", {**full, "cycle_momentum": False}, 1, 0) is None
    assert formulas.momenta("steplr", {}, 1, 0) is None


def test_a_plateau_counts_bad_epochs_past_patience() -> None:
    full = subjects.load("reducelronplateau").complete({"patience": 1, "cooldown": 1, "factor": 0.5})
    seen = formulas.plateau(full, [1.0], [1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    assert [rates[0] for rates in seen] == [1.0, 1.0, 0.5, 0.5, 0.5, 0.25]
