"""SequentialLR and ChainedScheduler: of one part, nested, of torch's parts, and as torch's parts."""

import itertools

import pytest
import torch
from optbench.reference import lr_scheduler

from tests.recurrences import schedules

from .cases import ABSOLUTE, CASES, NAMES, advance, flat, horizon, make_optimizer, momenta, rates

MODULES = [lr_scheduler, torch.optim.lr_scheduler]


def run(builder, epochs=20, **options):
    optimizer = make_optimizer(**options)
    scheduler = builder(optimizer)
    assert scheduler.get_last_lr() == rates(optimizer)
    return [(rates(optimizer), momenta(optimizer)), *advance(optimizer, scheduler, epochs=epochs)]


@pytest.mark.parametrize("module", MODULES, ids=["ours", "torch"])
@pytest.mark.parametrize(("name", "options"), CASES, ids=NAMES)
def test_a_composite_of_one_is_that_one(name, options, module):
    """Of our part or of torch's."""
    end = horizon(name, options)

    def alone(optimizer):
        return getattr(module, name)(optimizer, **options)

    wanted = run(alone, end)
    assert run(lambda o: lr_scheduler.SequentialLR(o, [alone(o)], []), end) == wanted
    assert run(lambda o: lr_scheduler.ChainedScheduler([alone(o)]), end) == wanted
    nested = run(lambda o: lr_scheduler.SequentialLR(o, [lr_scheduler.SequentialLR(o, [alone(o)], [])], []), end)
    assert nested == wanted
    assert run(lambda o: lr_scheduler.SequentialLR(o, [lr_scheduler.ChainedScheduler([alone(o)])], []), end) == wanted
    assert run(lambda o: torch.optim.lr_scheduler.SequentialLR(o, [alone(o)], []), end) == wanted
    assert run(lambda o: torch.optim.lr_scheduler.ChainedScheduler([alone(o)]), end) == wanted


@pytest.mark.parametrize("module", MODULES, ids=["ours", "torch"])
@pytest.mark.parametrize(("name", "options"), CASES, ids=NAMES)
def test_a_part_is_as_alone_whatever_came_before(name, options, module):
    """Built before or after the other part, which changes rates and initial rates."""
    alone = run(lambda o: getattr(module, name)(o, **options), 12)
    for swapped in (False, True):

        def sequence(optimizer, swapped=swapped):
            last = getattr(module, name)(optimizer, **options) if swapped else None
            first = lr_scheduler.ConstantLR(optimizer, 0.5, 100)
            last = last or getattr(module, name)(optimizer, **options)
            return lr_scheduler.SequentialLR(optimizer, [first, last], [4])

        seen = run(sequence, 16)
        # Another scheduler that was built before fixes what is the initial rate.
        if not (swapped and name in ("OneCycleLR", "CyclicLR")):
            assert [lrs for lrs, _ in seen[:4]] == [[0.05, 0.015]] * 4
        if not (name == "CyclicLR" and module is torch.optim.lr_scheduler):
            assert [lrs for lrs, _ in seen[4:]] == [lrs for lrs, _ in alone]


def test_built_after_another_is_as_built_alone():
    for name, options in CASES:
        if name in ABSOLUTE:
            optimizer = make_optimizer()
            lr_scheduler.StepLR(optimizer, 5)
            seen = advance(optimizer, getattr(lr_scheduler, name)(optimizer, **options), epochs=12)
            assert seen == run(lambda o, name=name, options=options: getattr(lr_scheduler, name)(o, **options), 12)[1:]


@pytest.mark.parametrize("outer", MODULES, ids=["ours", "torch"])
@pytest.mark.parametrize("inner", MODULES, ids=["ours", "torch"])
def test_a_sequence_is_its_parts_one_after_the_other(outer, inner):
    def sequence(optimizer):
        parts = [
            inner.LinearLR(optimizer, 0.25), inner.CosineAnnealingWarmRestarts(optimizer, 3),
            inner.LambdaLR(optimizer, lambda epoch: 0.8**epoch), inner.CosineAnnealingLR(optimizer, 4),
        ]  # fmt: skip
        return outer.SequentialLR(optimizer, parts, [4, 9, 12])

    for epoch, (lrs, _) in enumerate(run(sequence)):
        wanted = [
            schedules.linearlr(epoch, base, start_factor=0.25) if epoch < 4
            else schedules.cosineannealingwarmrestarts(epoch - 4, base, T_0=3) if epoch < 9
            else schedules.lambdalr(epoch - 9, base, lr_lambda=lambda t: 0.8**t) if epoch < 12
            else schedules.cosineannealinglr(epoch - 12, base, T_max=4)
            for base in (0.1, 0.03)
        ]  # fmt: skip
        assert lrs == pytest.approx(wanted, rel=1e-12, abs=1e-17)


