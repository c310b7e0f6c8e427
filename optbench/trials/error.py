"""The scaled error: how far a result is from the oracle, in units of what rounding alone may do to it.

    error = |actual - expected| / (spacing(expected) + spacing(old) + move)

`spacing` is the distance of neighbouring numbers of the tested dtype; `old` is the parameter before the step
(parameters only); `move` is the largest change of the float64 oracle when every tensor input is moved by up to half a
spacing. An implementation that rounds its inputs and its result once scores about 1; honest float32 paths stay below
6, while a constant that is wrong in the fourth digit scores in the hundreds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
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
    """What one tensor has to be after a step. Made once for each case, so that comparing with it is cheap.

    Args:
        expected: float64, complex values as real pairs.
        unit: what rounding may do to it, the denominator of the scaled error; same shape.
        limit: `expected` as the tested dtype holds it: infinite where it overflows.
        honest: scaled error of the reference tier run in the tested dtype on the same inputs.
    """

    expected: Tensor
    unit: Tensor
    limit: Tensor
    honest: float

    def split(self, shapes: Sequence[torch.Size], honest: Tensor) -> list[Quantity]:
        """The parts of a quantity that holds several tensors one after the other, each with its own honest error.

        Args:
            shapes: shapes of the parts, real.
            honest: scaled error of the reference tier in the tested dtype, elementwise.
        """
        sizes = [shape.numel() for shape in shapes]
        flat = (tensor.reshape(-1).split(sizes) for tensor in (self.expected, self.unit, self.limit, honest))
        return [
            Quantity(expected.view(shape), unit.view(shape), limit.view(shape), worst(error))
            for shape, expected, unit, limit, error in zip(shapes, *flat, strict=True)
        ]

    @property
    def cap(self) -> float:
        """The largest scaled error that is still honest on this case."""
        # What overflows on the way is no measure.
        return max(CAP, 2 * self.honest + 1) if math.isfinite(self.honest) else CAP


def quantity(expected: Tensor, move: Tensor, old: Tensor | None, dtype: torch.dtype) -> Quantity:
    """A quantity from the oracle's value, its honest error still 0.

    Args:
        expected: the oracle's value, float64.
        move: its largest change under half a spacing of change of the inputs.
        old: the parameter before the step, None for state.
        dtype: the tested real storage dtype.
    """
    unit = spacing(expected, dtype) + move
    if old is not None:
        unit = unit + spacing(old, dtype)
    return Quantity(expected, unit, expected.to(dtype).to(torch.float64), 0.0)


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


def scaled(actual: Tensor, judged: Quantity) -> Tensor:
    """The scaled error of each element; infinite where exactly one side is not finite.

    Args:
        actual: the result under test, any dtype, the shape of `judged.expected` (complex as pairs).
        judged: what it should be.
    """
    value = actual.to(torch.float64)
    error = (value - judged.expected).abs_() / judged.unit
    # What the dtype cannot hold is infinite in it; a NaN has to be a NaN.
    if not bool(torch.isfinite(error.sum()) & torch.isfinite(judged.limit.sum())):
        same = (value == judged.limit) | (value.isnan() & judged.limit.isnan())
        error = torch.where(value.isfinite() & judged.limit.isfinite(), error, torch.where(same, 0.0, torch.inf))
    return error


def worst(error: Tensor) -> float:
    """The largest error, NaN counted as infinite; 0 for no elements."""
    if not error.numel():
        return 0.0
    largest = float(error.max())
    return math.inf if math.isnan(largest) else largest
