"""Groups, tensors, warnings, errors, lifetimes, and options at the ends of their ranges."""

import gc
import math
import warnings
import weakref

import pytest
import torch
from optbench.reference import lr_scheduler

from .cases import ABSOLUTE, CASES, NAMES, advance, expected, horizon, make_optimizer, momenta, quiet, rates


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("name", "options"), CASES, ids=NAMES)
def test_a_tensor_rate_is_kept_and_never_shared(name, options, dtype):
    tensors = [torch.tensor(lr, dtype=dtype) for lr in (0.1, 0.03)]
    optimizer = make_optimizer(lrs=tensors)
    scheduler = getattr(lr_scheduler, name)(optimizer, **options)
    plain = make_optimizer()
    other = getattr(lr_scheduler, name)(plain, **options)
    bases = [float(base) for base in scheduler.base_lrs]
    for _ in range(min(horizon(name, options), 20)):
        advance(optimizer, scheduler)
        advance(plain, other)
        assert rates(optimizer) == pytest.approx(rates(plain), rel=1e-5 if dtype is torch.float32 else 1e-12)
        for group, tensor, last in zip(optimizer.param_groups, tensors, scheduler.get_last_lr(), strict=True):
            assert group["lr"] is tensor
            assert last is not tensor and last == tensor and last.dtype is dtype
            assert group["initial_lr"] is not tensor
    assert [float(base) for base in scheduler.base_lrs] == bases
    assert all(base is not tensor for base, tensor in zip(scheduler.base_lrs, tensors, strict=True))


def test_a_tensor_rate_stays_near_its_formula():
    """Rounded once an epoch from the closed form, and not again and again."""
    tensor = torch.tensor(0.1)
    optimizer = make_optimizer(lrs=(tensor, 0.1))
    scheduler = lr_scheduler.ExponentialLR(optimizer, 0.999)
    advance(optimizer, scheduler, epochs=2000)
    assert tensor == torch.tensor(float(torch.tensor(0.1)) * 0.999**2000)


@pytest.mark.parametrize("name", ["CyclicLR", "OneCycleLR"])
def test_a_tensor_beta_is_written_in_place(name):
    beta = torch.tensor(0.9)
    param = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.Adam([param], lr=torch.tensor(0.1), betas=(beta, torch.tensor(0.99)), capturable=True)
    options = dict(CASES)[name] | {"cycle_momentum": True}
    scheduler = getattr(lr_scheduler, name)(optimizer, **options)
    assert optimizer.param_groups[0]["betas"][0] is beta
    before = float(beta)
    quiet(scheduler.step, 3)
    assert optimizer.param_groups[0]["betas"][0] is beta
    assert float(beta) == pytest.approx(expected(name, dict(CASES)[name], 3, 0.1)[1]) != before


@pytest.mark.parametrize(("name", "options"), CASES, ids=NAMES)
def test_a_group_can_be_added_at_any_epoch(name, options):
    """Its rate then is its initial rate; it goes on from there, and the others as before."""
    end = min(horizon(name, options), 15)
    alone = make_optimizer()
    wanted = advance(alone, getattr(lr_scheduler, name)(alone, **options), epochs=end)
    for cut in (0, 3):
        optimizer = make_optimizer()
        scheduler = getattr(lr_scheduler, name)(optimizer, **options)
        advance(optimizer, scheduler, epochs=cut)
        saved = scheduler.state_dict()
        optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(1))], "lr": 0.2})
        seen = advance(optimizer, scheduler, epochs=end - cut)
        assert [lrs[:2] for lrs, _ in seen] == [lrs for lrs, _ in wanted[cut:]]
        assert optimizer.param_groups[2]["initial_lr"] == 0.2
        assert len(scheduler.get_last_lr()) == len(scheduler.base_lrs) == 3
        assert len(saved["base_lrs"]) == 2
        if "eta_min" not in options and name not in ABSOLUTE:
            before = wanted[cut - 1][0][0] if cut else alone.param_groups[0]["initial_lr"] * first_factor(name, options)
            ratio = wanted[cut][0][0] / before if before else 1.0
            assert seen[0][0][2] == pytest.approx(0.2 * ratio, rel=1e-12, abs=0)
        if name in ("LambdaLR", "CosineAnnealingWarmRestarts"):
            assert seen[0][0][2] == pytest.approx(expected(name, options, cut + 1, 0.2)[0], rel=1e-12, abs=0)


