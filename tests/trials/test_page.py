"""The page's examples: all are asked for, they run with torch's names, and give the same each time."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch

from optbench.laws import page_examples
from optbench.registry import IMPLEMENTATIONS
from optbench.trials import page

EXAMPLES = [
    name
    for name, function in vars(page).items()
    if inspect.isfunction(function) and list(inspect.signature(function).parameters) == ["optim"]
]
TORCH = page.Names(page.torchs)


def flat(found: Any) -> list[Any]:
    return [item for each in found for item in flat(each)] if isinstance(found, (list, tuple)) else [found]


def test_every_example_is_asked_for_once() -> None:
    asked = [*page_examples._OF_SWA, *page_examples._OF_EMA]
    assert sorted(asked) == sorted(EXAMPLES)
    assert len(asked) >= 16


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_computes_the_same_twice(name: str) -> None:
    first, second = (flat(list(getattr(page, name)(TORCH))) for _ in range(2))
    assert len(first) == len(second) > 0
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other
    numbers = [item for item in first if isinstance(item, torch.Tensor)]
    assert all(number.isfinite().all() for number in numbers)


def test_names_are_those_of_the_implementation() -> None:
    from optbench.reference import lr_scheduler, swa_utils

    from optbench import reference

    names = page.names_of(IMPLEMENTATIONS["reference"])
    assert names.SGD is reference.SGD
    assert names.lr_scheduler.StepLR is lr_scheduler.StepLR
    assert names.swa_utils.AveragedModel is swa_utils.AveragedModel


def test_a_path_of_torchs_has_torchs_only_scheduler() -> None:
    names = page.names_of(IMPLEMENTATIONS["torch-foreach"])
    assert names.lr_scheduler.StepLR is torch.optim.lr_scheduler.StepLR
    assert names.swa_utils.SWALR is torch.optim.swa_utils.SWALR
