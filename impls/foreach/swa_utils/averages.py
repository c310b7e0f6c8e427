"""The two averages, mean and exponential, as functions that torch's AveragedModel takes too."""

import torch
from torch import Tensor

from ..lists import Tensors


class Average:
    """What an average takes of each model, and torch's convention for one tensor: gives the new average.

    Args:
        decay: what is kept of the average so far, in [0, 1]; None for the mean.

    Raises:
        ValueError: for a decay outside [0, 1].
    """

    def __init__(self, decay: float | None = None) -> None:
        if decay is not None and not 0.0 <= decay <= 1.0:
            raise ValueError(f"Invalid decay value: {decay}, outside [0, 1]")
        self.decay = decay

    def weight(self, num_averaged: Tensor | int) -> float:
        """The weight of the next model, where so many are in the average."""
        # w = 1/(n + 1), or 1 - decay
        return 1.0 / (int(num_averaged) + 1) if self.decay is None else 1.0 - self.decay

    @torch.no_grad()
    def __call__(self, averaged: Tensor, current: Tensor, num_averaged: Tensor | int) -> Tensor:
        moved = averaged.clone()
        MultiAverage(self.decay)([moved], [current], num_averaged)
        return moved


class MultiAverage(Average):
    """The same under torch's convention for lists of one device and dtype: changes averages in place."""

    @torch.no_grad()
    def __call__(  # type: ignore[override]
        self, averaged: Tensors, current: Tensors, num_averaged: Tensor | int
    ) -> None:
        dtype = averaged[0].dtype
        whole = not (dtype.is_floating_point or dtype.is_complex)
        wide = converted(averaged, torch.float64) if whole else averaged
        # a = a + w*(p - a)
        torch._foreach_lerp_(wide, converted(current, wide[0].dtype), self.weight(num_averaged))
        if whole:
            narrow(wide, averaged)


def get_ema_multi_avg_fn(decay: float = 0.999) -> MultiAverage:
    """A multi_avg_fn: average = decay*average + (1 - decay)*current; ValueError for a decay outside [0, 1]."""
    return MultiAverage(decay)


def get_swa_multi_avg_fn() -> MultiAverage:
    """A multi_avg_fn: the mean, average = average + (current - average)/(n + 1)."""
    return MultiAverage()


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """An avg_fn: decay*average + (1 - decay)*current; ValueError for a decay outside [0, 1]."""
    return Average(decay)


def get_swa_avg_fn() -> Average:
    """An avg_fn: the mean, average + (current - average)/(n + 1)."""
    return Average()


def wide_dtype(dtype: torch.dtype) -> torch.dtype:
    """What an average of such tensors is kept in: 32 bits at least, float64 for whole numbers."""
    if dtype.is_floating_point or dtype.is_complex:
        return torch.promote_types(dtype, torch.float32)
    return torch.float64


def narrow(wide: Tensors, averaged: Tensors) -> None:
    """Write averages that are kept in a wide dtype into what `module` holds; whole numbers to the nearest."""
    whole = wide[0].dtype == torch.float64
    torch._foreach_copy_(averaged, [tensor.round() for tensor in wide] if whole else wide)


def converted(tensors: Tensors, dtype: torch.dtype) -> list[Tensor]:
    """Each in this dtype; itself where it is."""
    return [tensor.to(dtype) for tensor in tensors]
