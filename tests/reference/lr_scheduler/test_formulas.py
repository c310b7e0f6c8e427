"""Every schedule against its recurrence and against torch, over three horizons."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from optbench.reference import lr_scheduler

from tests.recurrences import schedules

from .cases import CASES, NAMES, advance, expected, flat, horizon, make_optimizer, momenta, rates

# The issue of being right is one of 1e-12 relative; nothing is absolute, but for the rounding of a zero.
EXACT = {"rel": 1e-12, "abs": 1e-30}


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize(("name", "options"), CASES, ids=NAMES)
def test_a_schedule_is_its_recurrence(name, options, kind):
    optimizer = make_optimizer(kind)
    scheduler = getattr(lr_scheduler, name)(optimizer, **options)
    bases = [float(base) for base in scheduler.base_lrs]
    for epoch in range(horizon(name, options) + 1):
        wanted = [expected(name, options, epoch, base) for base in bases]
        assert rates(optimizer) == pytest.approx([rate for rate, _ in wanted], **EXACT), epoch
        assert scheduler.get_last_lr() == rates(optimizer)
        assert scheduler.last_epoch == epoch
        if wanted[0][1] is not None:
            assert momenta(optimizer) == pytest.approx([momentum for _, momentum in wanted], rel=1e-12, abs=0), epoch
        if epoch < horizon(name, options):
            advance(optimizer, scheduler)


@pytest.mark.parametrize(("name", "options"), CASES, ids=NAMES)
def test_a_rate_that_was_changed_is_taken_onwards(name, options):
    """The recursive form is the closed one, times what the rate was changed by; an absolute schedule sets its own."""
    optimizer, changed = make_optimizer(), make_optimizer()
    schedulers = [getattr(lr_scheduler, name)(each, **options) for each in (optimizer, changed)]
    absolute = name in ("LambdaLR", "CyclicLR", "OneCycleLR", "CosineAnnealingWarmRestarts")
    floor = options.get("eta_min", 0.0)
    for group in changed.param_groups:
        group["lr"] = floor + (group["lr"] - floor) * 1.25
    last = min(horizon(name, options), options.get("T_max", 10**9))
    for _ in range(last):
        advance(optimizer, schedulers[0])
        advance(changed, schedulers[1])
        wanted = [lr if absolute else floor + (lr - floor) * 1.25 for lr in rates(optimizer)]
        assert rates(changed) == pytest.approx(wanted, rel=1e-11, abs=1e-30)


@pytest.mark.parametrize("cut", [1, 6, 7])
def test_a_changed_cosine_is_torchs_beyond_its_end(cut):
    runs = []
    for module in (lr_scheduler, torch.optim.lr_scheduler):
        optimizer = make_optimizer()
        scheduler = module.CosineAnnealingLR(optimizer, 7, eta_min=0.02)
        runs.append(advance(optimizer, scheduler, epochs=cut))
        for group in optimizer.param_groups:
            group["lr"] *= 0.75
        runs[-1].extend(advance(optimizer, scheduler, epochs=21))
    assert flat(runs[0]) == pytest.approx(flat(runs[1]), rel=1e-11, abs=0)


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize(("name", "options"), CASES, ids=NAMES)
def test_a_schedule_is_torchs(name, options, kind):
    pairs = [(make_optimizer(kind), module) for module in (lr_scheduler, torch.optim.lr_scheduler)]
    runs = []
    for optimizer, module in pairs:
        scheduler = getattr(module, name)(optimizer, **options)
        runs.append((scheduler, [(rates(optimizer), momenta(optimizer))]))
        runs[-1][1].extend(advance(optimizer, scheduler, epochs=horizon(name, options)))
    (ours, mine), (theirs, wanted) = runs
    # torch's cosine cancels near its end, the more the longer it is.
    assert flat(mine) == pytest.approx(flat(wanted), rel=1e-10, abs=1e-15)
    assert set(ours.state_dict()) == set(theirs.state_dict())
    assert ours.last_epoch == theirs.last_epoch
    assert isinstance(ours, torch.optim.lr_scheduler.LRScheduler)


CLOSED = [case for case in CASES if case[0] != "MultiplicativeLR"]


@pytest.mark.parametrize(("name", "options"), CLOSED, ids=[name for name in NAMES if "Multiplicative" not in name])
def test_an_epoch_can_be_named(name, options):
    """step(epoch) sets the closed form, whatever stands there, and warns where torch does."""
    optimizer = make_optimizer()
    scheduler = getattr(lr_scheduler, name)(optimizer, **options)
    bases = [float(base) for base in scheduler.base_lrs]
    for epoch in (5, 2, 11, 0):
        for group in optimizer.param_groups:
            group["lr"] = 7.0
        optimizer.step()
        if name == "CosineAnnealingWarmRestarts":
            scheduler.step(epoch)
        else:
            with pytest.warns(UserWarning, match=f"epoch={epoch}"):
                scheduler.step(epoch)
        wanted = [expected(name, options, epoch, base)[0] for base in bases]
        assert rates(optimizer) == pytest.approx(wanted, **EXACT)
        assert scheduler.last_epoch == epoch


def test_the_ends_are_exact():
    """To the last bit, where 1 + cos(pi) or (x*n)/n would round."""
    for length in (3, 7, 49, 1000, 12345):
        optimizer = make_optimizer(lrs=(0.1, 0.7))
        cosine = lr_scheduler.CosineAnnealingLR(optimizer, length, eta_min=0.003)
        assert cosine._closed(0, 0) == cosine._closed(0, 2 * length) == 0.1
        assert cosine._closed(1, length) == cosine._closed(1, 3 * length) == 0.003
        linear = lr_scheduler.LinearLR(make_optimizer(lrs=(0.1, 0.7)), 0.3, 0.9, length)
        assert linear._closed(1, 0) == 0.7 * 0.3
        assert linear._closed(1, length) == linear._closed(1, 5 * length) == 0.7 * 0.9
        one = lr_scheduler.OneCycleLR(make_optimizer(), 0.3, length + 4)
        assert one._closed(0, 0) == 0.3 / 25
        assert one._closed(0, length + 3) == one._closed(0, length + 4) == 0.3 / 25 / 1e4
        cyclic = lr_scheduler.CyclicLR(make_optimizer(), 0.01, 0.3, length, length + 4)
        assert cyclic._closed(0, 2 * length + 4) == 0.01
        assert cyclic._closed(0, length) == cyclic._closed(0, 5 * length + 8) == 0.3
    for up, down in ((7, 18), (7, 34), (7, 36)):
        # up/(up + down)*(up + down) is not up.
        assert lr_scheduler.CyclicLR(make_optimizer(), 0.01, 0.3, up, down)._closed(0, up) == 0.3


def test_a_long_cosine_keeps_its_digits():
    """Where 1 + cos loses half of them."""
    optimizer = make_optimizer()
    scheduler = lr_scheduler.CosineAnnealingLR(optimizer, 10**6)
    for left in (1, 2, 1000):
        # sin(x)**2 for a small x
        x = torch.pi / 2 * left / 10**6
        assert scheduler._closed(0, 10**6 - left) == pytest.approx(0.1 * (x - x**3 / 6) ** 2, rel=1e-12, abs=0)


values = st.sampled_from([1.0, 0.5, 0.50004, 0.4999, 0.3, 2.0, -1.0, float("nan"), float("inf")])


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.lists(values, min_size=30, max_size=60), st.data())
def test_a_plateau_is_its_recurrence_and_torchs(metrics, data):
    options = {
        "mode": data.draw(st.sampled_from(["min", "max"])), "factor": data.draw(st.sampled_from([0.1, 0.5, 0.0])),
        "patience": data.draw(st.sampled_from([0, 1, 3])), "threshold": data.draw(st.sampled_from([1e-4, 0.2, 0.0])),
        "threshold_mode": data.draw(st.sampled_from(["rel", "abs"])), "cooldown": data.draw(st.sampled_from([0, 2])),
        "eps": data.draw(st.sampled_from([1e-8, 0.004])),
    }  # fmt: skip
    seen = []
    for module in (lr_scheduler, torch.optim.lr_scheduler):
        optimizer = make_optimizer()
        scheduler = module.ReduceLROnPlateau(optimizer, **options, min_lr=[0.002, 0.0])
        history = []
        for metric in metrics:
            scheduler.step(torch.tensor(metric) if data.draw(st.booleans()) else metric)
            history.append(rates(optimizer))
        seen.append((history, scheduler))
    (ours, mine), (theirs, reference) = seen
    assert ours == theirs
    assert {k: repr(v) for k, v in mine.state_dict().items()} == {k: repr(v) for k, v in reference.state_dict().items()}
    if not any(abs(metric) == float("inf") or metric != metric for metric in metrics):
        wanted = schedules.reducelronplateau(metrics, 0.1, **options, min_lr=0.002)
        assert [history[0] for history in ours] == pytest.approx(wanted, rel=1e-12, abs=0)
