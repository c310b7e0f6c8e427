"""Averages of a model's weights on torch._foreach_* ops: the mean (SWA), and an exponential average (EMA).

Papers: Pavel Izmailov, Dmitrii Podoprikhin, Timur Garipov, Dmitry Vetrov, Andrew Gordon Wilson, "Averaging Weights
Leads to Wider Optima and Better Generalization", 2018, https://arxiv.org/abs/1803.05407, algorithm 1; Boris T. Polyak,
Anatoli B. Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992, https://doi.org/10.1137/0330046.
The error of a sum: Donald E. Knuth, "The Art of Computer Programming", volume 2, 1969, section 4.2.2, theorem B.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module
from torch.optim import swa_utils

from .averages import Average, converted, narrow, wide_dtype
from .memory import Memory

# below these weights of a new model, an addition to an average would lose too much of it: to one of its tensor's dtype,
# and to a wide one, which need not be known to all its digits
SMALL_WEIGHT, SMALL_WEIGHT_OF_WIDE = 2.0**-10, 2.0**-14
# elements that a sequence of operations takes at a time on a CPU
PIECE = 2**16

Pairs = Sequence[tuple[Tensor, Tensor]]


class AveragedModel(swa_utils.AveragedModel):
    """An average of a model's weights, each operation over all tensors of one device and dtype at once.

        a = a + w*(p - a)    where w = 1/(n + 1) for the mean of n models and this one, 1 - decay for an EMA

    The first model is copied. No average stalls for want of digits: those of 16-bit tensors are kept in float32 and
    those of whole numbers in float64, `module` holding them rounded; and where w is below 2**-10, what additions lose
    is kept and added next time. These digits are copied and pickled with the object, but are not in `state_dict`: an
    average that goes on from a checkpoint, or to which somebody else wrote, begins with what `module` holds.

    Args:
        model: what is averaged.
        device: of the average; None for the model's.
        avg_fn, multi_avg_fn: how; at most one. This package's `get_*_fn` give both averages; other functions are called
            as torch calls them, on what the tensors hold. Neither means the mean.
        use_buffers: average buffers too, instead of copying them.

    Raises:
        AssertionError: for both an avg_fn and a multi_avg_fn.

    Example:
        >>> ema_model = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.999))
        >>> ema_model.update_parameters(model)

    Source: algorithm 1 of https://arxiv.org/abs/1803.05407, arguments of torch.optim.swa_utils.AveragedModel.
    """

    _memory: Memory | None = None

    @torch.no_grad()
    def update_parameters(self, model: Module) -> None:
        """Take the model's weights into the average; the first are copied."""
        function = self.avg_fn if self.multi_avg_fn is None else self.multi_avg_fn
        average = Average() if function is None else function
        if not isinstance(average, Average):
            super().update_parameters(model)
            return
        pairs: list[tuple[Tensor, Tensor]] = [*zip(self.module.parameters(), model.parameters(), strict=False)]
        buffers = [*zip(self.module.buffers(), model.buffers(), strict=not self.use_buffers)]
        if self.use_buffers:
            pairs, buffers = pairs + buffers, []
        count = int(self.n_averaged)
        if count == 0:
            _copy(pairs)
        else:
            for averages, currents in _by_kind(pairs):
                self._average(averages, currents, average.weight(count))
        _copy(buffers)
        self.n_averaged += 1

    def _average(self, averages: list[Tensor], currents: list[Tensor], weight: float) -> None:
        """Take tensors of one device and dtype into their averages."""
        dtype = averages[0].dtype
        wide = wide_dtype(dtype)
        compensated = weight < (SMALL_WEIGHT if wide == dtype else SMALL_WEIGHT_OF_WIDE)
        currents = converted(currents, wide)
        if wide == dtype and not compensated:
            # a = a + w*(p - a)
            torch._foreach_lerp_(averages, currents, weight)
            return
        self._memory = self._memory or Memory()
        digits = self._memory.digits(averages, compensated=compensated)
        targets: list[Any] = averages if wide == dtype else [more.wide for more in digits]
        if compensated:
            lows: list[Any] = [more.low for more in digits]
            for piece in _pieces(targets, lows, currents):
                _compensated(*piece, weight=weight)
        else:
            torch._foreach_lerp_(targets, currents, weight)
        if targets is not averages:
            narrow(targets, averages)
        self._memory.keep(averages, digits)


def _compensated(averages: list[Tensor], lows: list[Tensor], currents: list[Tensor], *, weight: float) -> None:
    """a = a + w*(p - a), in place, where the average is a + low."""
    # change = low + w*(p - a - low)
    torch._foreach_lerp_(lows, torch._foreach_sub(currents, averages), weight)
    # total = a + change
    totals = torch._foreach_add(averages, lows)
    # what the addition lost, exactly: low = (a - (total - taken)) + (change - taken), where taken = total - a
    taken = torch._foreach_sub(totals, averages)
    torch._foreach_sub_(lows, taken)
    torch._foreach_sub_(taken, totals)
    torch._foreach_add_(averages, taken)
    torch._foreach_add_(lows, averages)
    torch._foreach_copy_(averages, totals)


def _pieces(*columns: list[Tensor]) -> Iterator[list[list[Tensor]]]:
    """Lists of tensors, a few at a time, and large ones in parts, so that what is computed between stays in a cache."""
    if columns[0][0].device.type != "cpu":
        yield [*columns]
        return
    rows: list[tuple[Tensor, ...]] = []
    room = PIECE
    for row in zip(*columns, strict=True):
        flat = all(tensor.is_contiguous() for tensor in row) and row[0].numel() > PIECE
        parts = zip(*[tensor.view(-1).split(PIECE) for tensor in row], strict=True) if flat else [row]
        for part in parts:
            if rows and part[0].numel() > room:
                yield [[*column] for column in zip(*rows, strict=True)]
                rows, room = [], PIECE
            rows.append(part)
            room -= part[0].numel()
    yield [[*column] for column in zip(*rows, strict=True)]


def _by_kind(pairs: Pairs) -> list[tuple[list[Tensor], list[Tensor]]]:
    """Averages of one device and dtype each, with what is to be averaged, on that device."""
    kinds: dict[Any, tuple[list[Tensor], list[Tensor]]] = defaultdict(lambda: ([], []))
    for average, current in pairs:
        averages, currents = kinds[average.device, average.dtype]
        averages.append(average)
        currents.append(current.detach().to(average.device))
    return [*kinds.values()]


def _copy(pairs: Pairs) -> None:
    for averages, currents in _by_kind(pairs):
        torch._foreach_copy_(averages, currents)
