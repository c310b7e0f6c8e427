"""The faces of schedulers and averages: torch's names, the tier that rates and device select."""

import inspect
import pickle
import pydoc

import pytest
import torch

from optbench import optim, subjects
from optbench.optim import lr_scheduler, swa_utils

SCHEDULERS = [subject for subject in subjects.select("schedulers") if subject.module == "lr_scheduler"]
names = pytest.mark.parametrize("name", [subject.class_name for subject in SCHEDULERS])
FUNCTIONS = [name for name in swa_utils.__all__ if name.startswith("get_")]


def factor(epoch):
    return 0.5


def optimizer(lr=0.1):
    return torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=lr, momentum=0.9)


def arguments(name, made):
    """What a scheduler has to be given."""
    parts = [lr_scheduler.ConstantLR(made), lr_scheduler.ExponentialLR(made, gamma=0.5)]
    given = {
        "LambdaLR": {"lr_lambda": factor},
        "MultiplicativeLR": {"lr_lambda": factor},
        "StepLR": {"step_size": 2},
        "MultiStepLR": {"milestones": [2]},
        "ExponentialLR": {"gamma": 0.5},
        "CosineAnnealingLR": {"T_max": 4},
        "CyclicLR": {"base_lr": 0.1, "max_lr": 1.0},
        "OneCycleLR": {"max_lr": 1.0, "total_steps": 9},
        "CosineAnnealingWarmRestarts": {"T_0": 3},
        "SequentialLR": {"schedulers": parts, "milestones": [2]},
    }.get(name, {})
    return {"schedulers": parts} if name == "ChainedScheduler" else {"optimizer": made, **given}


def tier(made):
    return type(made).__module__.split(".")[-3]


@names
def test_numbers_select_foreach_and_tensors_fused(name):
    for lr, expected in ((0.1, "foreach"), (torch.tensor(0.1), "fused")):
        made = optimizer(lr)
        scheduler = getattr(lr_scheduler, name)(**arguments(name, made))
        assert tier(scheduler) == expected and type(scheduler).__name__ == name
        assert isinstance(scheduler, getattr(lr_scheduler, name))
        assert isinstance(scheduler, (lr_scheduler.LRScheduler, torch.optim.lr_scheduler.LRScheduler))
        assert not isinstance(scheduler, lr_scheduler.StepLR if name != "StepLR" else lr_scheduler.LambdaLR)


@names
def test_a_checkpoint_goes_to_torch(name):
    states = []
    for module in (lr_scheduler, torch.optim.lr_scheduler):
        made = optimizer()
        scheduler = getattr(module, name)(**arguments(name, made))
        for _ in range(3):
            made.step()
            scheduler.step(*[1.0] * (name == "ReduceLROnPlateau"))
        states.append((scheduler, made))
    (ours, _), (theirs, theirs_of) = states
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    theirs.load_state_dict(ours.state_dict())
    assert theirs.get_last_lr() == pytest.approx([group["lr"] for group in theirs_of.param_groups], rel=1e-12)


@names
def test_signature_is_torchs_and_help_shows_it(name):
    def shape(function):
        parameters = inspect.signature(function).parameters.values()
        return [(parameter.name, parameter.kind, parameter.default) for parameter in parameters]

    assert shape(getattr(lr_scheduler, name)) == shape(getattr(torch.optim.lr_scheduler, name))
    text = pydoc.plain(pydoc.render_doc(getattr(lr_scheduler, name)))
    assert f"class {name}(torch.optim.lr_scheduler.LRScheduler)" in text
    assert "Source: " in text and f"torch.optim.lr_scheduler.{name}" in text and "scheduler.step(" in text


@names
def test_what_torch_refuses_is_refused(name):
    with pytest.raises(TypeError):
        getattr(lr_scheduler, name)(3)
    with pytest.raises(TypeError, match=name):
        getattr(lr_scheduler, name)(optimizer(), nonsense=1)


def test_a_name_that_only_chooses_cannot_be_derived_from():
    with pytest.raises(TypeError, match=r"optim\.lr_scheduler\.StepLR.* optbench\.reference\.lr_scheduler\.StepLR"):
        type("Mine", (lr_scheduler.StepLR,), {})
    assert type("Mine", (lr_scheduler.LRScheduler,), {})


def test_names_are_torchs():
    theirs = {name for name in torch.optim.lr_scheduler.__all__ if name != "LRScheduler"}
    assert theirs == {subject.class_name for subject in SCHEDULERS}
    assert set(swa_utils.__all__) == set(torch.optim.swa_utils.__all__) <= set(dir(swa_utils))
    assert set(lr_scheduler.__all__) == theirs | {"LRScheduler"}


def test_modules_are_where_torchs_are():
    assert optim.lr_scheduler.OneCycleLR is lr_scheduler.OneCycleLR
    assert optim.swa_utils.SWALR is swa_utils.SWALR
    assert pickle.loads(pickle.dumps(lr_scheduler.StepLR)) is lr_scheduler.StepLR
    assert pickle.loads(pickle.dumps(optim.AdamW)) is optim.AdamW


def test_swalr_chooses_as_schedulers_do():
    for lr, expected in ((0.1, "foreach"), (torch.tensor(0.1), "fused")):
        scheduler = swa_utils.SWALR(optimizer(lr), swa_lr=0.05)
        assert tier(scheduler) == expected and isinstance(scheduler, swa_utils.SWALR)
    assert inspect.signature(swa_utils.SWALR) is not None


@pytest.mark.parametrize(
    ("accelerator", "triton", "expected"),
    [(False, False, "fused"), (False, True, "fused"), (True, True, "fused"), (True, False, "foreach")],
)
def test_averages_are_fused_where_that_can_run(monkeypatch, accelerator, triton, expected):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: accelerator)
    monkeypatch.setattr(swa_utils.importlib.util, "find_spec", lambda name: object() if triton else None)
    assert swa_utils.choose_tier() == expected
    for name in ("AveragedModel", "update_bn", *FUNCTIONS):
        own = getattr(getattr(swa_utils, name), "__module__")  # noqa: B009
        assert own.startswith((f"optbench.impls.{expected}.", "optbench.impls.common."))


def test_an_average_comes_of_it():
    model = torch.nn.Linear(3, 2)
    ema = swa_utils.AveragedModel(model, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.5))
    ema.update_parameters(model)
    before = ema.module.weight.detach().clone()
    with torch.no_grad():
        model.weight.add_(1.0)
    ema.update_parameters(model)
    assert torch.allclose(ema.module.weight, before + 0.5)
    assert isinstance(ema, torch.optim.swa_utils.AveragedModel)


def test_what_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="get_mean"):
        swa_utils.get_mean  # noqa: B018
