"""A foreach optimizer stands in for torch's: the same state, interchange of checkpoints, hooks, copies, scaling."""

import copy
import inspect
import pickle

import pytest
import torch
from optbench.impls import foreach

from .plain import THEIRS

CASES = [
    ("Adadelta", {}),
    ("Adadelta", {"weight_decay": 0.1}),
    ("Adagrad", {}),
    ("Adagrad", {"lr_decay": 0.1, "initial_accumulator_value": 0.5, "weight_decay": 0.1}),
    ("Adam", {}),
    ("Adam", {"amsgrad": True, "weight_decay": 0.1}),
    ("AdamW", {}),
    ("Adamax", {}),
    ("Adamax", {"weight_decay": 0.1}),
    ("ASGD", {}),
    ("ASGD", {"t0": 2, "lambd": 0.1, "weight_decay": 0.1}),
    ("Lion", {}),
    ("Lion", {"weight_decay": 0.1}),
    ("NAdam", {}),
    ("NAdam", {"weight_decay": 0.1, "momentum_decay": 0.1}),
    ("NAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {}),
    ("RAdam", {"weight_decay": 0.1, "betas": (0.5, 0.9)}),
    ("RAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RMSprop", {}),
    ("RMSprop", {"momentum": 0.9, "centered": True, "weight_decay": 0.1}),
    ("Rprop", {}),
    ("Rprop", {"etas": (0.3, 1.7), "step_sizes": (0.05, 0.2)}),
    ("SGD", {}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
]
cases = pytest.mark.parametrize(("name", "options"), CASES)


def takes(name, option):
    return option in inspect.signature(getattr(foreach, name)).parameters


def new(module, name, options, params=None, **more):
    params = (
        [torch.nn.Parameter(tensor) for tensor in (torch.ones(3, 2), torch.full((5,), 2.0))]
        if params is None
        else params
    )
    return getattr(module, name)(params, lr=0.1, **options, **more)


def flat(optimizer):
    return [param for group in optimizer.param_groups for param in group["params"]]


def train(optimizer, steps=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        for param in flat(optimizer):
            param.grad = torch.randn(param.shape, generator=generator)
        optimizer.step()
    return optimizer


def assert_same(found, expected):
    for mine, its in zip(flat(found), flat(expected), strict=True):
        torch.testing.assert_close(mine, its)
    mine, its = found.state_dict(), expected.state_dict()
    assert mine["param_groups"] == its["param_groups"]
    assert list(mine["state"]) == list(its["state"])
    for key, entry in mine["state"].items():
        assert list(entry) == list(its["state"][key])
        for name, value in entry.items():
            other = its["state"][key][name]
            assert (value.dtype, value.device, value.shape) == (other.dtype, other.device, other.shape)
            torch.testing.assert_close(value, other)


@cases
def test_state_dict_is_torchs(name, options):
    assert_same(train(new(foreach, name, options)), train(new(THEIRS, name, options)))


@cases
@pytest.mark.parametrize("source", ["torch", "ours"])
def test_checkpoints_go_both_ways(name, options, source):
    modules = {"torch": THEIRS, "ours": foreach}
    first, second = modules.pop(source), modules.popitem()[1]
    begun = train(new(first, name, options))
    resumed = new(second, name, options, [torch.nn.Parameter(param.detach().clone()) for param in flat(begun)])
    resumed.load_state_dict(copy.deepcopy(begun.state_dict()))
    assert_same(train(resumed, seed=7), train(begun, seed=7))


FLAGS = [{"foreach": True}, {"foreach": False}, {"fused": True}, {"fused": False}]


@pytest.mark.parametrize(
    ("name", "options", "flags"),
    [(name, options, flags) for name, options in CASES for flags in FLAGS if takes(name, *flags)],
)
def test_flags_change_nothing_that_is_computed(name, options, flags):
    plain, flagged = train(new(foreach, name, options)), train(new(foreach, name, options, **flags))
    for mine, its in zip(flat(plain), flat(flagged), strict=True):
        assert torch.equal(mine, its)
    assert not hasattr(flagged, "_step_supports_amp_scaling")


def test_fused_refuses_complex_parameters():
    for name in ("Adagrad", "Adam", "Lion", "SGD"):
        param = torch.nn.Parameter(torch.ones(3, dtype=torch.complex64))
        param.grad = torch.ones_like(param)
        with pytest.raises(RuntimeError, match=r"floating point Tensors but got torch\.complex64"):
            new(foreach, name, {}, [param], fused=True).step()


CAPTURABLE = sorted({name for name, _ in CASES if takes(name, "capturable")})


@pytest.mark.parametrize("name", sorted(set(CAPTURABLE) - {"Lion"}))
def test_capturable_turned_on_moves_the_step(name):
    param = torch.nn.Parameter(torch.ones(3, device="meta"))
    param.grad = torch.ones_like(param)
    # a state's first value is read, which lr=0.1 is
    optimizer = getattr(foreach, name)([param], lr=0.1, capturable=True)
    optimizer.step()
    for key in optimizer.scalar_state:
        optimizer.state[param][key] = torch.tensor(1.0)
    optimizer.step()
    for key in optimizer.scalar_state:
        assert optimizer.state[param][key].device.type == "meta"


@cases
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_copies_go_on_alone(name, options, duplicate):
    original = train(new(foreach, name, options))
    twin = duplicate(original)
    before = [param.detach().clone() for param in flat(original)]
    train(twin, seed=5)
    assert all(torch.equal(param, value) for param, value in zip(flat(original), before, strict=True))
    assert_same(train(original, seed=5), twin)


@cases
def test_hooks_and_closure(name, options):
    optimizer = new(foreach, name, options)
    calls = []
    optimizer.register_step_pre_hook(lambda *_: calls.append("pre"))
    optimizer.register_step_post_hook(lambda *_: calls.append("post"))

    def closure():
        calls.append("closure")
        optimizer.zero_grad()
        loss = sum((param**2).sum() for param in flat(optimizer))
        loss.backward()
        return loss

    before = [param.detach().clone() for param in flat(optimizer)]
    loss = optimizer.step(closure)
    assert loss.item() == 26.0
    assert calls == ["pre", "closure", "post"]
    assert all((param < value).all() for param, value in zip(flat(optimizer), before, strict=True))


@cases
@pytest.mark.parametrize("maximize", [False, True])
def test_versions_rise_and_nothing_is_shared(name, options, maximize):
    optimizer = new(foreach, name, options, maximize=maximize)
    complex_param = torch.nn.Parameter(torch.ones(2, dtype=torch.complex64))
    optimizer.add_param_group({"params": [complex_param]})
    params = flat(optimizer)
    lr = optimizer.param_groups[0]["lr"] = torch.tensor(0.1)
    for step in range(3):
        for param in params:
            param.grad = torch.full_like(param, 0.5 + step)
        kept = [(param.grad, param.grad.clone()) for param in params]
        versions = [param._version for param in params]
        optimizer.step()
        assert all(param._version > version for param, version in zip(params, versions, strict=True))
        assert all(grad._version == 0 and torch.equal(grad, value) for grad, value in kept)
    tensors = [*params, *(param.grad for param in params), lr]
    tensors += [value for entry in optimizer.state.values() for value in entry.values()]
    addresses = [tensor.untyped_storage().data_ptr() for tensor in tensors]
    assert len(set(addresses)) == len(addresses)


@cases
def test_a_step_without_gradients_leaves_no_trace(name, options):
    optimizer = new(foreach, name, options)
    before = [(param._version, param.detach().clone()) for param in flat(optimizer)]
    states = {param: list(entry) for param, entry in optimizer.state.items()}
    # torch's Adagrad too makes its state before the first step
    assert name == "Adagrad" or not states
    optimizer.step()
    assert states == {param: list(entry) for param, entry in optimizer.state.items()}
    assert not any(entry["step"] for entry in optimizer.state.values())
    for param, (version, value) in zip(flat(optimizer), before, strict=True):
        assert param._version == version and torch.equal(param, value)


@cases
@pytest.mark.parametrize("capturable", [False, True])
def test_tensor_rate_is_read_at_each_step_and_never_written(name, options, capturable):
    more = {"capturable": True} if capturable and takes(name, "capturable") else {}
    rate = torch.tensor([0.1])
    params = [torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(2))]
    optimizer = getattr(foreach, name)(params, lr=rate, **options, **more)
    expected = new(THEIRS, name, options, [torch.nn.Parameter(param.detach().clone()) for param in params])
    for number, value in enumerate((0.1, 0.05, 0.3)):
        rate.fill_(value)
        version = rate._version
        expected.param_groups[0]["lr"] = value
        train(optimizer, 1, seed=number)
        train(expected, 1, seed=number)
        assert optimizer.param_groups[0]["lr"] is rate and rate._version == version
    for mine, its in zip(params, flat(expected), strict=True):
        torch.testing.assert_close(mine, its)


@cases
def test_groups_keep_their_own_options(name, options):
    def groups():
        first, second = torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(4))
        return [{"params": [first]}, {"params": [second], "lr": 0.01, "weight_decay": 0.3}]

    assert_same(train(new(foreach, name, options, groups())), train(new(THEIRS, name, options, groups())))


@cases
def test_named_parameters(name, options):
    model = torch.nn.Linear(3, 2)
    optimizer = train(new(foreach, name, options, model.named_parameters()))
    assert optimizer.state_dict()["param_groups"][0]["param_names"] == ["weight", "bias"]


@pytest.mark.parametrize(
    ("name", "options", "flags"),
    [(*case, flags) for case in CASES for flags in ({}, {"fused": True}) if takes(case[0], *(flags or {"lr"}))],
)
def test_grad_scaler(name, options, flags):
    optimizer, plain = new(foreach, name, options, **flags), new(THEIRS, name, options)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    for finite in (True, False, True):
        for param, other in zip(flat(optimizer), flat(plain), strict=True):
            param.grad = torch.full_like(param, 512.0 if finite else torch.inf)
            other.grad = torch.full_like(param, 512.0) / scaler.get_scale() if finite else None
        # scale() makes the scaler ready
        scaler.scale(torch.ones(()))
        scaler.step(optimizer)
        scaler.update()
        plain.step()
    for mine, its in zip(flat(optimizer), flat(plain), strict=True):
        torch.testing.assert_close(mine, its)


def test_adamw_is_adam():
    assert issubclass(foreach.AdamW, foreach.Adam)
    param = torch.nn.Parameter(torch.ones(3))
    assert foreach.AdamW([param]).param_groups[0]["decoupled_weight_decay"] is True
