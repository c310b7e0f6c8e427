"""Triton's versions of the operations in `lang`. Imported only by `lang.for_triton`."""

# Triton reads a kernel's annotations as part of its language, so kernels have none but Triton's.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def where(condition, first, second):
    return tl.where(condition, first, second)


@triton.jit
def sqrt(value):
    # sqrt_rn takes float32 only, and sqrt is correctly rounded in float64.
    return tl.sqrt_rn(value) if value.dtype == tl.float32 else tl.sqrt(value)


@triton.jit
def div(numerator, denominator):
    # div_rn takes float32 only, and the operator is correctly rounded in float64.
    return tl.div_rn(numerator, denominator) if denominator.dtype == tl.float32 else numerator / denominator


@triton.jit
def maximum(first, second):
    return tl.maximum(first, second, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def log(value):
    return tl.log(value)


@triton.jit
def expm1(value):
    # Kahan's identity: the rounding error of exp cancels between numerator and logarithm.
    exponential = tl.exp(value)
    difference = exponential - 1.0
    quotient = difference * value / tl.log(exponential)
    result = tl.where(exponential == 1.0, value, quotient)
    return tl.where(difference == -1.0, difference, result)