def first_factor(name, options):
    return expected(name, options, 0, 1.0)[0]


def test_a_group_without_its_own_option_is_refused():
    optimizer = make_optimizer()
    schedulers = [
        lr_scheduler.LambdaLR(optimizer, [lambda epoch: 1.0, lambda epoch: 0.5]),
        lr_scheduler.CyclicLR(optimizer, 0.1, [0.2, 0.3], 3),
    ]
    plateau = lr_scheduler.ReduceLROnPlateau(optimizer, min_lr=[0.01, 0.02], patience=0)
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(1))], "lr": 0.2})
    for scheduler in schedulers:
        for _ in range(2):
            with pytest.raises(ValueError, match=r"param_groups\[2\]"):
                quiet(scheduler.step)
    plateau.step(1.0)
    with pytest.raises(RuntimeError, match="3 groups, but 2 min_lrs"):
        plateau.step(1.0)


def test_a_plateau_takes_a_new_group():
    optimizer = make_optimizer()
    plateau = lr_scheduler.ReduceLROnPlateau(optimizer, min_lr=0.015, patience=0, factor=0.5)
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(1))], "lr": 0.2})
    for _ in range(2):
        plateau.step(1.0)
    assert plateau.get_last_lr() == rates(optimizer) == [0.05, 0.015, 0.1]
    assert isinstance(plateau, torch.optim.lr_scheduler.ReduceLROnPlateau)
    assert isinstance(plateau, lr_scheduler.LRScheduler)


def test_lists_are_one_value_a_group():
    optimizer = make_optimizer()
    scheduler = lr_scheduler.OneCycleLR(
        optimizer, [0.3, 0.6], 20, max_momentum=[0.9, 0.95], base_momentum=(0.8, 0.85)
    )  # fmt: skip
    seen = [(rates(optimizer), momenta(optimizer)), *advance(optimizer, scheduler, epochs=19)]
    for index, (top, high, low) in enumerate([(0.3, 0.9, 0.8), (0.6, 0.95, 0.85)]):
        options = {"max_lr": top, "total_steps": 20, "max_momentum": high, "base_momentum": low}
        for epoch, (lrs, moments) in enumerate(seen):
            wanted = expected("OneCycleLR", options, epoch, top / 25)
            assert (lrs[index], moments[index]) == pytest.approx(wanted, rel=1e-12, abs=0)


def test_momentum_can_be_left_alone():
    for name in ("CyclicLR", "OneCycleLR"):
        optimizer = make_optimizer()
        scheduler = getattr(lr_scheduler, name)(optimizer, **dict(CASES)[name], cycle_momentum=False)
        advance(optimizer, scheduler, epochs=5)
        assert momenta(optimizer) == [0.9, 0.9]
        assert "max_momentum" not in optimizer.param_groups[0]
        adagrad = torch.optim.Adagrad([torch.nn.Parameter(torch.ones(1))])
        with pytest.raises(ValueError, match="Adagrad"):
            getattr(lr_scheduler, name)(adagrad, **dict(CASES)[name])
        assert adagrad.param_groups[0]["lr"] == 0.01 and "max_lr" not in adagrad.param_groups[0]


