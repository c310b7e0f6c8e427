"""Optimizers to compare, and short runs of them."""

import inspect

import pytest
import torch

CASES = [
    ("Adam", {}),
    ("Adam", {"amsgrad": True, "weight_decay": 0.1, "maximize": True}),
    ("AdamW", {"amsgrad": True}),
    ("SGD", {}),
    ("SGD", {"momentum": 0.9, "weight_decay": 0.1, "nesterov": True}),
    ("SGD", {"momentum": 0.9, "dampening": 0.5, "maximize": True}),
    ("Adadelta", {"weight_decay": 0.1, "maximize": True}),
    ("Adagrad", {"lr_decay": 0.1, "initial_accumulator_value": 0.25, "weight_decay": 0.1}),
    ("Adamax", {"weight_decay": 0.1}),
    ("ASGD", {"t0": 1.0, "lambd": 0.05, "weight_decay": 0.1}),
    ("NAdam", {"weight_decay": 0.1, "maximize": True}),
    ("NAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RMSprop", {"weight_decay": 0.1}),
    ("RMSprop", {"momentum": 0.9, "centered": True}),
    ("Rprop", {"maximize": True}),
]
NAMES = list(dict.fromkeys(name for name, _ in CASES))
cases = pytest.mark.parametrize(("name", "options"), CASES)
names = pytest.mark.parametrize("name", NAMES)


def takes(name, option):
    """Whether a constructor has this option."""
    return option in inspect.signature(getattr(torch.optim, name)).parameters


capturable_names = pytest.mark.parametrize("name", [name for name in NAMES if takes(name, "capturable")])
capturable_cases = pytest.mark.parametrize(
    ("name", "options", "capturable"),
    [(name, options, flag) for name, options in CASES for flag in (False, True)[: 1 + takes(name, "capturable")]],
)
# State without dimensions, in the default dtype.
SCALARS = ("step", "eta", "mu", "mu_product")
# The only ones that take tensors as betas.
ADAMS = ("Adam", "AdamW")
SHAPES = [(3, 4), (), (5,)]


def build(module, name, params, **options):
    return getattr(module, name)(params, **{"lr": 0.1} | options)


def tensors(seed=0, dtype=torch.float32, shapes=SHAPES):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator).to(dtype) for shape in shapes]


def params_of(optimizer):
    return [param for group in optimizer.param_groups for param in group["params"]]


def train(optimizer, seeds=(1, 2, 3)):
    """One step a seed, with that seed's gradients."""
    for seed in seeds:
        params = params_of(optimizer)
        for param, grad in zip(params, tensors(seed, shapes=[param.shape for param in params]), strict=True):
            param.grad = grad.to(param.dtype)
        optimizer.step()
    return optimizer


def snapshot(optimizer):
    """Parameters and state, copied, in the order of the parameters."""
    params = params_of(optimizer)
    entries = [{key: value.clone() for key, value in optimizer.state.get(param, {}).items()} for param in params]
    return [param.detach().clone() for param in params], entries


def assert_same(ours, theirs, **tolerance):
    torch.testing.assert_close(snapshot(ours), snapshot(theirs), **tolerance)


def assert_bitwise(ours, theirs):
    assert_same(ours, theirs, rtol=0, atol=0, equal_nan=True)
