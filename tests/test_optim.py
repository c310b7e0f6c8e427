"""The face for people who train: torch's names, the tier that the flags and the device select."""

import importlib.util
import inspect
import subprocess
import sys

import pytest
import torch

from optbench import optim

names = pytest.mark.parametrize("name", optim.__all__)


def weights(**options):
    return [torch.nn.Parameter(torch.ones(3, **options))]


def tier(optimizer):
    return type(optimizer).__module__.split(".")[-2]


@names
@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({}, "fused"),
        ({"fused": True}, "fused"),
        ({"foreach": True}, "foreach"),
        ({"fused": True, "foreach": False}, "fused"),
        ({"foreach": False}, "reference"),
        ({"fused": False}, "reference"),
        ({"fused": False, "foreach": False}, "reference"),
        ({"differentiable": True}, "reference"),
    ],
)
def test_flags_select_the_tier(name, flags, expected):
    optimizer = getattr(optim, name)(weights(), **flags)
    assert isinstance(optimizer, torch.optim.Optimizer)
    assert tier(optimizer) == expected
    assert type(optimizer).__name__ == name
    for flag, value in flags.items():
        assert optimizer.param_groups[0][flag] is value


@names
def test_signature_is_torchs(name):
    def shape(function):
        parameters = list(inspect.signature(function).parameters.values())[1:]
        return [(parameter.name, parameter.kind, parameter.default) for parameter in parameters]

    assert shape(getattr(optim, name).__new__) == shape(getattr(torch.optim, name).__init__)


@names
def test_every_option_arrives(name):
    values = {
        "lr": 0.5, "betas": (0.1, 0.2), "eps": 0.25, "weight_decay": 0.125, "amsgrad": True, "maximize": True,
        "capturable": True, "decoupled_weight_decay": True, "momentum": 0.75, "nesterov": True, "dampening": 0,
    }  # fmt: skip
    accepted = inspect.signature(getattr(optim, name).__new__).parameters
    given = {key: value for key, value in values.items() if key in accepted}
    group = getattr(optim, name)(weights(), **given).param_groups[0]
    assert {key: group[key] for key in given} == given


@names
def test_parameters_come_in_every_form(name):
    layer = torch.nn.Linear(2, 2)
    for params in (
        layer.parameters(),
        layer.named_parameters(),
        iter([layer.weight]),
        [{"params": layer.weight}, {"params": [layer.bias], "lr": 0.5}],
        {layer.weight: None},
    ):
        optimizer = getattr(optim, name)(params, lr=0.1)
        assert tier(optimizer) == "fused"
        assert optimizer.param_groups[0]["params"][0] is layer.weight


@names
def test_torch_refusals_are_kept(name):
    for params, error in ((weights()[0], TypeError), ([], ValueError), (3, TypeError)):
        with pytest.raises(error):
            getattr(torch.optim, name)(params)
        with pytest.raises(error):
            getattr(optim, name)(params)
    with pytest.raises(ValueError, match="learning rate: -1"):
        getattr(optim, name)(weights(), lr=-1)
    with pytest.raises(RuntimeError, match="fused"):
        getattr(optim, name)(weights(), fused=True, foreach=True)


def test_sparse_gradients_and_differentiable_groups_take_the_reference():
    layer = torch.nn.Embedding(4, 2, sparse=True)
    layer(torch.tensor([1])).sum().backward()
    optimizer = optim.SGD(layer.parameters(), lr=0.1)
    assert tier(optimizer) == "reference"
    optimizer.step()
    assert optim.choose_tier([{"params": weights(), "differentiable": True}]) == "reference"


def test_devices_without_a_compiler_take_foreach(monkeypatch):
    params = weights(device="meta")
    assert optim.choose_tier(params) == "foreach"
    # torch.device("cuda") needs no GPU to be named.
    monkeypatch.setattr(optim, "_tensors", lambda params: [type("P", (), {"device": torch.device("cuda")})])
    monkeypatch.setattr(optim, "_is_sparse", lambda tensor: False)
    for found, expected in ((object(), "fused"), (None, "foreach")):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name, found=found: found)
        assert optim.choose_tier(params) == expected


@names
def test_checkpoints_go_to_torch_and_back(name):
    params = weights()
    ours = getattr(optim, name)(params, lr=0.1)
    params[0].grad = torch.ones(3)
    ours.step()
    theirs = getattr(torch.optim, name)(params, lr=0.2)
    theirs.load_state_dict(ours.state_dict())
    theirs.step()
    ours.load_state_dict(theirs.state_dict())
    ours.step()
    assert ours.param_groups[0]["lr"] == 0.1


def test_no_tier_is_imported_before_it_is_chosen():
    program = """
import sys
sys.path.insert(0, ".")
import optbench.optim
print([name for name in sys.modules if name.startswith(("optbench.impls", "optbench.reference"))])
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.strip() == "[]"
