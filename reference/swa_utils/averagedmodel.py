"""AveragedModel: the mean of a model's weights over its training, or an exponential moving average of them.

Papers: Pavel Izmailov, Dmitrii Podoprikhin, Timur Garipov, Dmitry Vetrov and Andrew Gordon Wilson, "Averaging Weights
Leads to Wider Optima and Better Generalization", 2018, https://arxiv.org/abs/1803.05407, Algorithm 1, for the mean;
Boris T. Polyak and Anatoli B. Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992,
https://doi.org/10.1137/0330046, for averaging in general.

Update rule of one element, with n models averaged so far; the first model is copied:

    w = 1/(n + 1) (mean), 1 - decay (moving average)
    a = a + w*(p - a)                 which is decay*a + (1 - decay)*p

Where PyTorch departs from the papers:
- Buffers are averaged only if asked for, and copied else.

Where this departs from PyTorch's code:
- a does not stall: it is kept in double precision, with what additions lose, beside the `module`, which holds it
  rounded to the model's dtype. This shadow takes 16 bytes an element (complex: 32). It is copied and pickled with the
  object, but not in state_dict: an average that goes on from a checkpoint begins with what `module` holds, one rounding
  away.
- Where somebody else wrote to the `module`, the average goes on from what was written.
- Whole numbers are rounded to the nearest; PyTorch cuts them off.
- The functions below can be pickled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module


def update(average: Tensor, lost: Tensor, current: Tensor, *, weight: float) -> tuple[Tensor, Tensor]:
    """(a, lost) after a model, both in double precision; lost is what a has no digits for."""
    # start from the nearer end, so that weights of 0 and 1 are exact
    #   a + w*(p - a) = p + (1 - w)*(a - p)
    start, end = (average, current) if weight < 0.5 else (current, average)

    # how far to go, with what was lost before
    #   d = w*(p - a) + (1 - w)*lost
    change = (end - start) * min(weight, 1 - weight) + lost * (1 - weight)

    # step
    #   a = a + d
    total = start + change

    # what the addition lost, exactly (Knuth's two-sum)
    #   lost = (a + d) - total
    added = total - start
    return total, (start - (total - added)) + (change - added)


@dataclass(frozen=True)
class Average:
    """What w is; called as torch calls an avg_fn: gives the new average of one tensor.

    Args:
        decay: of a moving average; None for the mean.
    """

    decay: float | None = None

    def __post_init__(self) -> None:
        if self.decay is not None and not 0.0 <= self.decay <= 1.0:
            raise ValueError(f"decay must be between 0 and 1, not {self.decay}")

    def weight(self, num_averaged: Tensor | int) -> float:
        """The part of the new average that the next model has."""
        # weight of the model
        #   w = 1/(n + 1), or 1 - decay
        return 1.0 / (int(num_averaged) + 1) if self.decay is None else 1.0 - self.decay

    @torch.no_grad()
    def __call__(self, averaged: Tensor, current: Tensor, num_averaged: Tensor | int) -> Tensor:
        shadow, lost = widened(averaged), torch.zeros_like(widened(averaged))
        return rounded(update(shadow, lost, widened(current), weight=self.weight(num_averaged))[0], averaged)


@dataclass(frozen=True)
class MultiAverage(Average):
    """The same, called as torch calls a multi_avg_fn: changes lists of tensors in place."""

    @torch.no_grad()
    def __call__(  # type: ignore[override]
        self, averaged: Sequence[Tensor], current: Sequence[Tensor], num_averaged: Tensor | int
    ) -> None:
        for average, value in zip(averaged, current, strict=True):
            average.copy_(super().__call__(average, value, num_averaged))


def get_ema_multi_avg_fn(decay: float = 0.999) -> MultiAverage:
    """A multi_avg_fn: a moving average. Raises ValueError for a decay outside [0, 1]."""
    return MultiAverage(decay)


def get_swa_multi_avg_fn() -> MultiAverage:
    """A multi_avg_fn: the mean."""
    return MultiAverage()


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """An avg_fn: a moving average. Raises ValueError for a decay outside [0, 1]."""
    return Average(decay)


def get_swa_avg_fn() -> Average:
    """An avg_fn: the mean."""
    return Average()


class AveragedModel(torch.optim.swa_utils.AveragedModel):
    """An average of a model's weights, drop-in for torch.optim.swa_utils.AveragedModel.

    Args: as torch's. avg_fn or multi_avg_fn: one of the functions above, or any other, which is called as torch calls
        it, on what `module` holds; neither: the mean. use_buffers: average the buffers too.
    State: module, the averaged model, and n_averaged, the number of models in it.
    Raises: AssertionError for both functions.
    Example: `AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.999)).update_parameters(model)`
    """

    # (a, lost) of each averaged tensor, in the module's order.
    _shadows: tuple[tuple[Tensor, Tensor], ...] = ()

    @torch.no_grad()
    def update_parameters(self, model: Module) -> None:
        """Take a model into the average; the first is copied."""
        function: Callable[..., Any] = self.avg_fn or self.multi_avg_fn or Average()
        if not isinstance(function, Average):
            super().update_parameters(model)
            return
        pairs: list[tuple[Tensor, Tensor]] = [*zip(self.module.parameters(), model.parameters(), strict=False)]
        buffers = [*zip(self.module.buffers(), model.buffers(), strict=not self.use_buffers)]
        if self.use_buffers:
            pairs, buffers = pairs + buffers, []
        if self.n_averaged == 0:
            pairs, buffers = [], pairs + buffers
        shadows = []
        for index, (averaged, current) in enumerate(pairs):
            shadow, lost = self._shadow(index, averaged)
            value = widened(current.to(averaged.device))
            shadows.append(update(shadow, lost, value, weight=function.weight(self.n_averaged)))
            averaged.copy_(rounded(shadows[-1][0], averaged))
        for target, source in buffers:
            target.copy_(source)
        self._shadows = tuple(shadows)
        self.n_averaged += 1

    def _shadow(self, index: int, averaged: Tensor) -> tuple[Tensor, Tensor]:
        """(a, lost) of a tensor: of what it holds, where that is not what was written there."""
        held = widened(averaged)
        if index >= len(self._shadows) or self._shadows[index][0].shape != held.shape:
            return held, torch.zeros_like(held)
        shadow, lost = (kept.to(held) for kept in self._shadows[index])
        ours = rounded(shadow, averaged) == averaged
        return torch.where(ours, shadow, held), torch.where(ours, lost, torch.zeros_like(lost))


def widened(tensor: Tensor) -> Tensor:
    """A tensor's numbers in double precision, or single where the device has no double."""
    single = tensor.device.type == "mps"
    if tensor.is_complex():
        return tensor.detach().to(torch.complex64 if single else torch.complex128)
    return tensor.detach().to(torch.float32 if single else torch.float64)


def rounded(wide: Tensor, like: Tensor) -> Tensor:
    """Numbers in another tensor's dtype, each the nearest."""
    whole = not (like.is_floating_point() or like.is_complex())
    return (wide.round() if whole else wide).to(like.dtype)
