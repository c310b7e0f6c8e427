"""Problems: parameters and gradients that are the same for everyone, placed in memory as a case says.

Values are drawn in float64 and rounded to the tested dtype, so that the float64 oracle starts from the same numbers.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from optbench.case import Case
from optbench.subjects import load
from optbench.trials import sparse
from optbench.trials.error import real, real_dtype

Shape = tuple[int, ...]

SHAPES: dict[str, tuple[Shape, ...]] = {
    "mixed": ((33,), (), (4, 6), (0,), (2, 3, 4, 5)),
    "matrices": ((4, 6), (2, 3, 4, 5), (3, 7)),
    "one": ((40,),),
    "pair": ((24,), (3, 5)),
    "forms": ((60,), (2, 3, 4, 5), (4, 6)),
    "zero first": ((0,), (7,), (2, 3)),
    "zero middle": ((7,), (0, 4), (2, 3)),
    "zero last": ((7,), (2, 3), (0,)),
    "all zero": ((0,), (2, 0)),
    "scalars": ((), (1,), (1, 1)),
    "small odd": ((1,), (2,), (3,), (15,), (16,), (17,), (31,), (63,), (65,)),
    "thousand": ((1000,), (1023,), (1024,), (1025,)),
    "blocks": ((4095,), (4096,), (4097,)),
    "long rows": ((2, 2048),),
    "large": ((16383,), (16385,), (65537,)),
    "many": tuple((i % 7 + 1,) for i in range(40)),
    # Of about the same size, beside which all else is small.
    "heavy": ((130, 126), (16381,), (6, 5, 24, 23)) * 3,
    # One that several threads share, small ones on either side of it.
    "parallel": ((33,), ((1 << 17) + 29,), (40, 24)),
    "parallel rows": ((33, 3), ((1 << 13) + 29, 36), (40,)),
    "parallel vector": ((33,), ((1 << 15) + 29,), (40, 24)),
}

# A shape without dimensions, as a case's text has it.
SCALAR = "scalar"

# The stream "uneven": gradients shrink and grow from step to step, and every second parameter's are tiny.
UNEVEN = (1.0, 2.0**-8, 1.0, 2.0, 0.5, 4.0)
TINY = 2.0**-14
# The stream "zeros in between" has a gradient of zeros at this step, as a part of a network that is not reached has.
ZEROS_AT = 2

# Placing a tensor whose memory holds more than the tensor: what lies around it must keep this value.
CANARY = 7.0


@dataclass(frozen=True)
class Placed:
    """A tensor in memory, with the buffer it is a view of and a mask of the elements around it."""

    tensor: Tensor
    buffer: Tensor | None = None
    around: Tensor | None = None

    def untouched(self) -> bool:
        """Whether everything around the tensor still holds the canary."""
        if self.buffer is None or self.around is None:
            return True
        return bool((self.buffer[self.around] == CANARY).all())


def _contiguous(values: Tensor) -> Placed:
    return Placed(values.clone(memory_format=torch.contiguous_format))


def _transposed(values: Tensor) -> Placed:
    if values.dim() < 2:
        return _contiguous(values)
    return Placed(values.transpose(-1, -2).contiguous().transpose(-1, -2))


def _channels_last(values: Tensor) -> Placed:
    if values.dim() == 4:
        return Placed(values.clone(memory_format=torch.channels_last))
    return _transposed(values)


def _strided(values: Tensor) -> Placed:
    """Every second element of a row twice as long, with elements before and behind."""
    shape = values.shape or torch.Size([1])
    buffer = values.new_full((*shape[:-1], 2 * shape[-1] + 4), CANARY)
    around = torch.ones(buffer.shape, dtype=torch.bool, device=values.device)
    window = (..., slice(2, 2 + 2 * shape[-1], 2))
    around[window] = False
    view = buffer[window] if values.dim() else buffer[2]
    view.copy_(values)
    if not values.dim():
        around[:] = True
        around[2] = False
    return Placed(view, buffer, around)


def _offset(values: Tensor) -> Placed:
    """Dense, but one element into its buffer, so that no vector access is aligned."""
    buffer = values.new_full((values.numel() + 6,), CANARY)
    view = buffer[1 : 1 + values.numel()].view(values.shape)
    view.copy_(values)
    around = torch.ones(buffer.shape, dtype=torch.bool, device=values.device)
    around[1 : 1 + values.numel()] = False
    return Placed(view, buffer, around)


def _expanded(values: Tensor) -> Placed:
    """One value a row, expanded with stride zero. The values along the last dimension have to be equal."""
    if not values.dim() or not values.numel():
        return _contiguous(values)
    return Placed(values[..., :1].clone().expand(values.shape))


def _conjugate(values: Tensor) -> Placed:
    """The conjugate of what stands in memory, which nobody has computed yet; of real numbers, themselves."""
    return Placed(values.conj().resolve_conj().conj())


def _negative(values: Tensor) -> Placed:
    """The negative of what stands in memory, which nobody has computed yet, as an imaginary part may be."""
    return Placed(torch._neg_view(-values))


def _imaginary(values: Tensor) -> Placed:
    """The imaginary part of a conjugate that nobody has computed yet; complex numbers are none."""
    return _contiguous(values) if values.is_complex() else _negative(values)


Placement = Callable[[Tensor], Placed]

# layout -> how a parameter is placed, how its gradient is
LAYOUTS: dict[str, tuple[Placement, Placement]] = {
    "contiguous": (_contiguous, _contiguous),
    "transposed": (_transposed, _transposed),
    "channels_last": (_channels_last, _channels_last),
    "strided": (_strided, _strided),
    "offset": (_offset, _offset),
    "expanded_grad": (_contiguous, _expanded),
    "grad_unlike": (_contiguous, _channels_last),
    "param_unlike": (_channels_last, _contiguous),
    "grad_strided": (_contiguous, _strided),
    "param_strided": (_strided, _contiguous),
    "grad_negative": (_contiguous, _negative),
    "grad_conjugate": (_contiguous, _conjugate),
    "param_conjugate": (_conjugate, _contiguous),
    "param_negative": (_imaginary, _contiguous),
}

# moment -> whether parameter i has a gradient at step k (both from 0)
MOMENTS: dict[str, Callable[[int, int], bool]] = {
    "every step": lambda i, k: True,
    "late": lambda i, k: k >= 2 or i % 2 == 0,
    "gap": lambda i, k: k != 1 or i % 2 == 1,
    "never": lambda i, k: i % 3 != 0,
    "resumed": lambda i, k: True,
}
# After this many steps a "resumed" run is saved and loaded into a new optimizer.
RESUME_AFTER = 2


def dtype_of(name: str) -> torch.dtype:
    """The torch dtype of that name."""
    found = getattr(torch, name, None)
    if not isinstance(found, torch.dtype):
        raise ValueError(f"{name!r} is no torch dtype")
    return found


def wide(dtype: torch.dtype) -> torch.dtype:
    """The oracle's dtype for a tested dtype."""
    return torch.complex128 if dtype.is_complex else torch.float64


