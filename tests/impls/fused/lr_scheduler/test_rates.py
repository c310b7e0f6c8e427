"""Rates of all schedulers: torch's where torch keeps its own formula, whatever moment they are looked at."""

import copy
import math
import pickle

import pytest
import torch
from optbench.impls.fused import lr_scheduler
from optbench.impls.fused.lr_scheduler import (
    constantlr,
    cosineannealinglr,
    cycliclr,
    linearlr,
    onecyclelr,
    polynomiallr,
    steplr,
)
from torch.optim import lr_scheduler as torchs

from .support import CONFIGS, momenta, optimizer, ours, rates, step, theirs

configs = pytest.mark.parametrize("config", CONFIGS)
EPOCHS = 26


def close(found, expected, tolerance=1e-12):
    return found == pytest.approx(expected, rel=tolerance, abs=0)


def twins(config, kind="SGD", **values):
    name, options = CONFIGS[config]
    return [make(name)(optimizer(kind, **values), **options) for make in (ours, theirs)]


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@configs
def test_rates_and_momenta_are_torchs(config, kind):
    scheduler, other = twins(config, kind)
    for _ in range(EPOCHS):
        assert close(rates(scheduler), rates(other))
        assert close(momenta(scheduler), momenta(other))
        assert scheduler.get_last_lr() == rates(scheduler)
        assert scheduler.last_epoch == other.last_epoch
        step(scheduler)
        step(other)


@configs
def test_what_somebody_changed_is_changed_for_good(config):
    scheduler, other = twins(config)
    for epoch in range(EPOCHS):
        if epoch == 5:
            for one in (scheduler, other):
                one.optimizer.param_groups[1]["lr"] *= 1.5
        step(scheduler)
        step(other)
        assert close(rates(scheduler), rates(other))


@configs
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tensors_are_written_in_place(config, dtype):
    scheduler, other = twins(config)
    name, options = CONFIGS[config]
    scheduler = ours(name)(optimizer(rate=lambda value: torch.tensor(value, dtype=dtype)), **options)
    tensors = [group["lr"] for group in scheduler.optimizer.param_groups]
    for _ in range(EPOCHS):
        assert close(rates(scheduler), rates(other), 1e-5 if dtype == torch.float32 else 1e-12)
        step(scheduler)
        step(other)
    groups = scheduler.optimizer.param_groups
    assert all(group["lr"] is tensor for group, tensor in zip(groups, tensors, strict=True))
    held = [*scheduler.base_lrs, *scheduler.get_last_lr(), *(group["initial_lr"] for group in groups)]
    assert not {tensor.data_ptr() for tensor in tensors} & {
        value.data_ptr() for value in held if isinstance(value, torch.Tensor)
    }


@configs
@pytest.mark.parametrize("cut", [1, 6, 11])
def test_a_run_goes_on_in_torch_and_back(config, cut):
    name, options = CONFIGS[config]
    whole = theirs(name)(optimizer(), **options)
    first = ours(name)(optimizer(), **options)
    step(whole, EPOCHS)
    step(first, cut)
    runs = [first]
    for make in (theirs, ours):
        state, checkpoint = copy.deepcopy(runs[-1].state_dict()), copy.deepcopy(runs[-1].optimizer.state_dict())
        following = optimizer()
        runs.append(make(name)(following, **options))
        runs[-1].load_state_dict(state)
        following.load_state_dict(checkpoint)
        step(runs[-1], 4)
    step(runs[-1], EPOCHS - cut - 8)
    assert close(rates(runs[-1]), rates(whole), 1e-11)
    assert runs[-1].last_epoch == whole.last_epoch


