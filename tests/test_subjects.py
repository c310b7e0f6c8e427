"""Declarations agree with torch's own constructors."""

from __future__ import annotations

import inspect

import pytest
import torch

from optbench import subjects
from optbench.errors import UsageError
from optbench.registry import materialise

# Flags that choose torch's path, and what is only about autograd, are no hyperparameters.
FLAGS = {"params", "foreach", "fused", "differentiable"}


@pytest.mark.parametrize("name", subjects.NAMES)
def test_options_and_defaults_are_torchs(name: str) -> None:
    subject = subjects.load(name)
    signature = inspect.signature(getattr(torch.optim, subject.class_name)).parameters
    assert {option.name: option.default for option in subject.options} == {
        key: parameter.default for key, parameter in signature.items() if key not in FLAGS
    }


@pytest.mark.parametrize("name", subjects.NAMES)
def test_state_entries_are_those_that_torch_keeps(name: str) -> None:
    subject = subjects.load(name)
    options = {"amsgrad": True} if "amsgrad" in subject.defaults else {"momentum": 0.9}
    param = torch.ones(3, requires_grad=True)
    param.grad = torch.ones(3)
    optimizer = getattr(torch.optim, subject.class_name)([param], foreach=False, **options)
    optimizer.step()
    full = subject.complete(options)
    assert {entry.name for entry in subject.state if entry.exists(full)} == set(optimizer.state[param])


@pytest.mark.parametrize("name", subjects.NAMES)
def test_every_declared_value_is_legal(name: str) -> None:
    subject = subjects.load(name)
    for option in subject.options:
        for value in option.values:
            options = {option.name: value, **({"momentum": 0.9} if option.name == "nesterov" else {})}
            getattr(torch.optim, subject.class_name)([torch.ones(1)], **materialise(options))


@pytest.mark.parametrize("name", subjects.NAMES)
def test_every_illegal_call_is_illegal_in_torch(name: str) -> None:
    subject = subjects.load(name)
    for illegal in subject.illegal:
        with pytest.raises((ValueError, RuntimeError)) as raised:
            getattr(torch.optim, subject.class_name)([torch.ones(1)], **materialise(illegal.options))
        assert type(raised.value).__name__ == illegal.error


def test_fewest_bytes() -> None:
    sgd, adam = subjects.load("sgd"), subjects.load("adam")
    assert sgd.bytes_per_element({}, 4) == 12
    assert sgd.bytes_per_element({"momentum": 0.9}, 4) == 20
    assert adam.bytes_per_element({}, 4) == 28
    assert adam.bytes_per_element({"amsgrad": True}, 4) == 36


def test_selection() -> None:
    assert [subject.name for subject in subjects.select("adam*")] == ["adam", "adamw"]
    assert [subject.name for subject in subjects.select("SGD, adam,sgd")] == ["sgd", "adam"]
    assert [subject.name for subject in subjects.select("all")] == list(subjects.NAMES)


@pytest.mark.parametrize(("wrong", "hint"), [("adma", "did you mean 'adam'"), ("", "names no algorithm")])
def test_an_unknown_name_is_met_with_the_nearest(wrong: str, hint: str) -> None:
    with pytest.raises(UsageError, match=hint):
        subjects.select(wrong)