def exact(tensor: Tensor) -> Tensor:
    """The same numbers as the oracle takes them: a copy in its dtype, on the CPU."""
    return tensor.detach().to(device="cpu", dtype=wide(tensor.dtype)).clone()


def generator(*labels: object) -> torch.Generator:
    """A generator seeded by what it is for, the same in every process."""
    return torch.Generator().manual_seed(zlib.crc32(repr(labels).encode()))


def shapes_of(name: str, dimensions: int | None = None) -> tuple[Shape, ...]:
    """The shapes of that name, as matrices where `dimensions` is 2: all but the last dimension become one.

    Args:
        name: of a set of shapes, or the shapes themselves.
        dimensions: as a declaration has it.

    Example:
        >>> shapes_of("3x4,0,scalar")
        ((3, 4), (0,), ())
    """
    shapes = SHAPES[name] if name in SHAPES else tuple(map(_shape, name.split(",")))
    if dimensions is None:
        return shapes
    assert dimensions == 2
    return tuple((math.prod(shape[:-1]), shape[-1]) if len(shape) > 1 else (*shape, 1, 1)[:2] for shape in shapes)


def _shape(text: str) -> Shape:
    return () if text == SCALAR else tuple(map(int, text.split("x")))


def shapes_text(shapes: Iterable[Shape]) -> str:
    """The shapes as a case's text; `shapes_of` reads it.

    Example:
        >>> shapes_text([(3, 4), (0,), ()])
        '3x4,0,scalar'
    """
    return ",".join("x".join(map(str, shape)) or SCALAR for shape in shapes)


