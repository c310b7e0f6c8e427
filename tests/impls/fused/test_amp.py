"""GradScaler leaves unscaling, and skipping, to the step."""

import copy

import pytest
import torch
from optbench.impls import fused

from .support import CONFIGS, random

configs = pytest.mark.parametrize(
    "config",
    ["adam-amsgrad-decay", "sgd-momentum", "adadelta", "adagrad", "adamax", "asgd", "lion", "nadam", "radam", "rmsprop",
     "rprop"],
)


def make(config, dtype=torch.float32):
    name, options = CONFIGS[config]
    params = [random((5,), dtype).requires_grad_(), random((3, 4), dtype, 1).t().requires_grad_()]
    return params, getattr(fused, name)(params, **options)


def give(params, scale, seed=2):
    for index, param in enumerate(params):
        param.grad = random(param.shape, param.dtype, seed + index) * scale


@configs
@pytest.mark.parametrize("unscaled", [False, True])
def test_scaled_steps_equal_plain_ones(config, unscaled):
    scale = 1024.0
    plain, plain_optimizer = make(config)
    scaled, scaled_optimizer = make(config)
    scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    for seed in range(3):
        give(plain, 1.0, seed)
        plain_optimizer.step()
        give(scaled, scale, seed)
        scaler.scale(torch.zeros(()))
        if unscaled:
            scaler.unscale_(scaled_optimizer)
        before = [param.grad.clone() for param in scaled]
        scaler.step(scaled_optimizer)
        scaler.update()
        assert all(torch.equal(a.grad, b) for a, b in zip(scaled, before, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(plain, scaled, strict=True))


@configs
@pytest.mark.parametrize("warm", [False, True])
def test_a_step_with_infinite_gradients_did_not_happen(config, warm):
    params, optimizer = make(config)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    if warm:
        give(params, 1.0)
        optimizer.step()
    give(params, 4.0)
    params[1].grad[0, 0] = float("inf")
    before, state = [param.detach().clone() for param in params], copy.deepcopy(optimizer.state_dict())
    scaler.scale(torch.zeros(()))
    scaler.step(optimizer)
    scaler.update()
    assert scaler.get_scale() == 2.0
    assert all(torch.equal(a, b) for a, b in zip(params, before, strict=True))
    after = optimizer.state_dict()["state"]
    assert after.keys() == state["state"].keys()
    for key, entries in after.items():
        assert all(torch.equal(value, state["state"][key][name]) for name, value in entries.items())
    give(params, 1.0)
    optimizer.step()
    assert all((a != b).all() for a, b in zip(params, before, strict=True))


def test_unscaling_loses_nothing_in_half_precision():
    param = torch.zeros(4, dtype=torch.float16, requires_grad=True)
    # Unscaled in float16, this gradient would be zero.
    param.grad = torch.full((4,), 1e-3, dtype=torch.float16)
    optimizer = fused.SGD([param], lr=2.0**20)
    optimizer.grad_scale = torch.tensor(2.0**20)
    optimizer.found_inf = torch.tensor(0.0)
    optimizer.step()
    assert torch.equal(param.detach(), -torch.full((4,), 1e-3, dtype=torch.float16))
