"""Rates of every schedule: torch's, at any epoch, with all their digits, and limits where an option is extreme."""

import inspect
import json
import math
from fractions import Fraction

import pytest
import torch
from optbench.impls.foreach import lr_scheduler as ours

from .schedules import CASES, LAST, RATES, label, momenta, optimizer, pair, rates, walk

cases = pytest.mark.parametrize(("name", "options"), CASES, ids=map(label, CASES))


@cases
@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_rates_and_momenta_are_torchs(name, options, kind):
    mine, theirs = (cls(optimizer(kind), **options) for cls in pair(name))
    for seen in (rates, momenta):
        first, second = (walk(cls(optimizer(kind), **options), LAST, seen) for cls in pair(name))
        for one, other in zip(first, second, strict=True):
            # torch's recursions leave some 1e-19 where a rate is 0
            assert one == pytest.approx(other, rel=1e-12, abs=1e-16)
    assert mine.get_last_lr() == pytest.approx(theirs.get_last_lr(), rel=1e-15)


@cases
@pytest.mark.parametrize("epoch", [1, 4])
def test_a_rate_that_somebody_changed_goes_on_as_in_torch(name, options, epoch):
    found = []
    for cls in pair(name):
        scheduler = cls(optimizer(), **options)
        walk(scheduler, epoch)
        scheduler.optimizer.param_groups[1]["lr"] *= 0.5
        found.append(walk(scheduler, LAST - epoch))
    for one, other in zip(*found, strict=True):
        assert one == pytest.approx(other, rel=1e-12, abs=1e-16)


@cases
def test_lr_at_tells_what_steps_give(name, options):
    cls, _ = pair(name)
    found = walk(cls(optimizer(), **options), LAST)
    scheduler = cls(optimizer(), **options)
    before = rates(scheduler.optimizer)
    told = [scheduler.lr_at(step) for step in (*range(LAST + 1),)]
    assert told == [pytest.approx(each, rel=1e-14) if name == "MultiplicativeLR" else each for each in found]
    assert rates(scheduler.optimizer) == before and scheduler.last_epoch == 0


@cases
def test_signature_state_and_classes_are_torchs(name, options):
    mine, theirs = pair(name)
    one, other = (inspect.signature(cls).parameters.items() for cls in (mine, theirs))
    assert [(key, value.default) for key, value in one] == [(key, value.default) for key, value in other]
    first, second = mine(optimizer(), **options), theirs(optimizer(), **options)
    assert first.state_dict().keys() == second.state_dict().keys()
    assert isinstance(first, torch.optim.lr_scheduler.LRScheduler) and isinstance(first, ours.LRScheduler)


@cases
@pytest.mark.parametrize("step", [1, 5, 13])
def test_a_run_goes_on_in_torch_and_back(name, options, step):
    mine, theirs = pair(name)
    expected = walk(theirs(optimizer(), **options), LAST)
    for first, second in ((mine, theirs), (theirs, mine)):
        start = first(optimizer(), **options)
        walk(start, step)
        end = second(optimizer(), **options)
        end.optimizer.load_state_dict(start.optimizer.state_dict())
        end.load_state_dict(start.state_dict())
        for one, other in zip(walk(end, LAST - step), expected[step:], strict=True):
            assert one == pytest.approx(other, rel=1e-12, abs=1e-16)


@cases
@pytest.mark.parametrize("epoch", [1, 6, 14])
def test_a_run_goes_on_by_its_last_epoch(name, options, epoch):
    cls, _ = pair(name)
    expected, start = walk(cls(optimizer(), **options), LAST), cls(optimizer(), **options)
    walk(start, epoch)
    end = cls(start.optimizer, **options, last_epoch=epoch - 1)
    assert end.last_epoch == epoch and walk(end, LAST - epoch) == expected[epoch:]


@cases
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tensors_are_written_in_place_and_shared_with_nobody(name, options, dtype):
    cls, _ = pair(name)
    held = optimizer(dtype=dtype)
    tensors = [group["lr"] for group in held.param_groups]
    scheduler = cls(held, **options)
    found = walk(scheduler, LAST)
    for one, other in zip(found, walk(cls(optimizer(), **options), LAST), strict=True):
        assert one == pytest.approx(other, rel=4 * torch.finfo(dtype).eps, abs=1e-16)
    assert all(group["lr"] is tensor for group, tensor in zip(held.param_groups, tensors, strict=True))
    others = [*scheduler.get_last_lr(), *scheduler.base_lrs, *(group["initial_lr"] for group in held.param_groups)]
    addresses = {tensor.data_ptr() for tensor in tensors}
    assert not any(isinstance(other, torch.Tensor) and other.data_ptr() in addresses for other in others)


def test_rates_stay_torchs_over_a_thousand_groups():
    many = [0.1 + 1e-4 * index for index in range(1000)]
    mine, theirs = (cls(optimizer(rates=many), T_max=5, eta_min=0.01) for cls in pair("CosineAnnealingLR"))
    assert walk(mine, 4)[-1] == pytest.approx(walk(theirs, 4)[-1], rel=1e-12)


