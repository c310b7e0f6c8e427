"""A run that is cut at any epoch goes on as if it had not been, from a checkpoint of ours or of torch's."""

import copy
import io
import json
import pickle

import pytest
import torch
from optbench.reference import lr_scheduler

from .cases import ABSOLUTE, CASES, NAMES, advance, flat, horizon, make_optimizer, momenta, rates

CUTS = [1, 2, 3, 4, 5, 6, 7, 8, 12, 15]


class Decay:
    """A function with a memory."""

    def __init__(self, factor):
        self.factor = factor

    def __call__(self, epoch):
        return self.factor**epoch


def build(name, options, optimizer, module=lr_scheduler):
    return getattr(module, name)(optimizer, **options)


def composite(optimizer, module=lr_scheduler):
    """Composites in composites, with a cycling momentum in the middle."""
    parts = [
        module.ChainedScheduler([module.LinearLR(optimizer, 0.25), module.ExponentialLR(optimizer, 0.9)]),
        module.SequentialLR(optimizer, [module.CyclicLR(optimizer, 0.1, 0.4, 2), module.StepLR(optimizer, 2)], [3]),
        module.CosineAnnealingLR(optimizer, 5),
    ]
    return module.SequentialLR(optimizer, parts, [4, 10])


def two_momenta(optimizer):
    """Only the part that is due may set the momentum."""
    first = lr_scheduler.CyclicLR(optimizer, 0.1, 0.4, 3, base_momentum=0.5)
    return lr_scheduler.SequentialLR(optimizer, [first, lr_scheduler.OneCycleLR(optimizer, 0.3, 20)], [7])


BUILDERS = [lambda optimizer, name=name, options=options: build(name, options, optimizer) for name, options in CASES]
BUILDERS += [composite, two_momenta]
IDS = [*NAMES, "composite", "two momenta"]
ENDS = [*(horizon(name, options) for name, options in CASES), 20, 20]

# What comes when a process begins anew: the optimizer is loaded, the scheduler is built, the scheduler is loaded.
ORDERS = ["load build load-scheduler", "build load load-scheduler", "build load-scheduler load"]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("builder", "end"), [*zip(BUILDERS, ENDS, strict=True)], ids=IDS)
def test_resumes_from_a_checkpoint_in_every_order(builder, end, order):
    optimizer = make_optimizer()
    scheduler = builder(optimizer)
    run = [(rates(optimizer), momenta(optimizer))]
    saved = [copy.deepcopy((optimizer.state_dict(), scheduler.state_dict()))]
    for _ in range(end):
        run.extend(advance(optimizer, scheduler))
        saved.append(copy.deepcopy((optimizer.state_dict(), scheduler.state_dict())))
    for cut in (cut for cut in CUTS if cut < end):
        other = make_optimizer()
        for action in order.split():
            if action == "build":
                resumed = builder(other)
            elif action == "load":
                other.load_state_dict(saved[cut][0])
            else:
                resumed.load_state_dict(saved[cut][1])
        assert (rates(other), momenta(other)) == run[cut], cut
        assert resumed.get_last_lr() == rates(other)
        assert advance(other, resumed, epochs=end - cut) == run[cut + 1 :], cut


@pytest.mark.parametrize(("name", "options"), CASES, ids=NAMES)
def test_resumes_by_last_epoch(name, options):
    """From groups that hold initial_lr and the epoch's rate; what is not absolute leaves that as it is."""
    end = horizon(name, options)
    optimizer = make_optimizer()
    scheduler = build(name, options, optimizer)
    run = [(rates(optimizer), momenta(optimizer))]
    run.extend(advance(optimizer, scheduler, epochs=end))
    for cut in (cut for cut in CUTS if cut < end):
        other = make_optimizer(lrs=run[cut][0])
        for group, source in zip(other.param_groups, optimizer.param_groups, strict=True):
            group["initial_lr"] = source["initial_lr"]
        resumed = build(name, options | {"last_epoch": cut - 1}, other)
        assert resumed.last_epoch == cut
        assert rates(other) == pytest.approx(run[cut][0], rel=0 if name not in ABSOLUTE else 1e-12)
        assert flat(advance(other, resumed, epochs=end - cut)) == pytest.approx(flat(run[cut + 1 :]), rel=1e-12, abs=0)
        for group in other.param_groups:
            group["lr"] = 5.0
        build(name, options | {"last_epoch": cut - 1}, other)
        assert (rates(other) == [5.0, 5.0]) == (name not in ABSOLUTE)


