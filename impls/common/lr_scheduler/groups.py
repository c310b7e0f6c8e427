"""Reading and writing the rates of parameter groups, which are floats or tensors that are written in place."""

from collections.abc import Sequence
from operator import length_hint
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer

Group = dict[str, Any]


def standing(groups: Sequence[Group]) -> list[Any]:
    """The rates that stand there; tensors copied, so that they do not move with the groups'."""
    rates = [group["lr"] for group in groups]
    return rates if _floats(rates) else [copied(rate) for rate in rates]


def read(groups: Sequence[Group]) -> tuple[list[float], list[float] | None]:
    """The rates as floats, and the relative spacing of the numbers that keep them; None where those are float64."""
    rates = [group["lr"] for group in groups]
    if _floats(rates):
        return rates, None
    return [float(rate) for rate in rates], [_spacing(rate) for rate in rates]


def write(groups: Sequence[Group], rates: Sequence[Any], name: str = "lr") -> None:
    """Set a value of each group: a tensor's in place."""
    # each line counts, where there are thousands of groups
    if _floats([group[name] for group in groups]):
        for group, rate in zip(groups, rates, strict=True):
            group[name] = rate
        return
    for group, rate in zip(groups, rates, strict=True):
        group[name] = placed(group[name], rate)


def placed(old: Any, new: Any) -> Any:
    """The new value, or the old tensor, if it is one, that now holds it."""
    if not isinstance(old, Tensor):
        return new
    if old is not new:
        with torch.no_grad():
            old.fill_(new.squeeze() if isinstance(new, Tensor) else new)
    return old


def exchange(groups: Sequence[Group], old: Sequence[float], new: Sequence[float]) -> int:
    """Set the rates of the groups that still hold the very float that was written last, up to the first that does not.

    Returns:
        How many groups were set.
    """
    if old is new and [group["lr"] for group in groups] == new:
        return len(groups)
    left = iter(groups)
    for rate, wrote, group in zip(new, old, left, strict=False):
        if group["lr"] is not wrote:
            return len(groups) - length_hint(left) - 1
        group["lr"] = rate
    return len(groups) - length_hint(left)


def copied(value: Any) -> Any:
    """A tensor's copy, which does not move with it; anything else as it is."""
    return value.detach().clone() if isinstance(value, Tensor) else value


def per_group(name: str, optimizer: Optimizer, value: Any) -> list[Any]:
    """One value a group: those of a list or tuple, or one for all; tensors are copied.

    Raises:
        ValueError: if there are more or fewer values than groups.
    """
    count = len(optimizer.param_groups)
    values = [*value] if isinstance(value, list | tuple) else [value] * count
    if len(values) != count:
        raise ValueError(f"{name} has {len(values)} values, {value}, for {count} parameter groups")
    return [copied(value) for value in values]


def one_for_all(name: str, values: Sequence[Any]) -> Any:
    """The value that all groups have, for a group that came later.

    Raises:
        ValueError: if they differ.
    """
    if any(value is not values[0] and value != values[0] for value in values):
        raise ValueError(f"no {name} is known for a new parameter group, as those of the others differ: {values}")
    return copied(values[0])


def _floats(values: Sequence[Any]) -> bool:
    return not set(map(type, values)) - {float}


def _spacing(rate: Any) -> float:
    wide = not isinstance(rate, Tensor) or not rate.is_floating_point()
    return 2.0**-52 if wide else torch.finfo(rate.dtype).eps
