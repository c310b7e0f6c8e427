"""The scaled error is 1 where rounding ends, and large where a formula is wrong."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from optbench.trials.error import Quantity, quantity, scaled, spacing, worst

DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(value=st.floats(-6e4, 6e4, allow_nan=False), kind=st.sampled_from([torch.float32, torch.float64]))
def test_spacing_is_the_distance_to_the_next_number(value: float, kind: torch.dtype) -> None:
    x = torch.tensor([value], dtype=kind).abs()
    following = torch.nextafter(x, torch.tensor([math.inf], dtype=kind))
    assert spacing(x.double(), kind).item() == (following.double() - x.double()).item()


@pytest.mark.parametrize("dtype", (torch.bfloat16, torch.float16))
def test_spacing_of_every_16_bit_number(dtype: torch.dtype) -> None:
    every = torch.arange(0, 2**15 - 1, dtype=torch.int32).to(torch.int16).view(dtype).double()
    finite = every[every.isfinite()]
    assert torch.equal(spacing(finite[:-1], dtype), finite[1:] - finite[:-1])


def _quantity(expected: torch.Tensor, dtype: torch.dtype) -> Quantity:
    return quantity(expected, torch.zeros_like(expected), None, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rounding_once_scores_at_most_a_half(dtype: torch.dtype) -> None:
    expected = torch.randn(500, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 100
    assert worst(scaled(expected.to(dtype), _quantity(expected, dtype))) <= 0.5


@pytest.mark.parametrize("dtype", DTYPES)
def test_one_spacing_off_scores_one(dtype: torch.dtype) -> None:
    expected = torch.tensor([1.0, -3.0, 1000.0], dtype=torch.float64)
    off = expected + spacing(expected, dtype)
    assert worst(scaled(off, _quantity(expected, dtype))) == 1.0


@pytest.mark.parametrize("wrong", (math.nan, math.inf, -math.inf))
def test_a_non_finite_result_is_infinitely_wrong(wrong: float) -> None:
    expected = torch.tensor([1.0, 2.0], dtype=torch.float64)
    actual = torch.tensor([1.0, wrong])
    error = scaled(actual, _quantity(expected, torch.float32))
    assert error.tolist() == [0.0, math.inf]


def test_what_overflows_the_dtype_has_to_overflow() -> None:
    expected = torch.tensor([1e6, -1e6, math.nan], dtype=torch.float64)
    judged = _quantity(expected, torch.float16)
    right = torch.tensor([math.inf, -math.inf, math.nan], dtype=torch.float16)
    assert worst(scaled(right, judged)) == 0.0
    assert worst(scaled(-right, judged)) == math.inf
    assert worst(scaled(torch.full((3,), 6e4, dtype=torch.float16), judged)) == math.inf


def test_nothing_at_all_has_no_error() -> None:
    assert worst(torch.zeros(0)) == 0.0


def test_the_cap_follows_an_honest_error() -> None:
    expected = torch.ones(3, dtype=torch.float64)
    whole = _quantity(expected, torch.float32)
    first, second = whole.split([torch.Size([1]), torch.Size([2, 1])], torch.tensor([10.0, 0.0, 2.0]))
    assert (first.honest, first.cap) == (10.0, 21.0)
    assert (second.honest, second.cap, second.expected.shape) == (2.0, 8.0, (2, 1))