class Problem:
    """Start values and gradients of a case, in float64, exactly representable in the tested dtype.

    Where the algorithm takes sparse gradients, so are these: about half of the rows of the first dimension. Where it
    takes a closure, the objective is a quadratic with these gradients at the start.
    """

    def __init__(self, case: Case) -> None:
        self.case = case
        self.dtype = dtype_of(case.dtype)
        subject = load(case.subject)
        self.sparse = subject.sparse
        self.shapes: Sequence[Shape] = shapes_of(case.shapes, subject.dimensions)
        self._place_param, self._place_grad = LAYOUTS[case.layout]
        self.start = [self._draw("param", i, 0, 1.0) for i in range(len(self.shapes))]
        if case.stream == "all denormal":
            self.start = [self._denormal(values) for values in self.start]
        elif case.stream == "denormal":
            # Not so near to zero that what is left of a tiny number's digits would show.
            self.start = [self._round(values + values.sgn()) for values in self.start]
        self._grads: dict[tuple[int, int], Tensor | None] = {}
        self._curvatures: dict[int, Tensor] = {}

    def __len__(self) -> int:
        return len(self.shapes)

    def grad(self, i: int, k: int) -> Tensor | None:
        """The gradient of parameter `i` at step `k` (from 0), in float64; None where the case has none."""
        if (i, k) not in self._grads:
            there = MOMENTS[self.case.moment](i, k)
            self._grads[i, k] = self._draw_grad(i, k) if there else None
        return self._grads[i, k]

    def neighbour(self, label: int, worked: torch.dtype | None = None) -> Problem:
        """The same with every number moved by about a spacing, up or down as the label decides.

        Args:
            label: which of the neighbours.
            worked: the dtype by whose spacing gradients move; None: the case's.
        """
        return _Neighbour(self.case, label, worked)

    def place_param(self, values: Tensor) -> Placed:
        """The values as a leaf parameter in the case's dtype, layout and device."""
        placed = self._place_param(values.to(device=self.case.device, dtype=self.dtype))
        placed.tensor.requires_grad_()
        return placed

    def place_grad(self, values: Tensor) -> Placed:
        """The values as a gradient in the case's dtype, layout and device."""
        values = values.to(device=self.case.device, dtype=self.dtype)
        return Placed(sparse.placed(values, self.case.layout)) if self.sparse else self._place_grad(values)

    def objective(self, params: Sequence[Tensor], k: int, give: Callable[[int, Tensor], None]) -> Callable[[], Tensor]:
        """A closure of step `k`: f = sum of g*(p - start) + a/2*(p - start)**2, with a about 1.

        Args:
            params: where f is computed, in float64 whatever their dtype.
            k: the step (from 0), whose gradients are f's at the start.
            give: called with each parameter's number and gradient, in float64.
        """

        def closure() -> Tensor:
            value = torch.zeros((), dtype=torch.float64)
            for i, param in enumerate(params):
                slope = self.grad(i, k)
                if slope is None:
                    continue
                offset = exact(param) - self.start[i]
                curved = self._curvature(i) * offset
                value += (real(slope + curved / 2) * real(offset)).sum()
                give(i, slope + curved)
            return value

        def terms() -> list[tuple[Tensor, ...]]:
            slopes = [(i, self.grad(i, k)) for i in range(len(params))]
            return [(params[i], self.start[i], slope, self._curvature(i)) for i, slope in slopes if slope is not None]

        # What f is made of, for whoever writes it down: parameter, start, slope and curvature.
        closure.terms = terms  # type: ignore[attr-defined]
        return closure

    def _curvature(self, i: int) -> Tensor:
        if i not in self._curvatures:
            curvature = torch.empty(self.shapes[i], dtype=torch.float64)
            curvature.uniform_(-1.0, 1.0, generator=generator(self.case.seed, "curvature", i))
            # An uneven function is a long way from its optimum.
            curvature = (10.0 if self.case.stream == "uneven" else 2.0) ** curvature
            # An expanded gradient has to stay one value a row.
            self._curvatures[i] = curvature * (self._place_grad is not _expanded)
        return self._curvatures[i]

    def _draw_grad(self, i: int, k: int) -> Tensor:
        name, _, scale = self.case.stream.partition("=")
        values = self._draw("grad", i, k, self._scale(name, scale, i, k))
        if name == "zeros in between" and k == ZEROS_AT:
            values = torch.zeros_like(values)
        if name == "wide":
            values = self._round(self._widened(values, i, k))
        if name in ("denormal", "all denormal"):
            values = self._denormal(values)
        if self._place_grad is _expanded and values.dim() and values.numel():
            values = values[..., :1].expand(values.shape).clone()
        return sparse.some_rows(values, generator(self.case.seed, "rows", i, k)) if self.sparse else values

    def _scale(self, name: str, scale: str, i: int, k: int) -> float:
        """The size of a stream's gradients: given, or that of the stream at this step and parameter."""
        if name == "uneven":
            return UNEVEN[k % len(UNEVEN)] * (TINY if i % 2 else 1.0)
        return float(scale or 1.0)

    def _denormal(self, values: Tensor) -> Tensor:
        """Between a quarter and three quarters of the dtype's least normal number, so that most digits are left."""
        flat = real(values)
        sizes = (0.25 + flat.abs().clamp(max=1.0) / 2) * torch.finfo(self.dtype).tiny
        signed = torch.copysign(sizes, flat)
        return self._round(torch.view_as_complex(signed) if values.is_complex() else signed)

    def _widened(self, values: Tensor, i: int, k: int) -> Tensor:
        """Magnitudes over five decades; in float16 over one, so that the squares, times 1 - 0.999, are no denormals."""
        if self.dtype is torch.float16:
            return values + torch.copysign(torch.full_like(values, 0.25), values)
        decades = torch.empty(values.shape, dtype=torch.float64)
        return values * torch.pow(
            10.0, decades.uniform_(-4.0, 1.0, generator=generator(self.case.seed, "decades", i, k))
        )

    def _draw(self, what: str, i: int, k: int, scale: float) -> Tensor:
        rng = generator(self.case.seed, what, i, k)
        return self._round(torch.randn(self.shapes[i], generator=rng, dtype=wide(self.dtype)) * scale)

    def _round(self, values: Tensor) -> Tensor:
        return values.to(self.dtype).to(wide(self.dtype))


