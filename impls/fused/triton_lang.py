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
def minimum(first, second):
    return tl.minimum(first, second, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def absolute(value):
    return tl.abs(value)


@triton.jit
def sign(value):
    return tl.where(value > 0.0, 1.0, tl.where(value < 0.0, -1.0, 0.0))


@triton.jit
def power(base, exponent):
    # Libraries of devices have one, the interpreter has not. 0 * log(0) would be NaN.
    return tl.where(exponent == 0.0, 1.0, tl.exp(exponent * tl.log(base)))


@triton.jit
def widen(value):
    """A stored number as one to compute with. uint16: the bits of bfloat16, which the interpreter converts wrongly."""
    if value.dtype == tl.uint16:
        value = (value.to(tl.uint32) << 16).to(tl.float32, bitcast=True)
    return value


@triton.jit
def narrow(value, storage: tl.constexpr):
    """Round to a storage type, once."""
    if storage == tl.uint16:
        bits = value.to(tl.float32).to(tl.uint32, bitcast=True)
        value = tl.where(value == value, (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16, 0x7FC0)
    return value.to(storage)


@triton.jit
def stored_product(stored, factor, storage: tl.constexpr):
    product = stored * factor
    if storage != tl.float64:
        product = stored.to(tl.float32) * factor.to(tl.float32)
    return widen(narrow(product, storage)).to(tl.float64)


@triton.jit
def log(value):
    return tl.log(value)


@triton.jit
def sin(value):
    # A device's own keeps a table in memory, to take turns off large angles. These are terms of the series up to the
    # 23rd power, each a share of the one before.
    square = value * value
    series = 1.0 - square / 506.0
    series = 1.0 - square / 420.0 * series
    series = 1.0 - square / 342.0 * series
    series = 1.0 - square / 272.0 * series
    series = 1.0 - square / 210.0 * series
    series = 1.0 - square / 156.0 * series
    series = 1.0 - square / 110.0 * series
    series = 1.0 - square / 72.0 * series
    series = 1.0 - square / 42.0 * series
    series = 1.0 - square / 20.0 * series
    series = 1.0 - square / 6.0 * series
    return value * series


@triton.jit
def floor(value):
    return tl.floor(value)


@triton.jit
def expm1(value):
    # Kahan's identity: the rounding error of exp cancels between numerator and logarithm.
    exponential = tl.exp(value)
    difference = exponential - 1.0
    quotient = difference * value / tl.log(exponential)
    result = tl.where(exponential == 1.0, value, quotient)
    return tl.where(difference == -1.0, difference, result)