def test_small_rates_have_all_their_digits():
    last = 99_999
    one = Fraction(1, last + 1)
    for cls, options, expected in (
        (ours.PolynomialLR, {"total_iters": last + 1}, float(one)),
        (ours.LinearLR, {"start_factor": 1.0, "end_factor": 0.0, "total_iters": last + 1}, float(one)),
        (ours.CosineAnnealingLR, {"T_max": last + 1}, math.sin(math.pi / 2 * float(one)) ** 2),
        (ours.CosineAnnealingWarmRestarts, {"T_0": last + 1}, math.sin(math.pi / 2 * float(one)) ** 2),
    ):
        assert cls(optimizer(rates=[1.0]), **options).lr_at(last) == pytest.approx([expected], rel=1e-15)


def test_both_ends_are_exact():
    scheduler = ours.CosineAnnealingLR(optimizer(), T_max=1000, eta_min=0.007)
    assert scheduler.lr_at(0) == scheduler.lr_at(2000) == [*RATES]
    assert scheduler.lr_at(1000) == scheduler.lr_at(3000) == [0.007] * 3
    scheduler = ours.OneCycleLR(optimizer(), max_lr=[0.2, 0.3, 0.4], total_steps=100)
    groups = scheduler.optimizer.param_groups
    assert scheduler.lr_at(0) == [group["initial_lr"] for group in groups]
    assert scheduler.lr_at(99) == scheduler.lr_at(100) == [group["min_lr"] for group in groups]
    with pytest.raises(ValueError, match="101"):
        scheduler.lr_at(101)


def test_base_rates_may_change():
    for scheduler in (ours.StepLR(optimizer(), 5), ours.ExponentialLR(optimizer(), 0.5)):
        assert scheduler.lr_at(0) == [*RATES]
        scheduler.base_lrs[1] = 7.0
        assert scheduler.lr_at(0) == [RATES[0], 7.0, RATES[2]]


def test_restarts_are_where_whole_numbers_put_them():
    scheduler = ours.CosineAnnealingWarmRestarts(optimizer(rates=[1.0]), T_0=1, T_mult=3)
    begins, length = 0, 1
    for _ in range(30):
        assert scheduler.lr_at(begins) == [1.0]
        begins, length = begins + length, 3 * length


@pytest.mark.parametrize("restarted", [0.0, 2.5, 7.25, 9.0])
def test_warm_restarts_take_fractions_of_epochs(restarted):
    schedulers = [cls(optimizer(), T_0=2, T_mult=2) for cls in pair("CosineAnnealingWarmRestarts")]
    found = []
    for scheduler in schedulers:
        scheduler.optimizer.step()
        scheduler.step(restarted)
        found.append([rates(scheduler.optimizer)])
        for _ in range(4):
            scheduler.step()
            found[-1].append(rates(scheduler.optimizer))
    for one, other in zip(*found, strict=True):
        assert one == pytest.approx(other, rel=1e-12, abs=1e-16)
    with pytest.raises(ValueError, match="-1"):
        schedulers[0].step(-1)


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("ConstantLR", {"total_iters": 0}, [1, 1, 1]),
        ("ConstantLR", {"factor": 0.0, "total_iters": 2}, [0, 0, 1, 1]),
        ("ConstantLR", {"factor": 0.5, "total_iters": 1.5}, [0.5, 0.5, 1]),
        ("LinearLR", {"total_iters": 0, "end_factor": 0.25}, [0.25, 0.25]),
        ("LinearLR", {"start_factor": 1.0, "end_factor": 0.0, "total_iters": 2}, [1, 0.5, 0, 0]),
        ("PolynomialLR", {"total_iters": 0}, [0, 0]),
        ("PolynomialLR", {"total_iters": 2, "power": 0}, [1, 1, 0**0, 1]),
        ("StepLR", {"step_size": 10**400}, [1, 1]),
        ("StepLR", {"step_size": 1.5, "gamma": 0.5}, [1, 1, 0.5, 0.25, 0.25]),
        ("MultiStepLR", {"milestones": [0, 1.5, 1.5], "gamma": 0.5}, [0.5, 0.5, 0.125]),
        ("MultiStepLR", {"milestones": [-1, 2], "gamma": 0.5}, [0.5, 0.5, 0.25]),
        ("ExponentialLR", {"gamma": 0.0}, [1, 0, 0]),
        ("ExponentialLR", {"gamma": 1e308}, [1, 1e308, math.inf, math.inf]),
        ("CosineAnnealingLR", {"T_max": 10**400}, [1, 1]),
        ("CosineAnnealingLR", {"T_max": math.inf}, [1, 1]),
        ("LinearLR", {"start_factor": 0.5, "total_iters": math.inf}, [0.5, 0.5]),
        ("PolynomialLR", {"total_iters": math.inf}, [1, 1]),
        ("CyclicLR", {"base_lr": 1, "max_lr": 2, "step_size_up": 2, "step_size_down": 0}, [1, 1.5, 1, 1.5]),
        ("OneCycleLR", {"max_lr": 25, "total_steps": 1, "final_div_factor": 2}, [0.5, 0.5]),
        ("OneCycleLR", {"max_lr": 25, "total_steps": 10, "pct_start": 0.1}, [25]),
        ("SWALR", {"swa_lr": 3, "anneal_epochs": 1}, [1, 3, 3]),
    ],
)
def test_extreme_options_have_their_limits(name, options, expected):
    scheduler = pair(name)[0](optimizer(rates=[1.0]), **options)
    assert [each[0] for each in walk(scheduler, len(expected) - 1)] == expected
    assert [scheduler.lr_at(step)[0] for step in range(len(expected))] == expected