class _Neighbour(Problem):
    """A problem beside another."""

    def __init__(self, case: Case, label: int, worked: torch.dtype | None) -> None:
        self._label, self._worked = label, worked
        super().__init__(case)

    def _draw(self, what: str, i: int, k: int, scale: float) -> Tensor:
        values = super()._draw(what, i, k, scale)
        up = torch.rand(values.shape, generator=generator(self.case.seed, "beside", self._label, what, i, k)) < 0.5
        dtype = self._worked if self._worked and what == "grad" else self.dtype
        return self._round(values * (1 + torch.finfo(dtype).eps * (2.0 * up - 1)))


class Paired(Problem):
    """A problem of complex numbers as one of real numbers, with a last dimension of real and imaginary part."""

    def __init__(self, whole: Problem) -> None:
        self.case, self.sparse, self.dtype = whole.case, whole.sparse, real_dtype(whole.dtype)
        self.shapes = [(*shape, 2) for shape in whole.shapes]
        self.start = [real(values) for values in whole.start]
        self._place_param, self._place_grad = LAYOUTS["contiguous"]
        self._of = whole

    def grad(self, i: int, k: int) -> Tensor | None:
        """See Problem."""
        values = self._of.grad(i, k)
        return None if values is None else real(values)

    def _curvature(self, i: int) -> Tensor:
        return self._of._curvature(i)[..., None]


class Joined(Problem):
    """A problem as one of a single vector, in which a gradient that is not there is zero, and stays so."""

    def __init__(self, whole: Problem) -> None:
        self.case, self.sparse, self.dtype = whole.case, whole.sparse, whole.dtype
        self.start = [torch.cat([values.reshape(-1) for values in whole.start])]
        self.shapes = [tuple(self.start[0].shape)]
        self._place_param, self._place_grad = LAYOUTS["contiguous"]
        self._of = whole

    def grad(self, i: int, k: int) -> Tensor | None:
        """See Problem."""
        grads = [self._of.grad(j, k) for j in range(len(self._of))]
        pairs = zip(grads, self._of.start, strict=True)
        return torch.cat([(torch.zeros_like(start) if grad is None else grad).reshape(-1) for grad, start in pairs])

    def _curvature(self, i: int) -> Tensor:
        there = [self._of._curvature(j) * (self._of.grad(j, 0) is not None) for j in range(len(self._of))]
        return torch.cat([curvature.reshape(-1) for curvature in there])