def test_a_sequence_resumes_by_last_epoch():
    def parts(optimizer):
        chained = [lr_scheduler.ConstantLR(optimizer, 0.5, 2), lr_scheduler.ExponentialLR(optimizer, 0.8)]
        return [
            lr_scheduler.LinearLR(optimizer, 0.25, total_iters=3),
            lr_scheduler.ChainedScheduler(chained),
            lr_scheduler.MultiplicativeLR(optimizer, lambda epoch: 0.9),
            lr_scheduler.CosineAnnealingLR(optimizer, 4),
        ]

    optimizer = make_optimizer()
    run = advance(optimizer, lr_scheduler.SequentialLR(optimizer, parts(optimizer), [3, 7, 10]), epochs=16)
    for cut in range(1, 16):
        other = make_optimizer()
        resumed = lr_scheduler.SequentialLR(other, parts(other), [3, 7, 10], last_epoch=cut - 1)
        assert flat([(rates(other), momenta(other))]) == pytest.approx(flat(run[cut - 1 : cut]), rel=1e-12, abs=0)
        assert flat(advance(other, resumed, epochs=16 - cut)) == pytest.approx(flat(run[cut:]), rel=1e-12, abs=0)


@pytest.mark.parametrize("to_torch", [False, True])
@pytest.mark.parametrize(("name", "options"), CASES, ids=NAMES)
def test_a_checkpoint_goes_between_torch_and_here(name, options, to_torch):
    modules = [torch.optim.lr_scheduler, lr_scheduler]
    source, target = modules[::-1] if to_torch else modules
    end = horizon(name, options)
    whole = make_optimizer()
    run = advance(whole, build(name, options, whole), epochs=end)
    for cut in (3, 5, 8, 12):
        first, second = make_optimizer(), make_optimizer()
        scheduler = build(name, options, first, source)
        advance(first, scheduler, epochs=cut)
        resumed = build(name, options, second, target)
        resumed.load_state_dict(scheduler.state_dict())
        second.load_state_dict(first.state_dict())
        seen = advance(second, resumed, epochs=end - cut)
        assert flat(seen) == pytest.approx(flat(run[cut:]), rel=1e-10, abs=1e-15)


def test_a_composites_checkpoint_goes_to_torch_and_back():
    def make(optimizer, module):
        linear, step = module.LinearLR(optimizer, 0.25), module.StepLR(optimizer, 2)
        # Its initial rates are the optimizer's: torch's first part starts from those that were set last.
        parts = [linear, step, module.OneCycleLR(optimizer, [2.5, 0.75], 12)]
        return module.SequentialLR(optimizer, parts, [4, 9])

    whole = make_optimizer()
    run = advance(whole, make(whole, lr_scheduler), epochs=16)
    for cut in (2, 4, 5, 9, 12):
        for modules in ([torch.optim.lr_scheduler, lr_scheduler], [lr_scheduler, torch.optim.lr_scheduler]):
            first, second = make_optimizer(), make_optimizer()
            scheduler, resumed = make(first, modules[0]), make(second, modules[1])
            advance(first, scheduler, epochs=cut)
            second.load_state_dict(first.state_dict())
            resumed.load_state_dict(scheduler.state_dict())
            assert momenta(second) == pytest.approx(momenta(first), rel=1e-12, abs=0)
            assert flat(advance(second, resumed, epochs=16 - cut)) == pytest.approx(flat(run[cut:]), rel=1e-12, abs=0)


@pytest.mark.parametrize(("builder", "end"), [*zip(BUILDERS, ENDS, strict=True)], ids=IDS)
def test_a_checkpoint_survives_pickle_weights_only_and_json(builder, end):
    def through_torch(state):
        file = io.BytesIO()
        torch.save(state, file)
        file.seek(0)
        return torch.load(file, weights_only=True)

    optimizer = make_optimizer()
    scheduler = builder(optimizer)
    advance(optimizer, scheduler, epochs=6)
    state = copy.deepcopy(scheduler.state_dict())
    run = advance(optimizer, scheduler, epochs=end - 6)
    for way in (lambda x: pickle.loads(pickle.dumps(x)), through_torch, lambda x: json.loads(json.dumps(x))):
        other = make_optimizer()
        resumed = builder(other)
        resumed.load_state_dict(way(state))
        assert advance(other, resumed, epochs=end - 6) == run


