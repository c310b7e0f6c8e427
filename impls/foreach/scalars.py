"""Numbers that differ from tensor to tensor, as foreach ops take them: on the host, or on the device if capturable."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from .lists import Tensors, add_number_


def count(steps: Tensors, device: torch.device | None) -> Tensor:
    """Raise every step by one; return them as `gather` does."""
    add_number_(steps, 1.0)
    return gather(steps, device)


def gather(scalars: Tensors, device: torch.device | None) -> Tensor:
    """0-d tensors as one float64 vector: [n], or [1] where they are read, on the CPU, and all are equal.

    Args:
        device: where they are and must stay; None if they may be read.
    """
    if device is not None:
        # MPS has nothing wider than float32
        return torch.stack(scalars).to(torch.float32 if device.type == "mps" else torch.float64)
    values = [scalar.item() for scalar in scalars]
    return torch.tensor(values[:1] if values.count(values[0]) == len(values) else values, dtype=torch.float64)


def factors(values: Tensor, like: Tensor, device: torch.device | None) -> Any:
    """What `gather` and arithmetic gave, as factors beside tensors such as `like`.

    Returns:
        A number if all are equal, a list of numbers, or a tuple of 0-d tensors on `device`.
    """
    if device is not None:
        # 16-bit kernels compute in float32, and would round a 16-bit factor
        return values.to(torch.promote_types(like.dtype, torch.float32)).unbind()
    numbers = values.tolist()
    return numbers if len(numbers) > 1 else numbers[0]


def select(mask: Tensor, values: Tensor, *columns: Tensors) -> Iterator[tuple[Any, ...]]:
    """Yield the values and the columns' entries where the mask holds, once, or not at all where it holds nowhere.

    Args:
        mask, values: made from what `gather` gave on the host, [n] or [1] both.
        columns: [n] each.
    """
    if mask.all():
        yield values, *columns
    elif mask.any():
        places = mask.nonzero().flatten().tolist()
        yield values[mask], *([column[place] for place in places] for column in columns)


def bias_correction(steps: Tensor, beta: float) -> Tensor:
    """1 - beta**t; by expm1, because as it stands it loses 250 units of float64 at t = 2."""
    return torch.expm1(steps * (math.log(beta) if beta > 0 else -math.inf)).neg_()


def add_scaled_(tensors: Tensors, others: Tensors, scale: Any) -> None:
    """tensors + scale*others, in place; the scale is what `factors` gives, or a 0-d tensor."""
    if isinstance(scale, Tensor):
        scale = (scale,) * len(tensors)
    if isinstance(scale, tuple):
        torch._foreach_addcmul_(tensors, others, scale)
    elif isinstance(scale, list):
        torch._foreach_add_(tensors, torch._foreach_mul(others, scale))
    else:
        torch._foreach_add_(tensors, others, alpha=scale)


def add_quotients_(tensors: Tensors, numerators: Tensors, denominators: Tensors, scale: Any) -> None:
    """tensors + scale*numerators/denominators, in place; the scale is what `factors` gives, or a 0-d tensor."""
    if isinstance(scale, Tensor | tuple):
        # scaling the denominators, which needs no further list, would overflow float16
        add_scaled_(tensors, torch._foreach_div(numerators, denominators), scale)
    else:
        torch._foreach_addcdiv_(tensors, numerators, denominators, scale)