LIMITS = [
    ("ConstantLR", {"total_iters": 0}, [1, 1]),
    ("ConstantLR", {"factor": 0.0, "total_iters": 2}, [0, 0, 1, 1]),
    ("ConstantLR", {"factor": 0.5, "total_iters": 1.5}, [0.5, 0.5, 1]),
    ("LinearLR", {"total_iters": 0, "end_factor": 0.5}, [0.5, 0.5]),
    ("LinearLR", {"total_iters": 1, "start_factor": 0.5}, [0.5, 1, 1]),
    ("LinearLR", {"total_iters": 1.5, "start_factor": 0.25}, [0.25, 0.75, 1]),
    ("LinearLR", {"total_iters": 2, "end_factor": 0.0, "start_factor": 1.0}, [1, 0.5, 0, 0]),
    ("PolynomialLR", {"total_iters": 0}, [0, 0]),
    ("PolynomialLR", {"total_iters": 0, "power": 0}, [1, 1]),
    ("PolynomialLR", {"total_iters": 1}, [1, 0, 0]),
    ("PolynomialLR", {"total_iters": 2.5, "power": 2.0}, [1, 0.36, 0.04, 0]),
    ("StepLR", {"step_size": 1.5, "gamma": 0.5}, [1, 1, 0.5, 0.25, 0.25, 0.125]),
    ("StepLR", {"step_size": 0.5, "gamma": 0.5}, [1, 0.25, 0.0625]),
    ("StepLR", {"step_size": 1, "gamma": 0.0}, [1, 0, 0]),
    ("StepLR", {"step_size": 10**400}, [1, 1]),
    ("MultiStepLR", {"milestones": [0, 0, 1.5, 3], "gamma": 0.5}, [0.25, 0.25, 0.125, 0.0625]),
    ("MultiStepLR", {"milestones": (epoch for epoch in (1, 1)), "gamma": 0.5}, [1, 0.25, 0.25]),
    ("ExponentialLR", {"gamma": 0.0}, [1, 0, 0]),
    ("ExponentialLR", {"gamma": 1e200}, [1, 1e200, math.inf, math.inf]),
    ("ExponentialLR", {"gamma": -2.0}, [1, -2, 4, -8]),
    ("CosineAnnealingLR", {"T_max": 1}, [1, 0, 1, 0, 1]),
    ("CosineAnnealingLR", {"T_max": 1.5}, [1, 0.25, 0.25, 1]),
    ("CosineAnnealingLR", {"T_max": 10**15}, [1, 1]),
    ("CosineAnnealingWarmRestarts", {"T_0": 1}, [1, 1, 1]),
    ("CosineAnnealingWarmRestarts", {"T_0": 1, "T_mult": 2}, [1, 1, 0.5, 1]),
]


@pytest.mark.parametrize(("name", "options", "factors"), LIMITS)
def test_degenerate_options_have_their_limits(name, options, factors):
    optimizer = make_optimizer()
    scheduler = getattr(lr_scheduler, name)(optimizer, **options)
    seen = [rates(optimizer), *(lrs for lrs, _ in advance(optimizer, scheduler, epochs=len(factors) - 1))]
    for lrs, factor in zip(seen, factors, strict=True):
        assert lrs == pytest.approx([0.1 * factor, 0.03 * factor], rel=1e-12, abs=0)


@pytest.mark.parametrize("strategy", ["cos", "linear"])
@pytest.mark.parametrize("three_phase", [False, True])
def test_one_cycle_stays_within_its_bounds_at_every_length(three_phase, strategy):
    for length in (1, 2, 3, 4, 10, 11):
        for pct_start in (0.0, 0.1, 0.25, 0.5, 0.9, 1.0):
            optimizer = make_optimizer()
            scheduler = lr_scheduler.OneCycleLR(
                optimizer, 0.5, length, pct_start=pct_start, three_phase=three_phase, anneal_strategy=strategy
            )
            seen = [(rates(optimizer), momenta(optimizer)), *advance(optimizer, scheduler, epochs=length)]
            for lrs, moments in seen:
                assert all(0.5 / 25 / 1e4 <= lr <= 0.5 for lr in lrs)
                assert all(0.85 <= momentum <= 0.95 for momentum in moments)
            # With a top beyond the middle, three phases end before the last one does.
            if not three_phase or pct_start <= 0.5:
                assert seen[-1][0] == [0.5 / 25 / 1e4] * 2
            with pytest.raises(ValueError, match=f"{length + 1} times"):
                quiet(scheduler.step)
            assert scheduler.last_epoch == length


def test_a_phase_of_one_cycle_without_length_is_over():
    top, low, end = 0.5, 0.5 / 25, 0.5 / 25 / 1e4
    for length, pct_start, three_phase, first in [(10, 0.1, False, top), (2, 0.5, False, top), (2, 0.5, True, low)]:
        optimizer = make_optimizer()
        lr_scheduler.OneCycleLR(optimizer, top, length, pct_start=pct_start, three_phase=three_phase)
        assert rates(optimizer) == [first, first]
    optimizer = make_optimizer()
    scheduler = lr_scheduler.OneCycleLR(optimizer, top, 4, pct_start=1.0)
    seen = advance(optimizer, scheduler, epochs=4)
    assert [lrs[0] for lrs, _ in seen[2:]] == [top, end]


