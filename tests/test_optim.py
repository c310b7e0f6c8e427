"""The face for people who train: torch's names, the tier that the flags and the device select."""

import importlib.util
import inspect
import pydoc
import re
import subprocess
import sys

import pytest
import torch

from optbench import optim

names = pytest.mark.parametrize("name", optim.__all__)
in_torch = pytest.mark.parametrize("name", [name for name in optim.__all__ if hasattr(torch.optim, name)])
FLAGS = [
    ({}, "fused"),
    ({"fused": True}, "fused"),
    ({"foreach": True}, "foreach"),
    ({"fused": True, "foreach": False}, "fused"),
    ({"foreach": False}, "reference"),
    ({"fused": False}, "reference"),
    ({"fused": False, "foreach": False}, "reference"),
    ({"differentiable": True}, "reference"),
]


def weights(**options):
    """One matrix: every optimizer takes it."""
    return [torch.nn.Parameter(torch.ones(3, 2, **options))]


def accepted(name):
    return inspect.signature(getattr(optim, name)).parameters


def step(name, optimizer):
    param = optimizer.param_groups[0]["params"][0]
    grad = torch.ones_like(param)
    param.grad = grad.to_sparse() if name == "SparseAdam" else grad
    optimizer.step(*[lambda: torch.ones(())] * (name == "LBFGS"))


def tier(optimizer):
    return type(optimizer).__module__.split(".")[-2]


@pytest.mark.parametrize(
    ("name", "flags", "expected"),
    [(name, flags, tier) for name in optim.__all__ for flags, tier in FLAGS if set(flags) <= set(accepted(name))],
)
def test_flags_select_the_tier(name, flags, expected):
    optimizer = getattr(optim, name)(weights(), **flags)
    assert isinstance(optimizer, torch.optim.Optimizer)
    assert tier(optimizer) == expected
    assert type(optimizer).__name__ == name
    for flag, value in flags.items():
        assert optimizer.param_groups[0][flag] is value


def test_flags_by_position_select_the_tier():
    assert tier(optim.Adagrad(weights(), 0.1, 0, 0, 0, 1e-10, True)) == "foreach"


@names
def test_an_optimizer_is_an_instance_of_its_name(name):
    optimizer = getattr(optim, name)(weights())
    assert isinstance(optimizer, getattr(optim, name))
    assert not isinstance(optimizer, optim.RAdam if name != "RAdam" else optim.Adam)
    if name in torch.optim.__all__:
        assert not isinstance(getattr(torch.optim, name)(weights()), getattr(optim, name))


def test_adamw_is_an_adam_as_in_torch():
    assert issubclass(torch.optim.AdamW, torch.optim.Adam)
    assert isinstance(optim.AdamW(weights()), optim.Adam) and not isinstance(optim.Adam(weights()), optim.AdamW)


def test_a_name_that_only_chooses_cannot_be_derived_from():
    with pytest.raises(TypeError, match=r"Mine cannot derive from optbench\.optim\.SGD.* optbench\.reference\.SGD"):
        type("Mine", (optim.SGD,), {})


@in_torch
def test_signature_is_torchs(name):
    def shape(function):
        parameters = inspect.signature(function).parameters.values()
        return [(parameter.name, parameter.kind, parameter.default) for parameter in parameters]

    assert shape(getattr(optim, name)) == shape(getattr(torch.optim, name))


@names
def test_help_shows_arguments_and_source(name):
    text = pydoc.plain(pydoc.render_doc(getattr(optim, name)))
    assert f"class {name}(torch.optim.optimizer.Optimizer)" in text
    assert re.search(rf"{name}\(params: .*, lr: ", text)
    assert "Source: " in text and "http" in text


