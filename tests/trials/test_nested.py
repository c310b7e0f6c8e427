"""Structures with tensors in them: walked, copied and compared to the last bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from optbench.trials import nested

STATE: dict[str, Any] = {"step": torch.tensor(3.0), "old": [torch.ones(2), (torch.zeros(3), None)], "n": 4}


def test_leaves_are_told_by_where_they_stand() -> None:
    assert [path for path, _ in nested.leaves(STATE)] == [
        "['step']", "['old'][0]", "['old'][1][0]", "['old'][1][1]", "['n']"
    ]  # fmt: skip


def test_a_copy_is_the_same_and_shares_nothing() -> None:
    twin = nested.copied(STATE)
    assert nested.difference(twin, STATE) == ""
    assert isinstance(twin["old"][1], tuple)
    twin["old"][0].zero_()
    twin["old"][1][0].add_(1)
    assert STATE["old"][0].tolist() == [1, 1] and STATE["old"][1][0].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({**STATE, "step": torch.tensor(4.0)}, "['step'] is tensor(4.), was tensor(3.)"),
        ({**STATE, "step": torch.tensor(3.0, dtype=torch.float64)}, "['step'] is"),
        ({**STATE, "n": 4.0}, "['n'] is 4.0, was 4"),
        ({**STATE, "more": 1}, "['more'] is new"),
        ({name: STATE[name] for name in ("step", "old")}, "['n'] is gone"),
    ],
)
def test_the_first_difference_is_told(changed: dict[str, Any], told: str) -> None:
    assert nested.difference(changed, STATE).startswith(told)


def test_nan_is_itself() -> None:
    values = [torch.tensor([float("nan"), 1.0]), float("nan")]
    assert nested.difference(nested.copied(values), values) == ""
    assert nested.difference([torch.tensor([float("nan"), 2.0]), float("nan")], values).startswith("[0] is")
