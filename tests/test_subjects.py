"""Declarations agree with torch's own constructors."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from torch.optim import swa_utils

from optbench import deviations, laws, reference, subjects
from optbench.errors import UsageError
from optbench.law import Scope
from optbench.registry import materialise
from optbench.runs.results import Result
from optbench.subjects._declare import REQUIRED

# Flags that choose torch's path, and what is only about autograd, are no hyperparameters.
FLAGS = {"params", "foreach", "fused", "differentiable"}
OPTIMIZERS = [subject.name for subject in subjects.select("optimizers")]


def _class(subject: subjects.Subject) -> Any:
    """torch's class, or where it has none the reference's."""
    return getattr(torch.optim if subject.in_torch else reference, subject.class_name)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_options_and_defaults_are_torchs(name: str) -> None:
    subject = subjects.load(name)
    signature = inspect.signature(_class(subject)).parameters
    assert {option.name: option.default for option in subject.options} == {
        key: parameter.default for key, parameter in signature.items() if key not in FLAGS
    }


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_state_entries_are_those_that_torch_keeps(name: str) -> None:
    subject = subjects.load(name)
    full = subject.complete(subject.fullest)
    found = set()
    for shape in ((4, 3),) if subject.dimensions else ((4, 3), (3,)):
        param = torch.ones(shape, requires_grad=True)
        param.grad = torch.ones(shape).to_sparse(1) if subject.sparse else torch.ones(shape)
        optimizer = _class(subject)([param], **subject.fullest)
        for _ in range(2):
            optimizer.step((lambda: 1.0) if subject.closure else None)
        found |= set(optimizer.state[param])
    assert {entry.name for entry in subject.state if entry.exists(full)} == found


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_declared_value_is_legal(name: str) -> None:
    subject = subjects.load(name)
    for option in subject.options:
        for value in option.values:
            _class(subject)([torch.ones(1, 1)], **materialise({option.name: value, **option.needs}))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_illegal_call_is_illegal_in_torch_or_a_deviation(name: str) -> None:
    subject = subjects.load(name)
    asked = laws.entries()["opt.errors"].cases(subject, Scope())
    cases = [case.id for case in asked if case.variant.startswith("illegal-")]
    for illegal, case in zip(subject.illegal, cases, strict=True):
        if deviations.explain(Result("opt.errors", "torch", name, "torch-forloop", "torch", False, case, "fail", 1)):
            _class(subject)([torch.ones(1, 1)], **materialise(illegal.options))
            continue
        with pytest.raises((ValueError, RuntimeError)) as raised:
            _class(subject)([torch.ones(1, 1)], **materialise(illegal.options))
        assert type(raised.value).__name__ == illegal.error


@pytest.mark.parametrize("name", ["ema", "swa"])
def test_averagers_take_what_torchs_averager_and_its_functions_take(name: str) -> None:
    subject = subjects.load(name)
    of_class = inspect.signature(swa_utils.AveragedModel).parameters
    arguments = dict(of_class)
    for form in ("avg_fn", "multi_avg_fn"):
        function = getattr(swa_utils, f"get_{name}_{form}")
        assert set(inspect.signature(function).parameters) == set(subject.defaults) - set(of_class)
        arguments |= inspect.signature(function).parameters
        for illegal in subject.illegal:
            with pytest.raises(ValueError, match=illegal.names):
                function(**illegal.options)
    assert subject.defaults == {key: arguments[key].default for key in subject.defaults}
    assert not subject.state
    assert subject.bytes_per_element({}, 4) == 12


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_what_laws_need_to_know_is_declared(name: str) -> None:
    subject = subjects.load(name)
    assert list(subject.tuned) == ["quadratic", "rosenbrock", "network"]
    assert all(set(options) <= set(subject.defaults) for options in subject.tuned.values())
    assert subject.legal(subject.crowd()) and subject.legal(subject.still)
    # What decays a parameter is called so, but for ASGD's lambd.
    assert {"lambd", "weight_decay"} & set(subject.defaults) == set(subject.still)
    kept = {"param", *(entry.name for entry in subject.state)}
    assert set(subject.results) <= kept


def test_a_crowd_leaves_out_what_is_idle_or_illegal_beside_it() -> None:
    sgd, adam = subjects.load("sgd"), subjects.load("adam")
    assert "nesterov" not in sgd.crowd() and sgd.crowd("dampening")["nesterov"] is True
    assert "capturable" not in adam.crowd() and adam.crowd()["amsgrad"] is True
    assert sgd.legal({"nesterov": True, "momentum": 0.9}) and not sgd.legal({"nesterov": True})


def test_fewest_bytes() -> None:
    sgd, adam = subjects.load("sgd"), subjects.load("adam")
    assert sgd.bytes_per_element({}, 4) == 12
    assert sgd.bytes_per_element({"momentum": 0.9}, 4) == 20
    assert adam.bytes_per_element({}, 4) == 28
    assert adam.bytes_per_element({"amsgrad": True}, 4) == 36
    # ASGD's average is written without being read while it is the parameter itself.
    assert subjects.load("asgd").bytes_per_element({}, 4) == 16
    assert subjects.load("rmsprop").bytes_per_element({"centered": True, "momentum": 0.9}, 4) == 36
    assert [subjects.load(name).bytes_per_element({}, 4) for name in ("adadelta", "nadam", "rprop")] == [28] * 3
    assert [subjects.load(name).bytes_per_element({}, 4) for name in ("adagrad", "lion", "muon")] == [20] * 3


def test_selection() -> None:
    assert [subject.name for subject in subjects.select("adam*")] == ["adam", "adamax", "adamw"]
    assert [subject.name for subject in subjects.select("SGD, adam,sgd")] == ["sgd", "adam"]
    assert [subject.name for subject in subjects.select("all")] == list(subjects.NAMES)


@pytest.mark.parametrize(("wrong", "hint"), [("adma", "did you mean 'adamax'"), ("", "names no algorithm")])
def test_an_unknown_name_is_met_with_the_nearest(wrong: str, hint: str) -> None:
    with pytest.raises(UsageError, match=hint):
        subjects.select(wrong)


SCHEDULERS = [subject.name for subject in subjects.select("schedulers")]


def _scheduler_class(subject: subjects.Subject) -> Any:
    return getattr(swa_utils if subject.module == "swa_utils" else torch.optim.lr_scheduler, subject.class_name)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_options_and_defaults_of_schedulers_are_torchs(name: str) -> None:
    subject = subjects.load(name)
    signature = inspect.signature(_scheduler_class(subject)).parameters
    assert {option.name: option.default for option in subject.options} == {
        key: REQUIRED if parameter.default is parameter.empty else parameter.default
        for key, parameter in signature.items()
        if key not in ("optimizer", "last_epoch")
    }
    assert all(subject.base.get(option.name, option.default) is not REQUIRED for option in subject.options)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_what_cases_of_a_scheduler_set_are_its_options(name: str) -> None:
    subject = subjects.load(name)
    illegal = [each.options for each in subject.illegal]
    for given in (subject.base, subject.fullest, *subject.degenerate, *illegal):
        assert set(given) <= set(subject.defaults)
    assert subject.fullest, "laws about state need options of their own"


def test_a_value_that_every_case_has_is_no_change_and_a_default_beside_it_is_one() -> None:
    plateau = subjects.load("reducelronplateau")
    assert plateau.base == {"patience": 2}
    assert plateau.changed({"patience": 2, "factor": 0.1}) == {}
    assert plateau.changed({"patience": 10}) == {"patience": 10}
