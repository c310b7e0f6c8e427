"""A checker counts, names the first failure, and never passes what compared nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from optbench.trials.base import Unsupported
from optbench.trials.checker import Checker
from optbench.trials.error import quantity


def test_no_comparison_is_a_failure() -> None:
    checker = Checker()
    assert checker.verdict == "fail"
    assert "no comparison" in checker.message


def test_the_first_failure_is_named_and_the_rest_counted() -> None:
    checker = Checker()
    checker.true("a", True)
    checker.true("b holds", False, "it does not")
    checker.same("c", 1, 2)
    assert checker.verdict == "fail"
    assert checker.message == "b holds: it does not (and 1 more)"
    assert checker.comparisons == 3


def test_equal_is_bitwise_and_looks_at_dtype_and_shape() -> None:
    for other in (torch.ones(3, dtype=torch.float64), torch.ones(1, 3), torch.tensor([1.0, 1.0, 1.0 + 2**-23])):
        checker = Checker()
        checker.equal("x", torch.ones(3), other)
        assert checker.verdict == "fail"
    checker = Checker()
    checker.equal("x", torch.tensor([float("nan"), 1.0]), torch.tensor([float("nan"), 1.0]))
    checker.equal("empty", torch.ones(0), torch.ones(0))
    assert checker.verdict == "pass"
    assert checker.comparisons == 3


def test_close_says_where_and_by_how_much() -> None:
    expected = torch.ones(2, 3, dtype=torch.float64)
    judged = quantity(expected, torch.zeros_like(expected), None, torch.float32)
    actual = torch.ones(2, 3)
    actual[1, 2] = 1.5
    checker = Checker()
    checker.close("step 1, parameter 0", actual, judged, torch.float32)
    assert checker.verdict == "fail"
    assert "1 of 6 elements, worst at [1, 2]: got 1.5, want 1" in checker.message


def test_a_wrong_shape_is_a_failure_not_an_exception() -> None:
    expected = torch.ones(3, dtype=torch.float64)
    judged = quantity(expected, torch.zeros_like(expected), None, torch.float32)
    checker = Checker()
    checker.close("x", torch.ones(1), judged, torch.float32)
    assert checker.verdict == "fail" and "shape [1]" in checker.message


def test_where_the_dtype_itself_is_imprecise_the_verdict_says_so() -> None:
    expected = torch.ones(1, dtype=torch.float64)
    honest = expected * (1 + 100 * 2**-23)
    judged = replace(quantity(expected, torch.zeros_like(expected), None, torch.float32), honest=100.0)
    checker = Checker()
    checker.close("x", honest.float(), judged, torch.float32)
    assert checker.verdict == "precision"


def test_cancellation_in_float64_is_no_wrong_formula_but_a_wrong_constant_is() -> None:
    expected = torch.ones(1, dtype=torch.float64)
    judged = quantity(expected, torch.zeros_like(expected), None, torch.float64)
    for factor, verdict in ((1 + 100 * 2**-52, "precision"), (1 + 1e-12, "fail")):
        checker = Checker()
        checker.close("x", expected * factor, judged, torch.float64)
        assert checker.verdict == verdict


@pytest.mark.parametrize(
    ("actual", "expected", "verdict"),
    [
        (1.0 + 9e-13, 1.0, "pass"),
        (1.0 + 2e-12, 1.0, "fail"),
        (5e-30 * (1 + 2e-12), 5e-30, "fail"),
        (0.0, 0.0, "pass"),
        (1e-300, 0.0, "fail"),
        (float("nan"), 1.0, "fail"),
        (float("inf"), float("inf"), "pass"),
    ],
)
def test_numbers_are_near_relative_to_what_is_expected(actual: float, expected: float, verdict: str) -> None:
    checker = Checker()
    checker.near("a rate", actual, expected)
    assert checker.verdict == verdict
    assert checker.comparisons == 1


def _refuse() -> None:
    raise ValueError("lr is -0.5")


@pytest.mark.parametrize(
    ("got", "want", "said"),
    [
        (0.30000000000000004, 0.3, ", a rounding apart"),
        (1.1e-17, 0.0, ", a rounding apart"),
        (0.0, 0.3, ""),
        (0.3 * (1 + 1e-9), 0.3, ""),
        (float("nan"), 0.3, ""),
        ("0.3", 0.3, ""),
    ],
)
def test_a_rounding_is_told_from_another_number(got: Any, want: float, said: str) -> None:
    checker = Checker()
    checker.same("lr", got, want)
    assert checker.message == f"lr: got {got!r}, want {want!r}{said}"


def test_a_refusal_has_a_type_and_names_the_value() -> None:
    checker = Checker()
    checker.raises("lr=-0.5", ValueError, _refuse, "-0.5")
    checker.raises("lr=-0.5", "ValueError", _refuse)
    assert (checker.verdict, checker.comparisons) == ("pass", 4)


@pytest.mark.parametrize(
    ("error", "doing", "names", "told"),
    [
        (TypeError, _refuse, "", "lr=-0.5 raises TypeError: ValueError: lr is -0.5"),
        (Exception, _refuse, "", "lr=-0.5 raises Exception: ValueError: lr is -0.5"),
        ("KeyError", _refuse, "", "lr=-0.5 raises KeyError: ValueError: lr is -0.5"),
        (ValueError, _refuse, "0.75", "lr=-0.5: the message names '0.75': lr is -0.5"),
        (ValueError, dict, "", "lr=-0.5 is refused with ValueError: it was accepted"),
    ],
)
def test_another_refusal_or_none_is_told(error: Any, doing: Any, names: str, told: str) -> None:
    checker = Checker()
    checker.raises("lr=-0.5", error, doing, names)
    assert checker.message == told


def test_what_is_not_supported_is_not_judged() -> None:
    def lacks() -> None:
        raise Unsupported("no such option: lr")

    with pytest.raises(Unsupported):
        Checker().raises("lr=-0.5", ValueError, lacks)