def test_amplitudes_fade_to_nothing_after_thousands_of_cycles():
    scheduler = ours.CyclicLR(optimizer(), base_lr=0.1, max_lr=0.2, step_size_up=1, mode="triangular2")
    assert scheduler.lr_at(5001) == [0.1] * 3


@pytest.mark.parametrize(
    ("name", "options", "value"),
    [
        ("StepLR", {"step_size": 0}, "0"),
        ("StepLR", {"step_size": math.nan}, "nan"),
        ("ConstantLR", {"factor": 1.5}, "1.5"),
        ("LinearLR", {"start_factor": 0.0}, "0.0"),
        ("LinearLR", {"end_factor": -0.5}, "-0.5"),
        ("PolynomialLR", {"power": -1}, "-1"),
        ("CosineAnnealingLR", {"T_max": 0}, "0"),
        ("CosineAnnealingWarmRestarts", {"T_0": 2.5}, "2.5"),
        ("CosineAnnealingWarmRestarts", {"T_0": 2, "T_mult": 0}, "0"),
        ("CyclicLR", {"base_lr": 1, "max_lr": 2, "step_size_up": 0}, "0"),
        ("CyclicLR", {"base_lr": 1, "max_lr": 2, "mode": "square"}, "square"),
        ("CyclicLR", {"base_lr": [1, 2], "max_lr": 2}, "2 values"),
        ("OneCycleLR", {"max_lr": 1}, "total_steps"),
        ("OneCycleLR", {"max_lr": 1, "total_steps": 2.5}, "2.5"),
        ("OneCycleLR", {"max_lr": 1, "total_steps": 5, "pct_start": 1.5}, "1.5"),
        ("OneCycleLR", {"max_lr": 1, "total_steps": 5, "anneal_strategy": "exp"}, "exp"),
        ("OneCycleLR", {"max_lr": 1, "total_steps": 5, "div_factor": 0}, "0"),
        ("ReduceLROnPlateau", {"factor": 1.0}, "1.0"),
        ("ReduceLROnPlateau", {"mode": "best"}, "best"),
        ("ReduceLROnPlateau", {"min_lr": [0.1]}, "0.1"),
        ("LambdaLR", {"lr_lambda": [inspect.signature]}, "1"),
        ("SWALR", {"swa_lr": 1, "anneal_epochs": -1}, "-1"),
        ("SWALR", {"swa_lr": 1, "anneal_strategy": "exp"}, "exp"),
    ],
)
def test_refusals_name_the_value_and_leave_the_groups_alone(name, options, value):
    held = optimizer()
    before = [dict(group) for group in held.param_groups]
    with pytest.raises(ValueError, match=value):
        pair(name)[0](held, **options)
    assert [dict(group) for group in held.param_groups] == before
    with pytest.raises(TypeError, match="object"):
        pair("StepLR")[0](object(), 3)


def test_milestones_come_back_from_json():
    scheduler = ours.MultiStepLR(optimizer(), [2, 4])
    walk(scheduler, 1)
    other = ours.MultiStepLR(optimizer(), [7])
    other.load_state_dict(json.loads(json.dumps(scheduler.state_dict())))
    assert walk(other, 5) == walk(scheduler, 5)


def test_functions_are_called_once_an_epoch():
    calls = []
    scheduler = ours.LambdaLR(optimizer(), lambda epoch: calls.append(epoch) or 1.0)
    walk(scheduler, 3)
    assert calls == [0, 1, 2, 3]


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
def test_plateaus_are_torchs(mode, threshold_mode):
    metrics = [1.0, 0.9, 0.9, 0.91, 0.899, 2.0, 2.1, 2.1, math.nan, 2.05, 2.3, 2.3, 2.3, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]
    options = {"mode": mode, "threshold_mode": threshold_mode, "threshold": 0.01, "patience": 1, "cooldown": 1}
    mine, theirs = (
        cls(optimizer(), factor=0.3, min_lr=[0.01, 0.2, 0.0], **options) for cls in pair("ReduceLROnPlateau")
    )
    for metric in metrics:
        for scheduler in (mine, theirs):
            scheduler.step(torch.tensor(metric))
        assert mine.get_last_lr() == pytest.approx(theirs.get_last_lr(), rel=1e-15)
        assert mine.state_dict() == theirs.state_dict() | {"_last_lr": mine.get_last_lr()}
    assert rates(mine.optimizer) != [*RATES]
    with pytest.raises(NotImplementedError, match="metrics"):
        mine.lr_at(3)