@names
def test_every_option_arrives(name):
    values = {
        "lr": 0.5, "betas": (0.1, 0.2), "weight_decay": 0.125, "amsgrad": True, "maximize": True, "capturable": True,
        "decoupled_weight_decay": True, "momentum": 0.75, "nesterov": True, "rho": 0.5, "lr_decay": 0.25, "t0": 3.0,
        "initial_accumulator_value": 0.5, "centered": True, "etas": (0.25, 1.5), "step_sizes": (0.1, 2.0), "d": 1.5,
        "momentum_decay": 0.5, "beta2_decay": -0.5, "history_size": 3, "ns_steps": 2, "lambd": 0.5, "alpha": 0.5,
    }  # fmt: skip
    given = {key: value for key, value in values.items() if key in accepted(name)}
    group = getattr(optim, name)(weights(), **given).param_groups[0]
    assert {key: group[key] for key in given} == given


@names
def test_parameters_come_in_every_form(name):
    layer = torch.nn.Bilinear(1, 1, 2, bias=False) if name != "Muon" else torch.nn.Linear(2, 2, bias=False)
    other = torch.nn.Parameter(torch.ones(2, 2))
    groups = [{"params": layer.weight}, {"params": [other], "lr": 0.5}]
    for params in (
        layer.parameters(),
        layer.named_parameters(),
        iter([layer.weight]),
        groups[: 1 if name == "LBFGS" else 2],
        {layer.weight: None},
    ):
        optimizer = getattr(optim, name)(params, lr=0.1)
        assert tier(optimizer) == "fused"
        assert optimizer.param_groups[0]["params"][0] is layer.weight


@names
def test_torch_refusals_are_kept(name):
    for params, error in ((weights()[0], TypeError), ([], ValueError), (3, TypeError)):
        for cls in (getattr(torch.optim, name, None), getattr(optim, name)):
            if cls is not None:
                with pytest.raises(error):
                    cls(params)
    with pytest.raises(ValueError, match=r"-1"):
        getattr(optim, name)(weights(), lr=-1)
    with pytest.raises(TypeError, match=rf"^{name}: got an unexpected keyword argument 'lrr'"):
        getattr(optim, name)(weights(), lrr=1)
    with pytest.raises(TypeError, match=rf"^{name}: missing a required argument: 'params'"):
        getattr(optim, name)()
    if {"fused", "foreach"} <= set(accepted(name)):
        with pytest.raises(RuntimeError, match="fused"):
            getattr(optim, name)(weights(), fused=True, foreach=True)


@pytest.mark.parametrize("name", ["Adagrad", "SGD", "SparseAdam"])
def test_the_tier_that_is_chosen_takes_sparse_gradients(name):
    layer = torch.nn.Embedding(4, 2, sparse=True)
    before = layer.weight.detach().clone()
    optimizer = getattr(optim, name)(layer.parameters(), lr=0.1)
    layer(torch.tensor([1])).sum().backward()
    optimizer.step()
    assert tier(optimizer) == "fused"
    assert (layer.weight != before).any(1).tolist() == [False, True, False, False]


def test_sparse_parameters_and_differentiable_groups_take_the_reference():
    assert optim.choose_tier([torch.ones(2, 2).to_sparse()]) == "reference"
    assert optim.choose_tier([{"params": weights(), "differentiable": True}]) == "reference"


def test_devices_without_a_compiler_take_foreach(monkeypatch):
    params = weights(device="meta")
    assert optim.choose_tier(params) == "foreach"
    # torch.device("cuda") needs no GPU to be named.
    on_gpu = type("Parameter", (), {"device": torch.device("cuda"), "layout": torch.strided})
    monkeypatch.setattr(optim.optimizers, "_tensors", lambda params: [on_gpu])
    for found, expected in ((object(), "fused"), (None, "foreach")):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name, found=found: found)
        assert optim.choose_tier(params) == expected


@in_torch
def test_checkpoints_go_to_torch_and_back(name):
    params = weights()
    ours = getattr(optim, name)(params, lr=0.1)
    step(name, ours)
    theirs = getattr(torch.optim, name)(params, lr=0.2)
    theirs.load_state_dict(ours.state_dict())
    step(name, theirs)
    ours.load_state_dict(theirs.state_dict())
    step(name, ours)
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
