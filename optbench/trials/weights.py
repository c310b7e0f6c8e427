"""Models that averagers are shown: tensors of every kind whose values at every update are known."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from optbench.case import Case
from optbench.trials.problem import LAYOUTS, Placed, dtype_of, generator, shapes_of, wide

# What a model "beside other dtypes" has, too.
OTHERS = ("float32", "bfloat16", "float64", "complex64")
# Where there is but one device, all share it.
SEVERAL = "several devices"
_WHOLE, _LARGE = 50, 2**24 + 1


class Tail(nn.Module):
    """A part of a model that holds what another part holds, and buffers: of whole numbers, or of flags."""

    def __init__(self, weight: nn.Parameter, dtype: torch.dtype, device: str, flags: bool) -> None:
        super().__init__()
        self.weight = weight
        self.register_buffer("running", torch.zeros(5, dtype=dtype, device=device))
        self.register_buffer("scale", torch.zeros((), dtype=dtype, device=device))
        if flags:
            self.register_buffer("flags", torch.zeros(9, dtype=torch.bool, device=device))
        else:
            self.register_buffer("count", torch.zeros((), dtype=torch.int64, device=device))
            self.register_buffer("codes", torch.zeros(3, dtype=torch.int32, device=device))
        self.register_buffer("unsaved", torch.zeros(4, dtype=dtype, device=device), persistent=False)


class Source(nn.Module):
    """The model: parameters as the case places them, the first one tied, the last one frozen; buffers of both kinds.

    Args:
        case: shapes, dtype, layout, device; the variant "other dtypes" adds parameters of those, "flags" has
            buffers of these where others have whole numbers, "several devices" leaves every second parameter on the
            CPU.
        placed: takes each parameter's place in memory.
    """

    def __init__(self, case: Case, placed: list[Placed]) -> None:
        super().__init__()
        dtype = dtype_of(case.dtype)
        chosen = [(shape, dtype) for shape in shapes_of(case.shapes)]
        if case.variant == "other dtypes":
            chosen += [((7,), dtype_of(other)) for other in OTHERS]
        place = LAYOUTS[case.layout][0]
        for i, (shape, each) in enumerate(chosen):
            device = "cpu" if case.variant == SEVERAL and i % 2 else case.device
            placed.append(place(torch.zeros(shape, dtype=each, device=device)))
            self.register_parameter(f"weight{i}", nn.Parameter(placed[-1].tensor, requires_grad=i < len(chosen) - 1))
        self.tail = Tail(self.get_parameter("weight0"), dtype, case.device, case.variant == "flags")

    def forward(self, x: Tensor) -> Tensor:
        return x * self.get_buffer("tail.scale")


def tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, each once."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def value(case: Case, name: str, like: Tensor, k: int) -> Tensor:
    """What a tensor of the model holds at update `k`, on the CPU: random numbers that its dtype holds exactly."""
    rng = generator(case.seed, "model", name, k)
    if like.dtype is torch.bool:
        return torch.randint(0, 2, like.shape, generator=rng).bool()
    if not (like.is_floating_point() or like.is_complex()):
        found = torch.randint(-_WHOLE, _WHOLE, like.shape, generator=rng) + 3 * _WHOLE * k
        # More digits than float32 has.
        return found * _LARGE if like.dtype is torch.int64 else found
    return torch.randn(like.shape, generator=rng, dtype=wide(like.dtype)).to(like.dtype)


def drawn(case: Case, name: str, like: Tensor, k: int) -> str:
    """The same as `value` of random numbers that are no integers, as Python."""
    seed = generator(case.seed, "model", name, k).initial_seed()
    rng = f"generator=torch.Generator().manual_seed({seed})"
    return f"torch.randn({tuple(like.shape)}, {rng}, dtype={wide(like.dtype)}).to({like.dtype})"
