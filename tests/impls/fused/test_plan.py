"""What a step remembers must not outlive its truth: every change is noticed, and nothing else costs a new plan."""

import copy
import gc
import pickle
import weakref

import pytest
import torch
from optbench.impls import fused
from optbench.impls.fused import layout, peek, watch

from .support import CONFIGS, Twins, layout_copy, random

configs = pytest.mark.parametrize("config", ["adam-amsgrad-decay", "sgd-momentum"])


@pytest.fixture(params=["fast", "plain"], autouse=True)
def guard(request, monkeypatch):
    """Both ways of comparing layouts."""
    if request.param == "plain":
        monkeypatch.setattr(layout, "TensorGuards", None)
    else:
        assert peek.places() is not None
        monkeypatch.setattr(watch, "FEW_TENSORS", 0)


def both(twins):
    return ((twins.mine, twins.ours), (twins.other, twins.theirs))


def replace_data(twins):
    for params, _ in both(twins):
        params[0].data = params[0].data * 2


def transpose_data(twins):
    for params, _ in both(twins):
        params[0].data = params[0].data.t()


def swap_data(twins):
    for params, _ in both(twins):
        params[0].data, params[2].data = params[2].data, params[0].data


def clear_state(twins):
    for _, optimizer in both(twins):
        optimizer.state.clear()


def clear_one_state(twins):
    for params, optimizer in both(twins):
        optimizer.state[params[0]] = {}


def replace_entries(twins):
    for params, optimizer in both(twins):
        state = optimizer.state[params[1]]
        for key in state:
            state[key] = state[key] * 2


def replace_by_transposed_alias(twins):
    for params, optimizer in both(twins):
        state = optimizer.state[params[0]]
        for key in state:
            state[key] = state[key].t()


def move_entries(twins):
    for params, optimizer in both(twins):
        for value in optimizer.state[params[1]].values():
            value.data = value.data * 2


def move_numbers(twins):
    for params, optimizer in both(twins):
        for name, value in optimizer.state[params[1]].items():
            if not value.dim() and name != "step":
                value.data = value.data * 2


def swap_states(twins):
    for params, optimizer in both(twins):
        state = optimizer.state
        state[params[0]], state[params[2]] = state[params[2]], state[params[0]]


def load_checkpoint(twins):
    saved = copy.deepcopy(twins.theirs.state_dict())
    twins.run(50)
    for _, optimizer in both(twins):
        optimizer.load_state_dict(copy.deepcopy(saved))


def add_group(twins):
    for params, optimizer in both(twins):
        params.append(random((5,), seed=9).requires_grad_())
        optimizer.add_param_group({"params": [params[-1]], "lr": 0.3})


def add_parameter(twins):
    for params, optimizer in both(twins):
        params.append(random((5,), seed=9).requires_grad_())
        optimizer.param_groups[0]["params"].append(params[-1])


def replace_parameter(twins):
    for params, optimizer in both(twins):
        optimizer.state.pop(params[0])
        params[0] = random((4, 4), seed=9).requires_grad_()
        optimizer.param_groups[0]["params"][0] = params[0]


def swap_parameters(twins):
    for params, optimizer in both(twins):
        optimizer.add_param_group({"params": [random((4, 4), seed=9).requires_grad_()], "lr": 0.3})
        first, last = (group["params"] for group in optimizer.param_groups[-2:])
        first[0], last[0] = last[0], first[0]
        params.append(first[0])


def change_options(twins):
    for _, optimizer in both(twins):
        optimizer.param_groups[0].update(lr=0.7, weight_decay=0.0, maximize=True)


def change_rate(twins):
    for _, optimizer in both(twins):
        optimizer.param_groups[0]["lr"] = 0.7


def remove_last_entry(twins):
    for params, optimizer in both(twins):
        if "momentum_buffer" in optimizer.state[params[2]]:
            del optimizer.state[params[2]]["momentum_buffer"]


def freeze_and_cast_nothing(twins):
    for params, _ in both(twins):
        params[1].requires_grad_(False).requires_grad_(True)


