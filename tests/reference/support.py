"""Optimizers to compare, and short runs of them."""

import pytest
import torch

CASES = [
    ("Adam", {}),
    ("Adam", {"amsgrad": True, "weight_decay": 0.1, "maximize": True}),
    ("AdamW", {"amsgrad": True}),
    ("SGD", {}),
    ("SGD", {"momentum": 0.9, "weight_decay": 0.1, "nesterov": True}),
    ("SGD", {"momentum": 0.9, "dampening": 0.5, "maximize": True}),
]
cases = pytest.mark.parametrize(("name", "options"), CASES)
# SGD has no capturable.
capturable_cases = pytest.mark.parametrize(
    ("name", "options", "capturable"),
    [(name, options, flag) for name, options in CASES for flag in (False, True) if not (flag and name == "SGD")],
)
names = pytest.mark.parametrize("name", ["Adam", "AdamW", "SGD"])
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