def test_several_schedulers_resume_with_the_optimizer_last():
    def build_all(optimizer):
        return [
            lr_scheduler.ConstantLR(optimizer, 0.5, 4), lr_scheduler.ExponentialLR(optimizer, 0.9),
            lr_scheduler.CosineAnnealingLR(optimizer, 9),
        ]  # fmt: skip

    optimizer = make_optimizer()
    schedulers = build_all(optimizer)
    advance(optimizer, *schedulers, epochs=3)
    saved = copy.deepcopy((optimizer.state_dict(), [each.state_dict() for each in schedulers]))
    run = advance(optimizer, *schedulers, epochs=10)
    other = make_optimizer()
    resumed = build_all(other)
    for scheduler, state in zip(resumed, saved[1], strict=True):
        scheduler.load_state_dict(state)
    other.load_state_dict(saved[0])
    assert advance(other, *resumed, epochs=10) == run


def test_a_checkpoint_is_copied_when_it_is_loaded():
    optimizer = make_optimizer(lrs=(torch.tensor(0.1), torch.tensor(0.2)))
    scheduler = lr_scheduler.MultiStepLR(optimizer, [2, 4])
    other = make_optimizer(lrs=(torch.tensor(0.5), torch.tensor(0.6)))
    resumed = lr_scheduler.MultiStepLR(other, [3])
    state = scheduler.state_dict()
    resumed.load_state_dict(state)
    assert list(state) == list(scheduler.state_dict())
    assert resumed.milestones is not scheduler.milestones
    assert resumed.base_lrs is not scheduler.base_lrs
    assert all(a is not b for a, b in zip(resumed.base_lrs, scheduler.base_lrs, strict=True))
    assert all(a is not b for a, b in zip(resumed._last_lr, scheduler._last_lr, strict=True))
    assert rates(other) == rates(optimizer)


@pytest.mark.parametrize("name", ["LambdaLR", "MultiplicativeLR"])
def test_callable_objects_are_loaded_and_functions_are_not(name):
    objects = [Decay(0.5), lambda epoch: 0.25**epoch]
    scheduler = getattr(lr_scheduler, name)(make_optimizer(), objects)
    state = scheduler.state_dict()
    assert state["lr_lambdas"] == [{"factor": 0.5}, None]
    other = make_optimizer()
    resumed = getattr(lr_scheduler, name)(other, [Decay(0.75), objects[1]])
    resumed.load_state_dict(state)
    assert resumed.lr_lambdas[0].factor == 0.5
    getattr(torch.optim.lr_scheduler, name)(make_optimizer(), [Decay(0.75), objects[1]]).load_state_dict(state)


def test_a_cycles_scale_is_loaded():
    scheduler = lr_scheduler.CyclicLR(make_optimizer(), 0.1, 1.0, 2, scale_fn=Decay(0.5))
    resumed = lr_scheduler.CyclicLR(make_optimizer(), 0.1, 1.0, 2, scale_fn=Decay(0.75))
    resumed.load_state_dict(scheduler.state_dict())
    assert resumed.scale_fn(2) == scheduler.scale_fn(2) == 0.25


def test_a_plateau_resumes():
    values = [1.0, 0.9, 0.95, 0.93, 0.94, 0.8, 0.85, 0.9, 0.99, 0.99, 0.7]
    optimizer = make_optimizer()
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, patience=1, cooldown=1)
    for cut, value in enumerate(values):
        for module in (lr_scheduler, torch.optim.lr_scheduler):
            other, whole = make_optimizer(), copy.deepcopy(optimizer)
            resumed = lr_scheduler.ReduceLROnPlateau(other, patience=1, cooldown=1)
            mirror = module.ReduceLROnPlateau(whole, patience=1, cooldown=1)
            for each in (resumed, mirror):
                each.load_state_dict(json.loads(json.dumps(scheduler.state_dict())))
            assert rates(other) == rates(optimizer)
            for rest in values[cut:]:
                resumed.step(rest)
                mirror.step(rest)
            assert rates(other) == rates(whole)
        scheduler.step(value)