def test_nested_sequences_are_one():
    def parts(o):
        return [lr_scheduler.ConstantLR(o), lr_scheduler.ExponentialLR(o, 0.9), lr_scheduler.CyclicLR(o, 0.1, 0.4, 2),
                lr_scheduler.MultiplicativeLR(o, lambda epoch: 0.9)]  # fmt: skip

    def flat_sequence(o):
        return lr_scheduler.SequentialLR(o, parts(o), [3, 7, 12])

    def first(o):
        a, b, c, d = parts(o)
        return lr_scheduler.SequentialLR(o, [lr_scheduler.SequentialLR(o, [a, b], [3]), c, d], [7, 12])

    def last(o):
        a, b, c, d = parts(o)
        return lr_scheduler.SequentialLR(o, [a, b, lr_scheduler.SequentialLR(o, [c, d], [5])], [3, 7])

    assert run(first) == run(last) == run(flat_sequence)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_chained_parts_multiply(order):
    def chained(o):
        constant, exponential = lr_scheduler.ConstantLR(o, 0.5, 6), lr_scheduler.ExponentialLR(o, 0.9)
        parts = [constant, exponential, lr_scheduler.PolynomialLR(o, 12)]
        return lr_scheduler.ChainedScheduler([parts[index] for index in order])

    for epoch, (lrs, _) in enumerate(run(chained)):
        wanted = [
            base * schedules.constantlr(epoch, 1, factor=0.5, total_iters=6) * 0.9**epoch
            * schedules.polynomiallr(epoch, 1, total_iters=12) for base in (0.1, 0.03)
        ]  # fmt: skip
        assert lrs == pytest.approx(wanted, rel=1e-12, abs=0)
    torchs = torch.optim.lr_scheduler

    def theirs(o):
        parts = [torchs.ConstantLR(o, 0.5, 6), torchs.ExponentialLR(o, 0.9), torchs.PolynomialLR(o, 12)]
        return torchs.ChainedScheduler([parts[index] for index in order])

    assert flat(run(chained)) == pytest.approx(flat(run(theirs)), rel=1e-12, abs=0)


def test_a_chain_can_begin_after_a_milestone():
    def sequence(o):
        chain = [lr_scheduler.ConstantLR(o, 0.5, 2), torch.optim.lr_scheduler.ExponentialLR(o, 0.9)]
        parts = [lr_scheduler.StepLR(o, 1), lr_scheduler.ChainedScheduler(chain)]
        return lr_scheduler.SequentialLR(o, parts, [3])

    seen = [lrs for lrs, _ in run(sequence, 8)]
    factors = [1, 0.1, 0.01, *(0.9**epoch * (0.5 if epoch < 2 else 1) for epoch in range(6))]
    wanted = [base * factor for factor in factors for base in (0.1, 0.03)]
    assert flat([seen]) == pytest.approx(wanted, rel=1e-12, abs=0)


@pytest.mark.parametrize(
    ("milestones", "begun"),
    [([0, 4], {0: 1, 4: 2}), ([3, 3], {0: 0, 3: 2}), ([0, 0], {0: 2}), ([2.5, 4], {0: 0, 3: 1, 4: 2}),
     ([-5, 4], {0: 1, 4: 2}), ([3, 10**9], {0: 0, 3: 1})],
)  # fmt: skip
def test_odd_milestones(milestones, begun):
    def sequence(o, last_epoch=-1):
        parts = [lr_scheduler.ExponentialLR(o, gamma) for gamma in (0.9, 0.8, 0.7)]
        return lr_scheduler.SequentialLR(o, parts, milestones, last_epoch)

    for epoch, (lrs, _) in enumerate(run(sequence, 9)):
        begin = max(each for each in begun if each <= epoch)
        assert lrs[0] == pytest.approx(0.1 * (0.9, 0.8, 0.7)[begun[begin]] ** (epoch - begin), rel=1e-12, abs=0)
        optimizer = make_optimizer()
        sequence(optimizer, last_epoch=epoch - 1)
        assert rates(optimizer) == lrs


@pytest.mark.parametrize("module", MODULES, ids=["ours", "torch"])
def test_composites_refuse(module):
    optimizer, other = make_optimizer(), make_optimizer()
    step = module.StepLR(optimizer, 3)
    for scheduler in (lr_scheduler.ReduceLROnPlateau(optimizer), torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)):
        with pytest.raises(ValueError, match="ReduceLROnPlateau"):
            module.SequentialLR(optimizer, [step, scheduler], [3])
        with pytest.raises(ValueError, match="ReduceLROnPlateau"):
            module.ChainedScheduler([step, scheduler])
    with pytest.raises(ValueError, match=r"same optimizer|another"):
        module.SequentialLR(optimizer, [step, lr_scheduler.StepLR(other, 3)], [3])
    with pytest.raises(ValueError, match=r"same optimizer|another"):
        module.ChainedScheduler([step, lr_scheduler.StepLR(other, 3)])
    with pytest.raises(ValueError, match="at least one"):
        module.SequentialLR(optimizer, [], [])
    with pytest.raises(ValueError, match="at least one"):
        module.ChainedScheduler([])
    with pytest.raises(ValueError, match="2"):
        module.SequentialLR(optimizer, [step, step], [])
    with pytest.raises(TypeError, match="index 1"):
        module.SequentialLR(optimizer, [step, 7], [3])
    if module is lr_scheduler:
        with pytest.raises(ValueError, match="sorted"):
            module.SequentialLR(optimizer, [step, step, step], [5, 3])