CHANGES = [
    replace_data,
    transpose_data,
    swap_data,
    clear_state,
    clear_one_state,
    replace_entries,
    replace_by_transposed_alias,
    move_entries,
    swap_states,
    load_checkpoint,
    add_group,
    add_parameter,
    replace_parameter,
    swap_parameters,
    change_options,
    change_rate,
    remove_last_entry,
    freeze_and_cast_nothing,
]


def start(config):
    name, options = CONFIGS[config]
    twins = Twins(name, [random((4, 4)), random((3,), seed=1), random((4, 4), seed=2)], **options)
    twins.run(1, 2)
    return twins


@configs
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_change_is_noticed(config, change):
    twins = start(config)
    change(twins)
    twins.run(3, 4)
    change(twins)
    twins.run(5)


@pytest.mark.parametrize("config", ["nadam", "asgd-averaging-decay"])
@pytest.mark.parametrize(
    "change", [replace_entries, move_numbers, clear_one_state, swap_states], ids=lambda change: change.__name__
)
def test_change_of_other_numbers_than_the_step_is_noticed(config, change):
    twins = start(config)
    change(twins)
    twins.run(3, 4)
    change(twins)
    twins.run(5)


def test_a_parameter_without_state_is_replaced_by_its_equal():
    twins = Twins("SGD", [torch.ones(1, dtype=torch.float64), random((3,))], lr=0.1)
    twins.run(1)
    for params, optimizer in both(twins):
        params[0] = params[0].detach().clone().requires_grad_()
        optimizer.param_groups[0]["params"][0] = params[0]
    twins.run(2, 3)


def test_parameters_change_groups():
    twins = Twins("SGD", [random((3,))], lr=0.1)
    for params, optimizer in both(twins):
        params.append(random((3,), seed=1).requires_grad_())
        optimizer.add_param_group({"params": params[1:], "lr": 0.5})
    twins.run(1, 2)
    for _, optimizer in both(twins):
        first, second = optimizer.param_groups
        first["params"], second["params"] = second["params"], first["params"]
    twins.run(3, 4)


@configs
def test_gradients_that_move_or_turn(config):
    twins = start(config)
    for turn in range(4):
        # The same memory, in another order.
        memory = random((4, 4), seed=20 + turn)
        for params, _ in both(twins):
            params[0].grad = memory.t() if turn % 2 else memory
        twins.step()
        twins.check()
    for params, _ in both(twins):
        params[0].grad.t_()
    twins.step()
    twins.check()
    for params, _ in both(twins):
        params[2].grad.data = params[2].grad.data * 3
    twins.step()
    twins.check()


@configs
def test_gradients_that_come_and_go(config):
    twins = start(config)
    for seed, absent in enumerate([[0], [0, 1], [], [2], [0, 1, 2], []]):
        twins.give(seed + 5)
        for params, _ in both(twins):
            for index in absent:
                params[index].grad = None
        twins.step()
        twins.check()


def test_a_gradient_shared_by_two_parameters():
    twins = Twins("Adam", [random((3,)), random((3,), seed=1)], lr=0.1)
    for seed in range(3):
        for params, _ in both(twins):
            params[0].grad = params[1].grad = random((3,), seed=seed)
        twins.step()
        twins.check()


@pytest.mark.parametrize("option", ["lr", "betas"])
def test_options_that_change_in_place(option):
    start_value = {"lr": torch.tensor(0.1, dtype=torch.float64), "betas": [0.9, 0.99]}[option]
    twins = Twins("Adam", [random((3,))], lr=0.1)
    for _, optimizer in both(twins):
        optimizer.param_groups[0][option] = copy.deepcopy(start_value)
    twins.run(1, 2)
    for _, optimizer in both(twins):
        value = optimizer.param_groups[0][option]
        if option == "lr":
            value.fill_(0.3)
        else:
            value[0] = 0.5
    kept = twins.ours.param_groups[0][option]
    twins.run(3, 4)
    assert twins.ours.param_groups[0][option] is kept


@configs
@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["deepcopy", "pickle"]
)
def test_copies_in_the_middle_of_a_run(config, duplicate):
    twins = start(config)
    twins.ours, twins.mine = duplicate((twins.ours, twins.mine))
    twins.run(3, 4)


