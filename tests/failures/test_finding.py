"""Where a failure is, read from the words in which laws say it."""

from __future__ import annotations

import pytest

from optbench.failures.finding import manner, place, told


@pytest.mark.parametrize(
    ("what", "step", "quantity", "parameter"),
    [
        ("step 2, exp_avg of parameter 0", 2, "exp_avg", 0),
        ("step 12, parameter 3", 12, "parameter", 3),
        ("step 3, after state.clear, exp_avg_sq of parameter 1", 3, "exp_avg_sq", 1),
        ("group with {'lr': 0.1}, parameter 0", None, "parameter", 0),
        ("memory around the gradient of parameter 2 is untouched", None, "memory", 2),
        ("step by step, lr of group 1 at epoch 40", 40, "lr", 1),
        ("update 3, weight1", 3, "weight1", None),
        ("is refused with ValueError", None, "is refused with ValueError", None),
    ],
)
def test_places(what: str, step: int | None, quantity: str, parameter: int | None) -> None:
    assert place(what) == {"step": step, "quantity": quantity, "parameter": parameter}


def test_failures_of_one_manner_differ_in_numbers_only() -> None:
    assert manner("step 2, parameter 0: scaled error 9") == manner("step 1, parameter 3: scaled error 12 (cap 8)")
    assert manner("step 2, parameter 0: x") != manner("step 2, exp_avg of parameter 0: x")


def test_what_is_told() -> None:
    assert told(None) == told({"step": 1}) == ""
    assert told({"options": {}, "likely": ""}) == "Appears with every option at its default."
    assert told({"options": {"eps": "1", "dtype": "bfloat16"}, "likely": "eps placement"}) == (
        "Appears with eps=1, dtype=bfloat16. Likely: eps placement."
    )
