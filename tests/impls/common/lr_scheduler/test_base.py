"""The frame of a scheduler's step: whose rate is overwritten, what is remembered, kept, given away and refused."""

import copy
import gc
import pickle
import warnings
import weakref

import pytest
import torch
from optbench.impls.common.lr_scheduler.base import LRSchedulerBase
from optbench.impls.common.lr_scheduler.groups import exchange, per_group
from optbench.impls.foreach import lr_scheduler as ours
from torch.optim import lr_scheduler as theirs

ORDER = "lr_scheduler.step"


def optimizer(*rates, kind=torch.optim.SGD, **options):
    return kind([{"params": [torch.zeros(1, requires_grad=True)], "lr": rate} for rate in rates or (1.0,)], **options)


def step(scheduler, times=1):
    for _ in range(times):
        scheduler.optimizer.step()
        scheduler.step()
    return [float(group["lr"]) for group in scheduler.optimizer.param_groups]


class Counting(LRSchedulerBase):
    """Halves rates, and tells how it was asked."""

    def __init__(self, optimizer, last_epoch=-1):
        self.asked = []
        self.factor = 0.5
        super().__init__(optimizer, last_epoch)

    constants = ("factor",)

    def _curve(self, epoch):
        self.asked.append("curve")
        return [base * self.factor**epoch for base in self.base_lrs]

    def _advance(self, epoch, rates, spacings):
        self.asked.append("advance")
        return [rate * (self.factor if epoch > 0 else 1.0) for rate in rates]


def test_a_rate_that_nobody_changed_stays_on_the_curve():
    scheduler = Counting(optimizer(1.0, 3.0))
    scheduler.asked.clear()
    assert step(scheduler, 3) == [0.125, 0.375]
    assert scheduler.asked == ["curve"] * 3


@pytest.mark.parametrize("group", [0, 1, 2])
def test_a_rate_that_somebody_changed_goes_on_from_there(group):
    scheduler = Counting(optimizer(1.0, 1.0, 1.0))
    step(scheduler, 2)
    scheduler.optimizer.param_groups[group]["lr"] = 8.0
    expected = [0.125] * 3
    expected[group] = 4.0
    assert step(scheduler) == expected
    expected = [rate / 2 for rate in expected]
    assert step(scheduler) == scheduler.get_last_lr() == expected


@pytest.mark.parametrize("place", [0, 1])
def test_a_tensor_that_comes_later_is_kept(place):
    scheduler = Counting(optimizer(1.0, 2.0))
    step(scheduler)
    tensor = torch.tensor(scheduler.get_last_lr()[place], dtype=torch.float64)
    scheduler.optimizer.param_groups[place]["lr"] = tensor
    assert step(scheduler) == [0.25, 0.5]
    assert scheduler.optimizer.param_groups[place]["lr"] is tensor
    assert scheduler.get_last_lr()[place] is not tensor


def test_a_changed_constant_scales_what_stands_there():
    scheduler = Counting(optimizer())
    step(scheduler, 2)
    scheduler.factor = 0.1
    assert step(scheduler) == pytest.approx([0.025])


def test_what_callers_get_is_theirs():
    scheduler = ours.StepLR(optimizer(1.0, 2.0), step_size=3)
    step(scheduler)
    for give in (scheduler.get_last_lr, lambda: scheduler.lr_at(1), lambda: scheduler.state_dict()["_last_lr"]):
        give()[0] = 77.0
        assert scheduler.lr_at(1) == [1.0, 2.0]
    assert step(scheduler) == [1.0, 2.0] and step(scheduler) == [0.1, 0.2]


def test_chained_schedulers_scale_one_another():
    chains = []
    for module in (ours, theirs):
        held = optimizer(1.0, 0.3)
        parts = [module.ConstantLR(held, 0.1, 4), module.ExponentialLR(held, 0.9), module.StepLR(held, 3)]
        rates = []
        for _ in range(10):
            held.step()
            for part in parts:
                part.step()
            rates.append([group["lr"] for group in held.param_groups])
        chains.append(rates)
    assert all(one == pytest.approx(other, rel=1e-13) for one, other in zip(*chains, strict=True))


@pytest.mark.parametrize("epoch", range(1, 9))
def test_a_run_goes_on_by_its_last_epoch(epoch):
    whole = step(ours.StepLR(optimizer(), 2), 8)
    first = ours.StepLR(optimizer(), 2)
    rate = step(first, epoch)
    second = ours.StepLR(first.optimizer, 2, last_epoch=epoch - 1)
    assert second.get_last_lr() == rate and second.last_epoch == epoch
    assert step(second, 8 - epoch) == whole
    with pytest.raises(KeyError, match="initial_lr"):
        ours.StepLR(optimizer(), 2, last_epoch=3)


def test_loading_sets_rates_and_momenta():
    first = ours.OneCycleLR(optimizer(kind=torch.optim.Adam), 1.0, 10)
    rate = step(first, 4)
    group = first.optimizer.param_groups[0]
    second = ours.OneCycleLR(optimizer(kind=torch.optim.Adam), 1.0, 10)
    state = first.state_dict()
    second.load_state_dict(state)
    assert [second.optimizer.param_groups[0][name] for name in ("lr", "betas")] == [rate[0], group["betas"]]
    state["_last_lr"][0] = state["base_lrs"][0] = 99.0
    assert second.get_last_lr() == rate and second.base_lrs == [1 / 25]


def test_betas_that_are_tensors_are_written_in_place():
    betas = torch.tensor(0.9), torch.tensor(0.999)
    held = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=torch.tensor(0.1), betas=betas, capturable=True)
    first, second = held.param_groups[0]["betas"]
    scheduler = ours.OneCycleLR(held, 1.0, 10)
    held.step()
    scheduler.step()
    scheduler.step()
    now = held.param_groups[0]["betas"]
    assert now[0] is first and now[1] is second and 0.85 < float(first) < 0.95