def test_a_copy_leaves_the_original_alone():
    twins = start("adam-amsgrad-decay")
    before = [param.detach().clone() for param in twins.mine]
    other = copy.deepcopy(twins.ours)
    for group in other.param_groups:
        for param in group["params"]:
            param.grad = torch.ones_like(param)
    other.step()
    assert all(torch.equal(a, b) for a, b in zip(twins.mine, before, strict=True))
    twins.run(3)


@configs
@pytest.mark.parametrize("anew", [False, True])
def test_a_plan_is_kept_while_nothing_changes(config, anew):
    twins = start(config)
    plan = twins.ours._plan
    for seed in range(3):
        if anew:
            twins.give(seed)
        twins.step()
        twins.check()
    change_rate(twins)
    twins.step()
    twins.check()
    assert twins.ours._plan is plan


def test_gradients_are_not_kept_alive():
    twins = start("adam-amsgrad-decay")
    gradients = [weakref.ref(param.grad.untyped_storage()) for param in twins.mine]
    for param in twins.mine:
        param.grad = None
    gc.collect()
    assert [gradient() for gradient in gradients] == [None] * 3


def test_version_counters_rise_so_that_autograd_notices():
    for options in ({}, {"momentum": 0.9}):
        weight = torch.ones(3, requires_grad=True)
        empty = torch.ones(0, requires_grad=True)
        optimizer = fused.SGD([weight, empty], lr=0.1, **options)
        for _ in range(2):
            loss = (weight**2).sum()
            weight.grad, empty.grad = torch.ones(3), torch.ones(0)
            version = weight._version
            optimizer.step()
            assert weight._version > version
            with pytest.raises(RuntimeError, match="modified by an inplace operation"):
                loss.backward()


def test_parameters_without_gradient_are_left_alone():
    weight = torch.ones(3, requires_grad=True)
    optimizer = fused.Adam([weight])
    optimizer.step()
    assert not optimizer.state
    assert weight._version == 0


def test_inference_tensors():
    with torch.inference_mode():
        weight = torch.ones(3)
        weight.grad = torch.ones(3)
        optimizer = fused.SGD([weight], lr=0.5)
        optimizer.step()
        assert torch.equal(weight, torch.full((3,), 0.5))


@pytest.mark.parametrize(
    ("name", "advice"),
    [("Adam", "SparseAdam")]
    + [(name, name) for name in ("Adadelta", "Adamax", "ASGD", "Lion", "NAdam", "RAdam", "RMSprop", "Rprop")],
)
def test_sparse_gradients_are_refused(name, advice):
    weight = torch.ones(3, requires_grad=True)
    optimizer = getattr(fused, name)([weight], lr=0.1)
    weight.grad = torch.ones(3)
    optimizer.step()
    weight.grad = torch.ones(3).to_sparse()
    with pytest.raises(RuntimeError, match=advice):
        optimizer.step()


def test_closures_and_hooks():
    weight = torch.ones(3, requires_grad=True)
    optimizer = fused.Adam([weight], lr=0.1)
    calls = []
    optimizer.register_step_pre_hook(lambda *_: calls.append("before"))
    optimizer.register_step_post_hook(lambda *_: calls.append("after"))

    def closure():
        calls.append("closure")
        optimizer.zero_grad()
        loss = (weight**2).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 3.0
    assert calls == ["before", "closure", "after"]
    assert (weight < 1).all()


def test_steps_stored_in_other_dtypes_are_counted():
    twins = start("adam-amsgrad-decay")
    for params, optimizer in both(twins):
        for param, dtype in zip(params, (torch.float64, torch.int64, torch.float32), strict=True):
            optimizer.state[param]["step"] = optimizer.state[param]["step"].to(dtype)
    twins.run(3, 4)
    assert [twins.ours.state[param]["step"].item() for param in twins.mine] == [4, 4, 4]


def test_layout_copy_keeps_gaps():
    assert layout_copy(random((6, 8))[:, ::2]).stride() == (8, 2)
