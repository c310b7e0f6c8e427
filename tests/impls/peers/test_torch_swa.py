"""torch's averager must take the path that the adapter is named for."""

import inspect

import pytest
import torch
from optbench.impls.peers import torch_optim
from torch.optim import swa_utils

from optbench.registry import IMPLEMENTATIONS

PATHS = {"avg_fn": torch_optim.forloop, "multi_avg_fn": torch_optim.foreach}


def model(value: float) -> torch.nn.Module:
    module = torch.nn.Linear(2, 1, bias=False)
    torch.nn.init.constant_(module.weight, value)
    return module


def averaged(averager, *values: float) -> float:
    for value in values:
        averager.update_parameters(model(value))
    return averager.module.weight[0, 0].item()


@pytest.mark.parametrize("argument", PATHS)
def test_a_model_without_a_function_takes_the_mean_on_the_named_path(argument):
    averager = PATHS[argument]("swa_utils.AveragedModel")(model(0.0))
    assert type(averager) is swa_utils.AveragedModel
    other = next(name for name in PATHS if name != argument)
    assert getattr(averager, argument) is not None and getattr(averager, other) is None
    assert averaged(averager, 1.0, 2.0, 6.0) == 3.0


@pytest.mark.parametrize(("argument", "name"), [("avg_fn", "get_ema_avg_fn"), ("multi_avg_fn", "get_ema_multi_avg_fn")])
def test_a_path_offers_its_own_exponential_average(argument, name):
    ema = PATHS[argument](f"swa_utils.{name}")(0.5)
    averager = PATHS[argument]("swa_utils.AveragedModel")(model(0.0), **{argument: ema}, use_buffers=True)
    assert getattr(averager, argument) is ema and averager.use_buffers
    assert averaged(averager, 4.0, 8.0) == 6.0


def test_a_callers_function_decides_the_path():
    keep = lambda averaged, current, count: averaged  # noqa: E731
    averager = torch_optim.foreach("swa_utils.AveragedModel")(model(0.0), None, keep)
    assert averager.avg_fn is keep and averager.multi_avg_fn is None


@pytest.mark.parametrize(
    ("factory", "name"),
    [
        (torch_optim.forloop, "swa_utils.get_ema_multi_avg_fn"),
        (torch_optim.foreach, "swa_utils.get_ema_avg_fn"),
        (torch_optim.fused, "swa_utils.AveragedModel"),
        (torch_optim.compiled, "swa_utils.AveragedModel"),
        (torch_optim.forloop, "swa_utils.Averaged"),
    ],
)
def test_a_path_that_torch_lacks_is_none(factory, name):
    assert factory(name) is None


@pytest.mark.parametrize("name", ["torch-forloop", "torch-foreach"])
def test_the_registry_loads_what_averaging_needs(name):
    averager = IMPLEMENTATIONS[name].load("AveragedModel", "swa_utils")
    assert inspect.signature(averager) == inspect.signature(swa_utils.AveragedModel)
    assert IMPLEMENTATIONS[name].load("update_bn", "swa_utils") is swa_utils.update_bn
