"""Schedulers of schedulers: of parts of any make, nested, resumed, and told ahead."""

import pytest
import torch
from optbench.impls.foreach import lr_scheduler as ours
from optbench.impls.foreach.swa_utils import SWALR
from torch.optim import lr_scheduler as theirs


def optimizer(rate=1.0):
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=rate, momentum=0.9)


def walk(scheduler, steps):
    rates = [scheduler.optimizer.param_groups[0]["lr"]]
    for _ in range(steps):
        scheduler.optimizer.step()
        scheduler.step()
        rates.append(scheduler.optimizer.param_groups[0]["lr"])
    assert scheduler.get_last_lr() == rates[-1:]
    return rates


def warmup(module, held):
    return module.LinearLR(held, 0.1, total_iters=3)


def cosine(module, held):
    return module.CosineAnnealingLR(held, 6, eta_min=0.01)


def decay(module, held):
    return module.ExponentialLR(held, 0.8)


def flat(module, held):
    return module.SequentialLR(held, [warmup(module, held), cosine(module, held), decay(module, held)], [3, 7])


def chain(module, held):
    return module.ChainedScheduler([module.ConstantLR(held, 0.1, 4), decay(module, held), cosine(module, held)])


@pytest.mark.parametrize("build", [flat, chain])
def test_rates_are_torchs(build):
    mine, other = (walk(build(module, optimizer()), 12) for module in (ours, theirs))
    assert mine == pytest.approx(other, rel=1e-12)
    assert build(ours, optimizer()).state_dict().keys() == build(theirs, optimizer()).state_dict().keys()


@pytest.mark.parametrize("build", [flat, chain])
def test_parts_of_torchs_and_in_torchs(build):
    expected = walk(build(ours, optimizer()), 12)

    class Mixed:
        """Ours outside, torch's inside, or the other way round."""

        def __init__(self, outer, inner):
            self.outer, self.inner = outer, inner

        def __getattr__(self, name):
            return getattr(self.outer if name in ("SequentialLR", "ChainedScheduler") else self.inner, name)

    for outer, inner in ((ours, theirs), (theirs, ours)):
        assert walk(build(Mixed(outer, inner), optimizer()), 12) == pytest.approx(expected, rel=1e-12)


def test_the_states_of_parts_are_torchs():
    mine, other = (flat(module, optimizer()) for module in (ours, theirs))
    for _ in range(9):
        epochs = [[part.last_epoch for part in scheduler._schedulers] for scheduler in (mine, other)]
        assert epochs[0] == epochs[1]
        walk(mine, 1), walk(other, 1)


def test_nested_is_flat():
    expected = walk(flat(ours, optimizer()), 12)
    held = optimizer()
    inner = ours.SequentialLR(held, [warmup(ours, held), cosine(ours, held)], [3])
    assert walk(ours.SequentialLR(held, [inner, decay(ours, held)], [7]), 12) == expected
    held = optimizer()
    inner = ours.SequentialLR(held, [cosine(ours, held), decay(ours, held)], [4])
    assert walk(ours.SequentialLR(held, [warmup(ours, held), inner], [3]), 12) == expected
    held = optimizer()
    inner = ours.ChainedScheduler([ours.SequentialLR(held, [cosine(ours, held)], [])])
    parts = [ours.SequentialLR(held, [warmup(ours, held)], []), inner, decay(ours, held)]
    assert walk(ours.SequentialLR(held, parts, [3, 7]), 12) == expected


def test_a_composite_in_torchs_begins_at_its_begin():
    held = optimizer()
    inner = ours.SequentialLR(held, [warmup(ours, held), cosine(ours, held)], [3])
    outer = theirs.SequentialLR(held, [decay(theirs, held), inner], [2])
    assert walk(outer, 6) == pytest.approx([1, 0.8, *walk(flat(ours, optimizer()), 4)], rel=1e-12)


def test_a_chain_in_a_sequence_begins_with_all_its_parts():
    held = optimizer()
    sequence = ours.SequentialLR(held, [decay(ours, held), chain(ours, held)], [2])
    assert walk(sequence, 9) == pytest.approx([1, 0.8, *walk(chain(ours, optimizer()), 7)], rel=1e-13)


def test_parts_begin_from_their_own_base():
    held = optimizer(rate=5.0)
    parts = [decay(ours, held), ours.OneCycleLR(held, 1.0, 9)]
    alone = walk(ours.OneCycleLR(optimizer(), 1.0, 9), 5)
    assert walk(ours.SequentialLR(held, parts, [2]), 7) == pytest.approx([5.0, 4.0, *alone], rel=1e-14)