@configs
@pytest.mark.parametrize("clone", [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_copies_go_on_alike(config, clone):
    scheduler, _ = twins(config)
    step(scheduler, 4)
    twin = clone(scheduler)
    assert twin.optimizer is not scheduler.optimizer
    for one in (scheduler, twin):
        step(one, 5)
    assert rates(twin) == rates(scheduler)


@pytest.mark.parametrize(
    ("name", "options", "changes"),
    [
        ("StepLR", {"step_size": 2}, {"gamma": 0.5}),
        ("CosineAnnealingLR", {"T_max": 5}, {"eta_min": 0.1}),
        ("CyclicLR", {"base_lr": 0.1, "max_lr": 0.7, "step_size_up": 3}, {"max_lrs": [0.6, 0.8]}),
        ("ExponentialLR", {"gamma": 0.9}, {"base_lrs": [0.2, 0.1]}),
    ],
)
def test_changed_attributes_are_noticed(name, options, changes):
    scheduler = ours(name)(optimizer(), **options)
    step(scheduler, 2)
    before = scheduler.curve(4)
    for attribute, value in changes.items():
        setattr(scheduler, attribute, value)
    changed = scheduler.curve(4)
    assert all(a != b for a, b in zip(before, changed, strict=True))
    twin = ours(name)(optimizer(), **options)
    for attribute, value in changes.items():
        setattr(twin, attribute, value)
    assert twin.curve(4) == changed


def test_changed_bounds_of_a_group_are_noticed():
    for value in (0.5, torch.tensor(0.5, dtype=torch.float64)):
        scheduler = lr_scheduler.OneCycleLR(optimizer(), max_lr=0.9, total_steps=20)
        scheduler.optimizer.param_groups[1]["max_lr"] = value
        top = scheduler.curve(5)[1]
        if isinstance(value, torch.Tensor):
            value.fill_(0.25)
        else:
            scheduler.optimizer.param_groups[1]["max_lr"] = 0.25
        assert top == 0.5
        assert scheduler.curve(5)[1] == 0.25


def test_groups_that_come_later():
    scheduler = lr_scheduler.ExponentialLR(optimizer(), gamma=0.5)
    step(scheduler, 2)
    scheduler.optimizer.add_param_group({"params": [torch.zeros(1)], "lr": 8.0})
    step(scheduler)
    assert close(rates(scheduler), [0.5 / 8, 0.3 / 8, 4.0])


def test_a_function_is_called_once_an_epoch():
    seen = []

    def function(epoch):
        seen.append(epoch)
        return 1.0

    scheduler = lr_scheduler.LambdaLR(optimizer(), function)
    step(scheduler, 3)
    assert seen == [0, 1, 2, 3]


def test_a_thousand_groups_are_one_launch(monkeypatch):
    groups = [{"params": [torch.zeros(1)], "lr": 0.1 + index} for index in range(1000)]
    scheduler = lr_scheduler.CosineAnnealingLR(torch.optim.SGD(groups), T_max=10)
    launch, launches = scheduler._launch, []
    monkeypatch.setattr(launch, "_kernel", lambda address, run=launch._kernel: launches.append(1) or run(address))
    step(scheduler)
    assert len(launches) == 1
    expected = [(0.1 + index) * (1 + math.cos(math.pi / 10)) / 2 for index in range(1000)]
    assert close(rates(scheduler), expected)


# epoch, base, current, previous, constants, rate
@pytest.mark.parametrize(
    ("module", "arguments", "expected"),
    [
        (steplr, (4.0, 1.0, 5.0, 5.0, 2.0, 0.5), 0.25),
        (steplr, (4.0, 1.0, 5.0, 3.0, 2.0, 0.5), 2.5),
        (steplr, (5.0, 1.0, 5.0, 3.0, 2.0, 0.5), 5.0),
        (constantlr, (4.0, 1.0, 5.0, 3.0, 0.25, 4.0), 20.0),
        (constantlr, (4.0, 1.0, 5.0, 3.0, 0.0, 4.0), 5.0),
        (constantlr, (0.0, 1.0, 5.0, 3.0, 0.25, 4.0), 1.25),
        (constantlr, (0.0, 1.0, 5.0, 3.0, 0.25, 0.0), 5.0),
        (linearlr, (1.0, 8.0, 4.0, 3.0, 0.5, 1.0, 2.0), 6.0),
        (linearlr, (0.0, 8.0, 4.0, 8.0, 0.5, 1.0, 2.0), 2.0),
        (linearlr, (2.0, 8.0, 0.0, 3.0, 0.5, 0.0, 2.0), 0.0),
        (linearlr, (3.0, 8.0, 7.0, 3.0, 0.5, 0.0, 2.0), 7.0),
        (linearlr, (0.0, 8.0, 8.0, 8.0, 0.5, 0.75, 0.0), 6.0),
        (polynomiallr, (1.0, 8.0, 4.0, 3.0, 2.0, 2.0), 1.0),
        (polynomiallr, (2.0, 8.0, 4.0, 4.0, 2.0, 0.0), 8.0),
        (polynomiallr, (5.0, 8.0, 0.0, 4.0, 2.0, 1.0), 0.0),
        (cosineannealinglr, (2.0, 1.0, 1.0, 1.0, 2.0, 0.25, math.pi / 2), 0.25),
        (cosineannealinglr, (3.0, 1.0, 0.5, 0.25, 2.0, 0.25, math.pi / 2), 0.875),
        (cosineannealinglr, (1.0, 1.0, 2.25, 1.0, 2.0, 0.25, math.pi / 2), 1.25),
    ],
)
def test_rules_on_numbers(module, arguments, expected):
    assert module.rate(*arguments) == pytest.approx(expected, rel=1e-14)


def test_rules_with_momentum_on_numbers():
    cyclic = cycliclr.rate(1.0, 1.0, 0.0, 0.0, 1.0, 3.0, 0.8, 0.9, 4.0, 0.5, 1.0, 1.0)
    assert cyclic == (2.0, pytest.approx(0.85))
    ends = (5.0, 10.0, 5.0, 10.0, 10.0, 0.0, math.pi / 2)
    once = onecyclelr.rate(5.0, *[0.0] * 3, 1.0, 3.0, 3.0, 0.0, 3.0, 0.0, 0.9, 0.8, 0.8, 0.9, 0.8, 0.9, *ends)
    assert once == (3.0, 0.8)


def test_composites_drive_parts_of_every_make():
    for mine, other in ((lr_scheduler, torchs), (torchs, lr_scheduler)):
        expected = []
        for module, part in ((mine, other), (torchs, torchs)):
            base = optimizer()
            parts = [part.LinearLR(base, total_iters=3), module.ExponentialLR(base, gamma=0.8)]
            scheduler = module.SequentialLR(base, parts, milestones=[4])
            found = []
            for _ in range(9):
                found.append(rates(scheduler))
                step(scheduler)
            expected.append(found)
        assert all(close(a, b) for a, b in zip(*expected, strict=True))


def test_plateau():
    for options in ({}, {"mode": "max"}, {"threshold_mode": "abs", "threshold": 0.05}, {"cooldown": 1, "min_lr": 0.1}):
        options = {"patience": 1, "factor": 0.5, **options}
        pairs = [module.ReduceLROnPlateau(optimizer(), **options) for module in (lr_scheduler, torchs)]
        for metric in (1.0, 0.9, 0.95, 0.9, 0.97, float("nan"), 0.93, 0.5, 0.6, 0.55, 0.52, 0.51, 0.58, 0.61):
            for scheduler in pairs:
                scheduler.step(metric)
            assert rates(pairs[0]) == rates(pairs[1])
            assert pairs[0].num_bad_epochs == pairs[1].num_bad_epochs
