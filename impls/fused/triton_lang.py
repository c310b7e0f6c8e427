"""Triton's versions of the operations in `lang`. Imported only by `lang.for_triton`."""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl


@triton.jit
def where(condition: Any, first: Any, second: Any) -> Any:
    return tl.where(condition, first, second)


@triton.jit
def sqrt(value: Any) -> Any:
    # sqrt_rn takes float32 only, and sqrt is correctly rounded in float64.
    if value.dtype == tl.float32:
        result = tl.sqrt_rn(value)
    else:
        result = tl.sqrt(value)
    return result


@triton.jit
def div(numerator: Any, denominator: Any) -> Any:
    # div_rn takes float32 only, and the operator is correctly rounded in float64.
    if denominator.dtype == tl.float32:
        result = tl.div_rn(numerator, denominator)
    else:
        result = numerator / denominator
    return result


@triton.jit
def maximum(first: Any, second: Any) -> Any:
    return tl.maximum(first, second, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def log(value: Any) -> Any:
    return tl.log(value)


@triton.jit
def expm1(value: Any) -> Any:
    # Kahan's identity: the rounding error of exp cancels between numerator and logarithm.
    exponential = tl.exp(value)
    difference = exponential - 1.0
    quotient = difference * value / tl.log(exponential)
    result = tl.where(exponential == 1.0, value, quotient)
    return tl.where(difference == -1.0, difference, result)