@pytest.mark.parametrize(
    ("milestones", "turns"), [([2.5, 4], "aaabccc"), ([3, 3], "aaacccc"), ([0, 2], "bbccccc"), ([-1, 2.0], "bbccccc")]
)
def test_milestones_may_be_fractions_and_coincide(milestones, turns):
    held = optimizer()
    parts = [ours.LambdaLR(held, lambda epoch, place=place: place + epoch / 10) for place in range(3)]
    scheduler = ours.SequentialLR(held, parts, milestones)
    expected = ["abc".index(turn) + turns[:epoch].count(turn) / 10 for epoch, turn in enumerate(turns)]
    assert [scheduler.lr_at(step)[0] for step in range(len(turns))] == expected
    assert walk(scheduler, len(turns) - 1) == expected


def chain_amid(held):
    return ours.SequentialLR(held, [warmup(ours, held), chain(ours, held), SWALR(held, 0.05, 4)], [3, 8])


def product_amid(held):
    product = ours.MultiplicativeLR(held, lambda epoch: 0.5 + epoch / 100)
    return ours.SequentialLR(held, [decay(ours, held), product, flat(ours, held)], [2, 5])


def chain_of_sequences(held):
    return ours.ChainedScheduler([flat(ours, held), ours.StepLR(held, 2)])


def absolute(held):
    parts = [flat(ours, held), ours.CosineAnnealingWarmRestarts(held, 2, 2), ours.CyclicLR(held, 0.1, 0.3, 2)]
    return ours.SequentialLR(held, parts, [4, 9])


def nothing_first(held):
    return ours.ChainedScheduler([ours.SequentialLR(held, [warmup(ours, held), cosine(ours, held)], [0])])


BUILDS = (lambda held: flat(ours, held), lambda held: chain(ours, held), chain_amid, product_amid, chain_of_sequences)
builds = pytest.mark.parametrize("build", [*BUILDS, absolute, nothing_first])


@builds
def test_lr_at_tells_what_steps_give(build):
    scheduler = build(optimizer())
    told = [scheduler.lr_at(step)[0] for step in range(15)]
    assert walk(scheduler, 14) == pytest.approx(told, rel=1e-14)


def test_torchs_parts_are_known_step_by_step_only():
    held = optimizer()
    with pytest.raises(TypeError, match="ExponentialLR"):
        ours.ChainedScheduler([decay(theirs, held)]).lr_at(2)


@builds
@pytest.mark.parametrize("cut", [0, 3, 4, 9])
@pytest.mark.parametrize("optimizer_first", [False, True])
def test_a_run_goes_on_from_a_checkpoint(build, cut, optimizer_first):
    first = build(optimizer())
    walk(first, cut)
    held = optimizer()
    states = first.optimizer.state_dict(), first.state_dict()
    if optimizer_first:
        held.load_state_dict(states[0])
        second = build(held)
        second.load_state_dict(states[1])
    else:
        second = build(held)
        second.load_state_dict(states[1])
        held.load_state_dict(states[0])
    assert walk(second, 12 - cut) == walk(first, 12 - cut)


@pytest.mark.parametrize("epoch", range(1, 12))
@pytest.mark.parametrize("built_at", ["begin", "epoch"])
def test_a_sequence_goes_on_by_its_last_epoch(epoch, built_at):
    first = flat(ours, optimizer())
    rates = walk(first, 12)
    held = optimizer(rates[epoch])
    held.param_groups[0]["initial_lr"] = 1.0
    last_epoch = -1 if built_at == "begin" else epoch - 1
    parts = [
        ours.LinearLR(held, 0.1, total_iters=3, last_epoch=last_epoch),
        ours.CosineAnnealingLR(held, 6, eta_min=0.01, last_epoch=last_epoch),
        ours.ExponentialLR(held, 0.8, last_epoch=last_epoch),
    ]
    second = ours.SequentialLR(held, parts, [3, 7], last_epoch=epoch - 1)
    assert walk(second, 12 - epoch) == pytest.approx(rates[epoch:], rel=1e-15)


def test_refusals_name_what_is_wrong():
    held = optimizer()
    part = decay(ours, held)
    for build, error, words in (
        (lambda: ours.SequentialLR(held, [], []), ValueError, "at least one"),
        (lambda: ours.ChainedScheduler([]), ValueError, "at least one"),
        (lambda: ours.SequentialLR(held, [part, part], [3, 4]), ValueError, "milestones"),
        (lambda: ours.SequentialLR(held, [part] * 3, [4, 3]), ValueError, "4, 3"),
        (lambda: ours.SequentialLR(held, [object()], []), TypeError, "object at index 0"),
        (lambda: ours.ChainedScheduler([part, ours.ReduceLROnPlateau(held)]), ValueError, "index 1"),
        (lambda: theirs.ChainedScheduler([part, ours.ReduceLROnPlateau(held)]), ValueError, "index 1"),
        (lambda: ours.ChainedScheduler([part, decay(ours, optimizer())]), ValueError, "index 1"),
        (lambda: ours.SequentialLR(optimizer(), [part], []), ValueError, "index 0"),
    ):
        with pytest.raises(error, match=words):
            build()