def test_cycles_at_their_ends():
    steep, even = [(2, 0, [0, 0.5, 0])], [(1, 1, [0, 1, 0]), (1.5, 1.5, [0, 2 / 3, 2 / 3, 0])]
    for up, down, shape in steep + even:
        optimizer = make_optimizer()
        scheduler = lr_scheduler.CyclicLR(optimizer, 0.1, 0.2, up, down)
        seen = [rates(optimizer), *(lrs for lrs, _ in advance(optimizer, scheduler, epochs=len(shape) - 1))]
        assert [lrs[0] for lrs in seen] == pytest.approx([0.1 + 0.1 * height for height in shape], rel=1e-12, abs=0)
    deep = lr_scheduler.CyclicLR(make_optimizer(), 0.1, 0.2, 1, 1, mode="triangular2")
    quiet(deep.step, 10**5 + 1)
    assert deep.get_last_lr() == [0.1, 0.1]


ERRORS = [
    ("StepLR", {"step_size": 0}, ValueError, "not 0"),
    ("StepLR", {"step_size": -3}, ValueError, "-3"),
    ("ConstantLR", {"factor": 1.5}, ValueError, "1.5"),
    ("ConstantLR", {"factor": -0.5}, ValueError, "-0.5"),
    ("LinearLR", {"start_factor": 0.0}, ValueError, "not 0.0"),
    ("LinearLR", {"start_factor": 1.5}, ValueError, "1.5"),
    ("LinearLR", {"end_factor": -0.5}, ValueError, "-0.5"),
    ("PolynomialLR", {"power": -1.0}, ValueError, "-1.0"),
    ("CosineAnnealingLR", {"T_max": 0}, ValueError, "not 0"),
    ("CosineAnnealingWarmRestarts", {"T_0": 0}, ValueError, "not 0"),
    ("CosineAnnealingWarmRestarts", {"T_0": 2.5}, ValueError, "2.5"),
    ("CosineAnnealingWarmRestarts", {"T_0": 2, "T_mult": 0}, ValueError, "not 0"),
    ("CosineAnnealingWarmRestarts", {"T_0": 2, "eta_min": "low"}, ValueError, "low"),
    ("CyclicLR", {"base_lr": 0.1, "max_lr": 0.2, "mode": "square"}, ValueError, "square"),
    ("CyclicLR", {"base_lr": 0.1, "max_lr": 0.2, "step_size_up": 0}, ValueError, "0 epochs up"),
    ("CyclicLR", {"base_lr": [0.1], "max_lr": 0.2}, ValueError, "base_lr"),
    ("OneCycleLR", {"max_lr": 0.1}, ValueError, "total_steps"),
    ("OneCycleLR", {"max_lr": 0.1, "total_steps": 0}, ValueError, "not 0"),
    ("OneCycleLR", {"max_lr": 0.1, "total_steps": 2.5}, ValueError, "2.5"),
    ("OneCycleLR", {"max_lr": 0.1, "epochs": 2, "steps_per_epoch": -7}, ValueError, "-7"),
    ("OneCycleLR", {"max_lr": 0.1, "total_steps": 9, "pct_start": 1.5}, ValueError, "1.5"),
    ("OneCycleLR", {"max_lr": 0.1, "total_steps": 9, "pct_start": 1}, ValueError, "float"),
    ("OneCycleLR", {"max_lr": 0.1, "total_steps": 9, "anneal_strategy": "step"}, ValueError, "step"),
    ("OneCycleLR", {"max_lr": 0.1, "total_steps": 9, "div_factor": 0.0}, ValueError, "div_factor"),
    ("OneCycleLR", {"max_lr": [0.1], "total_steps": 9}, ValueError, "max_lr"),
    ("LambdaLR", {"lr_lambda": [abs]}, ValueError, "2 lr_lambdas"),
    ("LambdaLR", {"lr_lambda": 0.5}, TypeError, "0.5"),
    ("MultiplicativeLR", {"lr_lambda": 0.5}, TypeError, "0.5"),
    ("ReduceLROnPlateau", {"factor": 1.0}, ValueError, "1.0"),
    ("ReduceLROnPlateau", {"mode": "most"}, ValueError, "most"),
    ("ReduceLROnPlateau", {"threshold_mode": "most"}, ValueError, "most"),
    ("ReduceLROnPlateau", {"min_lr": [0.1]}, ValueError, "2 min_lrs"),
]