@pytest.mark.parametrize("name", ["StepLR", "LambdaLR", "CyclicLR", "OneCycleLR", "CosineAnnealingLR"])
@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam])
def test_a_group_may_come_later(name, kind):
    options = {
        "StepLR": {"step_size": 2},
        "LambdaLR": {"lr_lambda": lambda epoch: 0.5**epoch},
        "CyclicLR": {"base_lr": 0.1, "max_lr": 1.0, "step_size_up": 4},
        "OneCycleLR": {"max_lr": 1.0, "total_steps": 10},
        "CosineAnnealingLR": {"T_max": 10},
    }[name]
    held = optimizer(kind=kind, **({"momentum": 0.9} if kind is torch.optim.SGD else {}))
    scheduler = getattr(ours, name)(held, **options)
    alone = copy.deepcopy(scheduler)
    step(scheduler, 3), step(alone, 3)
    scheduler.optimizer.add_param_group({"params": [torch.zeros(1, requires_grad=True)], "lr": 0.7})
    for _ in range(3):
        first, second = step(scheduler)
        assert [first] == step(alone) and second > 0
    assert scheduler.base_lrs[1] == scheduler.optimizer.param_groups[1]["initial_lr"] == 0.7
    assert len(scheduler.get_last_lr()) == len(scheduler.lr_at(4)) == 2


def test_a_group_whose_option_is_unknown_is_refused():
    scheduler = ours.LambdaLR(optimizer(1.0, 2.0), [lambda epoch: 1.0, lambda epoch: 2.0])
    scheduler.optimizer.add_param_group({"params": [torch.zeros(1, requires_grad=True)]})
    scheduler.optimizer.step()
    with pytest.raises(ValueError, match="lr_lambda"):
        scheduler.step()
    assert scheduler.last_epoch == 0 and scheduler.base_lrs == [1.0, 2.0]


def test_copies_go_on_alike_and_apart():
    scheduler = ours.CosineAnnealingLR(optimizer(1.0, 2.0), 10)
    step(scheduler, 3)
    copies = copy.deepcopy(scheduler), pickle.loads(pickle.dumps(scheduler))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = step(scheduler, 2)
        assert [step(other, 2) for other in copies] == [expected, expected]


def test_a_copy_of_a_new_scheduler_tells_right_from_wrong_order():
    for other in (copy.deepcopy(ours.StepLR(optimizer(), 2)), pickle.loads(pickle.dumps(ours.StepLR(optimizer(), 2)))):
        assert step(copy.deepcopy(other)) == [1.0]
        with pytest.warns(UserWarning, match=ORDER):
            other.step()


def test_the_wrong_order_is_warned_of_and_the_right_one_is_not():
    assert step(ours.StepLR(optimizer(), 1)) == [0.1]
    for module in (ours, theirs):
        scheduler = module.StepLR(optimizer(), 1)
        with pytest.warns(UserWarning, match=ORDER):
            scheduler.step()
        assert scheduler.get_last_lr() == [0.1]


def test_naming_an_epoch_is_deprecated_and_sets_the_curve():
    scheduler = ours.ExponentialLR(optimizer(), 0.5)
    scheduler.optimizer.step()
    with pytest.warns(UserWarning, match="epoch"):
        scheduler.step(4)
    assert scheduler.get_last_lr() == [0.0625] and scheduler.last_epoch == 4


def test_get_lr_is_for_step_only():
    with pytest.warns(UserWarning, match="get_last_lr"):
        ours.StepLR(optimizer(), 2).get_lr()


def test_users_write_schedulers_as_for_torch():
    class Halving(ours.LRScheduler):
        def get_lr(self):
            return [group["lr"] / 2 for group in self.optimizer.param_groups]

    for rate in (1.0, torch.tensor(1.0)):
        assert step(Halving(optimizer(rate)), 2) == [0.125]


def test_a_step_that_fails_leaves_the_epoch():
    scheduler = ours.OneCycleLR(optimizer(momentum=0.9), 1.0, 2)
    step(scheduler, 2)
    with pytest.raises(ValueError, match="3"):
        scheduler.step()
    assert scheduler.last_epoch == 2


def test_schedulers_are_freed_without_the_collector():
    gc.disable()
    try:
        for name, options in (("StepLR", {"step_size": 2}), ("CyclicLR", {"base_lr": 0.1, "max_lr": 1.0})):
            held = optimizer(momentum=0.9)
            scheduler = getattr(ours, name)(held, **options)
            step(scheduler, 2)
            references = weakref.ref(scheduler), weakref.ref(held)
            del scheduler, held
            assert [reference() for reference in references] == [None, None]
    finally:
        gc.enable()


def test_exchange_stops_at_the_first_rate_that_is_another():
    old, new = [1.5, 2.5, 3.5], [0.1, 0.2, 0.3]
    groups = [{"lr": rate} for rate in old]
    assert exchange(groups, old, new) == 3
    groups[1]["lr"] = 7.0
    assert exchange(groups, new, old) == 1
    assert [group["lr"] for group in groups] == [1.5, 7.0, 0.3]
    assert exchange(groups, (), old) == 0 and exchange(groups, old[:1], new) == 1


def test_one_value_a_group():
    held, tensor = optimizer(1.0, 2.0), torch.tensor(3.0)
    assert per_group("max_lr", held, 5) == [5, 5]
    assert all(value is not tensor and value == tensor for value in per_group("max_lr", held, tensor))
    with pytest.raises(ValueError, match="max_lr has 1 values"):
        per_group("max_lr", held, [1.0])
