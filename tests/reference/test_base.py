"""A reference optimizer stands in for torch's: state, groups, checkpoints, hooks, closures, scaling."""

import copy
import io
import pickle

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from optbench import reference
from tests.reference.support import (
    SCALARS,
    assert_bitwise,
    assert_same,
    build,
    cases,
    names,
    params_of,
    snapshot,
    takes,
    tensors,
    train,
)


@cases
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.complex128])
@pytest.mark.parametrize("default_dtype", [torch.float32, torch.float64])
def test_state_is_laid_out_as_torchs(name, options, dtype, default_dtype, monkeypatch):
    previous = torch.get_default_dtype()
    torch.set_default_dtype(default_dtype)
    try:
        ours, theirs = (
            train(build(module, name, tensors(dtype=dtype), foreach=False, **options), seeds=[1])
            for module in (reference, torch.optim)
        )
    finally:
        torch.set_default_dtype(previous)
    for param, their_param in zip(params_of(ours), params_of(theirs), strict=True):
        described, their_described = (
            {key: (value.dtype, value.shape, value.device, value.stride()) for key, value in state.items()}
            for state in (ours.state[param], theirs.state[their_param])
        )
        assert described == their_described
        assert list(described) == list(their_described)


@names
def test_fused_and_foreach_select_nothing_and_a_fused_step_is_single(name):
    plain, foreach = (train(build(reference, name, tensors(), **flags)) for flags in ({}, {"foreach": True}))
    assert_bitwise(foreach, plain)
    if not takes(name, "fused"):
        return
    assert_bitwise(train(build(reference, name, tensors(), fused=True)), plain)
    torch.set_default_dtype(torch.float64)
    try:
        fused = train(build(reference, name, tensors(), fused=True))
    finally:
        torch.set_default_dtype(torch.float32)
    assert all(state["step"].dtype == torch.float32 for state in fused.state.values() if "step" in state)


@cases
def test_a_parameter_without_gradient_is_left_alone(name, options):
    ours, theirs = (build(module, name, tensors(), **options) for module in (reference, torch.optim))
    for optimizer in (ours, theirs):
        params = params_of(optimizer)
        # The second has its first gradient late, the third none ever.
        for seed in (1, 2, 3):
            grads = tensors(seed)
            params[0].grad = grads[0] if seed != 2 else None
            params[1].grad = grads[1] if seed > 1 else None
            optimizer.step()
    assert torch.equal(params_of(ours)[2], tensors()[2])
    # Adagrad has its state before any gradient.
    assert (params_of(ours)[2] in ours.state) == (name == "Adagrad")
    assert len(ours.state) == len(theirs.state)
    assert_same(ours, theirs)
    if name != "SGD":
        assert [ours.state[param]["step"].item() for param in params_of(ours)[:2]] == [2, 2]


@cases
def test_what_the_caller_owns_is_left_alone_and_versions_rise(name, options):
    optimizer = train(build(reference, name, tensors(), **options), seeds=[1])
    grads = [param.grad.clone() for param in params_of(optimizer)]
    versions = [param._version for param in params_of(optimizer)]
    optimizer.step()
    for param, grad, version in zip(params_of(optimizer), grads, versions, strict=True):
        assert torch.equal(param.grad, grad)
        assert param.grad._version == 0
        assert param._version > version


@cases
def test_groups_keep_their_own_options(name, options):
    def grouped(module):
        first, second, third = tensors()
        groups = [{"params": [first], "lr": 0.01}, {"params": [second, third], "weight_decay": 0.5, "maximize": True}]
        optimizer = train(build(module, name, groups, **options))
        optimizer.add_param_group({"params": tensors(7, shapes=[(2, 2)]), "lr": 0.5})
        return train(optimizer)

    assert_same(grouped(reference), grouped(torch.optim))