@pytest.mark.parametrize(("name", "options", "error", "message"), ERRORS)
def test_errors_name_the_value_and_leave_the_groups_alone(name, options, error, message):
    optimizer = make_optimizer()
    before = [dict(group) for group in optimizer.param_groups]
    with pytest.raises(error, match=message):
        getattr(lr_scheduler, name)(optimizer, **options)
    assert optimizer.param_groups == before


def test_other_errors():
    for name, options in [*dict(CASES).items(), ("ReduceLROnPlateau", {})]:
        error = AttributeError if name in ("LambdaLR", "MultiplicativeLR") else TypeError
        with pytest.raises(error, match="list"):
            getattr(lr_scheduler, name)([], **options)
        if name != "ReduceLROnPlateau":
            optimizer = make_optimizer()
            before = [dict(group) for group in optimizer.param_groups]
            with pytest.raises(KeyError, match="initial_lr"):
                getattr(lr_scheduler, name)(optimizer, **options, last_epoch=3)
            assert optimizer.param_groups == before
    scheduler = lr_scheduler.CosineAnnealingWarmRestarts(make_optimizer(), 3)
    with pytest.raises(ValueError, match="-1"):
        scheduler.step(-1)
    with pytest.warns(UserWarning, match="get_last_lr"):
        scheduler.get_lr()


@pytest.mark.parametrize(("name", "options"), CASES, ids=NAMES)
def test_warns_only_of_the_wrong_order(name, options):
    optimizer = make_optimizer()
    scheduler = getattr(lr_scheduler, name)(optimizer, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        advance(optimizer, scheduler, epochs=4)
    optimizer = make_optimizer()
    scheduler = getattr(lr_scheduler, name)(optimizer, **options)
    with pytest.warns(UserWarning, match=r"`lr_scheduler.step\(\)` was called before `optimizer.step\(\)`") as seen:
        scheduler.step()
    assert seen[0].filename == __file__
    optimizer = make_optimizer()
    scheduler = getattr(lr_scheduler, name)(optimizer, **options)
    optimizer.step = lambda: None
    with pytest.warns(UserWarning, match="replaced"):
        scheduler.step()


@pytest.mark.parametrize(("name", "options"), [*CASES, ("ReduceLROnPlateau", {})], ids=[*NAMES, "ReduceLROnPlateau"])
def test_is_freed_without_the_garbage_collector(name, options):
    gc.disable()
    try:
        optimizer = make_optimizer()
        scheduler = getattr(lr_scheduler, name)(optimizer, **options)
        composite = lr_scheduler.ChainedScheduler([scheduler]) if name != "ReduceLROnPlateau" else None
        if composite is not None:
            advance(optimizer, composite, epochs=2)
        watched = [weakref.ref(each) for each in (optimizer, scheduler, composite) if each is not None]
        del optimizer, scheduler, composite
        assert [each() for each in watched] == [None] * len(watched)
    finally:
        gc.enable()


def test_the_base_takes_ones_own_schedule():
    class Halving(lr_scheduler.LRScheduler):
        def get_lr(self):
            return [float(base) / 2**self.last_epoch for base in self.base_lrs]

    optimizer = make_optimizer()
    scheduler = Halving(optimizer)
    advance(optimizer, scheduler, epochs=3)
    assert scheduler.get_last_lr() == rates(optimizer) == [0.0125, 0.00375]
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(1))], "lr": 0.32})
    assert advance(optimizer, scheduler)[0][0] == [0.00625, 0.001875, 0.02]


def test_a_changed_constant_rate_of_nothing_stays():
    """What somebody set during a phase of factor 0 cannot be scaled, and is not overwritten."""
    optimizer = make_optimizer()
    scheduler = lr_scheduler.ConstantLR(optimizer, factor=0.0, total_iters=3)
    optimizer.param_groups[0]["lr"] = 0.5
    advance(optimizer, scheduler, epochs=5)
    assert rates(optimizer) == [0.5, 0.03]
