"""The scaled error: how far a result is from the oracle, in units of what rounding alone may do to it.

    error = |actual - expected| / (spacing(expected) + spacing(old) + move)

`spacing` is the distance of neighbouring numbers of the tested dtype; `old` is the parameter before the step (parameters
only); `move` is the largest change of the float64 oracle when every tensor input is moved by half a spacing. An
implementation that rounds its inputs and its result once scores about 1; honest float32 paths stay below 6, while a
constant that is wrong in the fourth digit scores in the hundreds.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

CAP = 8.0
# Where even the reference tier in the tested dtype is this far from the oracle, the dtype is the problem.
PRECISION_LIMIT = 64.0
# In float64 a constant wrong by 1e-12 scores thousands, so that what lies between the cap and this is cancellation
# (1 - beta2**t loses up to 250 eps at t = 2), not a wrong formula.
CANCELLATION_LIMIT = 512.0


@dataclass(frozen=True)
class Quantity:
    """What one tensor has to be after a step.

    Args:
        expected: float64, complex values as real pairs.
        move: largest change under half a spacing of change of the inputs, same shape.
        old: the parameter before the step, None for state.
        honest: scaled error of the reference tier run in the tested dtype on the same inputs.
    """

    expected: Tensor
    move: Tensor
    old: Tensor | None
    honest: float

    @property
    def cap(self) -> float:
        """The largest scaled error that is still honest on this case."""
        return max(CAP, 2 * self.honest + 1)


def real(tensor: Tensor) -> Tensor:
    """The tensor's values with complex numbers as a last dimension of real and imaginary part."""
    return torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor.resolve_neg()


def real_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype of the real and imaginary parts."""
    return dtype.to_real() if dtype.is_complex else dtype


def spacing(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Distance of neighbouring numbers of `dtype` at |x|, as float64.

    Example:
        >>> spacing(torch.tensor([1.0, 0.0], dtype=torch.float64), torch.float32).tolist()
        [1.1920928955078125e-07, 1.401298464324817e-45]
    """
    info = torch.finfo(dtype)
    _, exponent = torch.frexp(x)
    scale = torch.ldexp(torch.full_like(x, info.eps), exponent - 1)
    return torch.where(x == 0, 0.0, scale).clamp_min(info.tiny * info.eps)


def scaled(actual: Tensor, quantity: Quantity, dtype: torch.dtype) -> Tensor:
    """The scaled error of each element; infinite where exactly one side is not finite.

    Args:
        actual: the result under test, any dtype, the shape of `quantity.expected` (complex as pairs).
        quantity: what it should be.
        dtype: the tested (real) storage dtype.
    """
    value = actual.to(torch.float64)
    expected = quantity.expected
    unit = spacing(expected, dtype) + quantity.move
    if quantity.old is not None:
        unit = unit + spacing(quantity.old, dtype)
    error = (value - expected).abs() / unit
    # What the dtype cannot hold is infinite in it; a NaN has to be a NaN.
    limit = expected.to(dtype).to(torch.float64)
    same = (value == limit) | (value.isnan() & limit.isnan())
    return torch.where(value.isfinite() & limit.isfinite(), error, torch.where(same, 0.0, torch.inf))


def worst(error: Tensor) -> float:
    """The largest error, NaN counted as infinite; 0 for no elements."""
    return float(error.nan_to_num(nan=torch.inf, posinf=torch.inf).max()) if error.numel() else 0.0