@cases
def test_the_next_step_uses_what_was_replaced(name, options):
    def replaced(module):
        optimizer = train(build(module, name, tensors(), **options))
        first, second, third = params_of(optimizer)
        first.data = torch.full_like(first, 2.0)
        optimizer.state[second].clear()
        for key in optimizer.state[third].keys() - {"step"}:
            optimizer.state[third][key] = torch.full_like(optimizer.state[third][key], 0.25)
        return train(optimizer, seeds=[4])

    assert_same(replaced(reference), replaced(torch.optim))


@names
def test_names_and_generators_of_parameters_are_taken(name):
    named = build(reference, name, ((f"p{i}", tensor) for i, tensor in enumerate(tensors())))
    assert named.param_groups[0]["param_names"] == ["p0", "p1", "p2"]
    assert_bitwise(train(named), train(build(reference, name, iter(tensors()))))
    assert named.state_dict()["param_groups"][0]["param_names"] == ["p0", "p1", "p2"]


@names
@pytest.mark.parametrize("set_to_none", [True, False])
def test_zero_grad(name, set_to_none):
    optimizer = train(build(reference, name, tensors()))
    optimizer.zero_grad(set_to_none=set_to_none)
    for param in params_of(optimizer):
        assert param.grad is None if set_to_none else not param.grad.any()


@cases
@pytest.mark.parametrize(("source", "target"), [(reference, torch.optim), (torch.optim, reference)])
def test_a_checkpoint_goes_on_in_torch_and_from_torch(name, options, source, target):
    first = train(build(source, name, tensors(), **options))
    second = build(target, name, snapshot(first)[0], lr=0.5)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert_same(train(second, seeds=[4, 5]), train(first, seeds=[4, 5]))


def through_torch_save(optimizer, name):
    buffer = io.BytesIO()
    torch.save(optimizer.state_dict(), buffer)
    buffer.seek(0)
    fresh = build(reference, name, snapshot(optimizer)[0])
    fresh.load_state_dict(torch.load(buffer, weights_only=True))
    return fresh


COPIES = {
    "torch.save": through_torch_save,
    "deepcopy": lambda optimizer, name: copy.deepcopy(optimizer),
    "pickle": lambda optimizer, name: pickle.loads(pickle.dumps(optimizer)),
}


@cases
@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize("taken", [0, 2])
def test_a_copy_goes_on_bitwise(name, options, way, taken):
    original = train(build(reference, name, tensors(), **options), seeds=range(taken))
    copied = COPIES[way](original, name)
    before = snapshot(original)
    train(copied, seeds=[8, 9])
    torch.testing.assert_close(snapshot(original), before, rtol=0, atol=0)
    assert_bitwise(train(original, seeds=[8, 9]), copied)


@cases
def test_a_loaded_checkpoint_is_not_shared(name, options):
    source = train(build(torch.optim, name, tensors(), **options))
    state_dict = source.state_dict()
    before = copy.deepcopy(state_dict["state"])
    loaded = build(reference, name, tensors(), **options)
    loaded.load_state_dict(state_dict)
    train(loaded)
    torch.testing.assert_close(state_dict["state"], before, rtol=0, atol=0)


NEWER_OPTIONS = {
    "amsgrad", "capturable", "centered", "decoupled_weight_decay", "differentiable", "foreach", "fused", "maximize",
    "nesterov",
}  # fmt: skip


@names
@pytest.mark.parametrize(
    "kind", [int, float, lambda step: torch.tensor([float(step)]), lambda step: torch.tensor(step)]
)
def test_an_old_checkpoint_is_taken(name, kind):
    """Options that newer versions added are absent; the step is a number, or a tensor of another shape or dtype."""
    current = train(build(reference, name, tensors()))
    old = copy.deepcopy(current.state_dict())
    for group in old["param_groups"]:
        for key in group.keys() & NEWER_OPTIONS:
            del group[key]
    for state in old["state"].values():
        if "step" in state:
            state["step"] = kind(int(state["step"]))
        if kind in (int, float):
            state.update({key: float(state[key]) for key in SCALARS[1:] if key in state})
    theirs, ours = (build(module, name, snapshot(current)[0]) for module in (torch.optim, reference))
    ours.load_state_dict(copy.deepcopy(old))
    theirs.load_state_dict(copy.deepcopy(old))
    (group,), (their_group,) = ours.param_groups, theirs.param_groups
    assert {key: group[key] for key in group if key != "params"} == {
        key: their_group[key] for key in their_group if key != "params"
    }
    train(ours, seeds=[4])
    train(current, seeds=[4])
    torch.testing.assert_close(snapshot(ours)[0], snapshot(current)[0], rtol=0, atol=0)


@pytest.mark.parametrize("name", ["NAdam", "ASGD"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_state_without_dimensions_keeps_its_dtype_in_a_checkpoint(name, dtype):
    """torch casts it to the parameter's."""
    original = train(build(reference, name, tensors(dtype=dtype)))
    loaded = build(reference, name, snapshot(original)[0])
    loaded.load_state_dict(original.state_dict())
    for param in params_of(loaded):
        assert {loaded.state[param][key].dtype for key in SCALARS if key in loaded.state[param]} == {torch.float32}
    assert_bitwise(train(loaded, seeds=[4, 5]), train(original, seeds=[4, 5]))


def test_a_checkpoint_of_adam_goes_on_as_adamw_in_adamw():
    source = train(build(torch.optim, "Adam", tensors(), weight_decay=0.5))
    loaded = build(reference, "AdamW", tensors())
    loaded.load_state_dict(source.state_dict())
    assert loaded.param_groups[0]["decoupled_weight_decay"] is True


@names
def test_flags_that_a_checkpoint_brings_break_nothing(name):
    """torch refuses these where it is constructed, or at the step; a checkpoint may still hold them."""
    optimizer = train(build(reference, name, tensors()))
    expected = train(copy.deepcopy(optimizer), seeds=[4])
    state_dict = optimizer.state_dict()
    state_dict["param_groups"][0].update(fused=True, foreach=True, lr=torch.tensor(0.1))
    loaded = build(reference, name, snapshot(optimizer)[0])
    loaded.load_state_dict(state_dict)
    assert_same(train(loaded, seeds=[4]), expected)


@names
def test_hooks_run_in_torchs_order(name):
    def called(module):
        calls = []
        optimizer = build(module, name, tensors())
        handles = [
            register_optimizer_step_pre_hook(lambda *_: calls.append("global pre")),
            register_optimizer_step_post_hook(lambda *_: calls.append("global post")),
            optimizer.register_step_pre_hook(lambda *_: calls.append("pre")),
            optimizer.register_step_post_hook(lambda *_: calls.append("post")),
            optimizer.register_state_dict_pre_hook(lambda *_: calls.append("state_dict pre")),
            optimizer.register_state_dict_post_hook(lambda *_: calls.append("state_dict post")),
            optimizer.register_load_state_dict_pre_hook(lambda *_: calls.append("load pre")),
            optimizer.register_load_state_dict_post_hook(lambda *_: calls.append("load post")),
        ]
        train(optimizer, seeds=[1])
        optimizer.load_state_dict(optimizer.state_dict())
        optimizer.step(lambda: calls.append("closure"))
        for handle in handles:
            handle.remove()
        return calls

    assert called(reference) == called(torch.optim)
    assert called(reference)


@names
def test_a_load_hook_may_supply_the_state(name):
    source = train(build(reference, name, tensors()))
    loaded = build(reference, name, snapshot(source)[0])
    loaded.register_load_state_dict_pre_hook(lambda optimizer, wrapped: wrapped["inner"])
    loaded.load_state_dict({"inner": source.state_dict()})
    assert_bitwise(train(loaded, seeds=[4]), train(source, seeds=[4]))


@names
def test_a_closure_runs_once_with_gradients_and_gives_the_loss(name):
    param = torch.ones(3, requires_grad=True)
    optimizer = build(reference, name, [param])
    calls = []

    def closure():
        calls.append(torch.is_grad_enabled())
        optimizer.zero_grad()
        loss = (param**2).sum()
        loss.backward()
        return loss

    with torch.no_grad():
        loss = optimizer.step(closure)
        assert not torch.is_grad_enabled()
    assert calls == [True]
    assert loss.item() == 3.0
    assert (param < 1).all()
    assert optimizer.step() is None


@names
def test_a_failing_closure_restores_the_gradient_mode(name):
    optimizer = build(reference, name, tensors())
    with torch.no_grad():
        with pytest.raises(ZeroDivisionError):
            optimizer.step(lambda: 1 / 0)
        assert not torch.is_grad_enabled()


@cases
@pytest.mark.parametrize("unscale_first", [False, True])
def test_a_grad_scaler_skips_overflowing_steps_and_no_others(name, options, unscale_first):
    scaled, plain = (build(reference, name, tensors(), **options) for _ in range(2))
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    for seed in (1, 2, 3, 4):
        overflow = seed in (1, 3)
        for optimizer in (scaled, plain):
            for param, grad in zip(params_of(optimizer), tensors(seed), strict=True):
                param.grad = grad
        if overflow:
            params_of(scaled)[1].grad.fill_(torch.inf)
        scale = scaler.scale(torch.ones(())).item()
        for param in params_of(scaled):
            param.grad *= scale
        if unscale_first:
            scaler.unscale_(scaled)
        scaler.step(scaled)
        scaler.update()
        if not overflow:
            plain.step()
        assert_bitwise(scaled, plain)
    if name != "SGD":
        assert {state["step"].item() for state in scaled.state.values()} == {2.0}


@names
def test_schedulers_drive_it(name):
    optimizer = train(build(reference, name, tensors()))
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    train(optimizer)
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] == 0.05


def test_adagrad_has_its_state_from_construction_on_and_shares_it():
    groups = [{"params": tensors(shapes=[(2,)])}, {"params": tensors(shapes=[(3,)]), "initial_accumulator_value": 4.0}]
    optimizer = reference.Adagrad(groups, initial_accumulator_value=0.5)
    assert [optimizer.state[param]["sum"].tolist() for param in params_of(optimizer)] == [[0.5] * 2, [4.0] * 3]
    assert [optimizer.state[param]["step"].item() for param in params_of(optimizer)] == [0.0, 0.0]
    optimizer.share_memory()
    assert all(optimizer.state[param]["sum"].is_shared() for param in params_of(optimizer))


def test_a_changed_rate_reaches_asgd_a_step_late():
    param = torch.zeros(1)
    param.grad = torch.ones(1)
    optimizer = reference.ASGD([param], lr=1.0, lambd=0.0)
    positions = []
    for lr in (1.0, 8.0, 8.0):
        optimizer.param_groups[0]["lr"] = lr
        optimizer.step()
        positions.append(param.item())
    assert positions == [-1.0, -2.0, -10.0]


def test_asgd_averages_from_step_t0_plus_2_on():
    param = torch.zeros(1, dtype=torch.float64)
    optimizer = reference.ASGD([param], lr=0.5, lambd=0.0, t0=3.0)
    path = []
    for seed in range(8):
        param.grad = torch.tensor([float(seed % 3 - 1)], dtype=torch.float64)
        optimizer.step()
        path.append(param.item())
        # The weights are kept in float32.
        mean = sum(path[4:]) / len(path[4:]) if len(path) > 4 else path[-1]
        assert optimizer.state[param]["ax"].item() == pytest.approx(mean, rel=1e-6, abs=1e-7)


def test_rprop_compares_signs_even_of_gradients_whose_product_underflows():
    param = torch.zeros(2)
    optimizer = reference.Rprop([param], lr=0.5)
    for sign in (1.0, -1.0):
        param.grad = torch.tensor([1e-30, 1e-30 * sign])
        optimizer.step()
    assert optimizer.state[param]["step_size"].tolist() == pytest.approx([0.6, 0.25])
    assert param.tolist() == pytest.approx([-1.1, -0.5])
