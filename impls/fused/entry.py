"""One parameter's arrays as a launch walks them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from .lang import Rule
from .layout import STORAGE_DTYPES, fits, real_dtype, scratch_for, walk_strides


class Key(NamedTuple):
    """What the tensors of one bucket have in common."""

    device: torch.device
    dtype: torch.dtype
    flags: tuple[int, ...]
    step_dtype: torch.dtype
    steps_on_device: bool
    # of 0-d state other than the step
    stored_dtype: torch.dtype
    # the identity of a learning rate that is read on the device
    lr: int | None


@dataclass(eq=False)
class Entry:
    """A parameter's arrays, those that cannot be walked as they are replaced by scratch copies."""

    key: Key
    param: Tensor
    group: int
    state: dict[str, Tensor]
    # whether this is the first step of a rule that stores none
    fresh: bool
    # param, grad, and the states that exist
    arrays: list[Tensor]
    step: Tensor | None
    # rule.tensor_state
    numbers: list[Tensor]
    lr: Tensor | None
    # (where it must go, what is written)
    copies: list[tuple[Tensor, Tensor]] = field(default_factory=list)


class GroupFacts(NamedTuple):
    """What a parameter's group decides."""

    place: int
    flags: tuple[int, ...]
    # a learning rate on another device than the CPU
    device_lr: Tensor | None


def arrange(
    rule: Rule, param: Tensor, state: dict[str, Tensor], fresh: bool, group: GroupFacts, steps_on_device: bool
) -> Entry:
    """Find out how a parameter's arrays can be walked, and copy those that cannot.

    Args:
        steps_on_device: whether the count of steps must be where the parameter is; it is moved there.
    """
    names = [name for name, exists in zip(rule.state, rule.present(group.flags), strict=True) if exists]
    assert param.grad is not None
    tensors = [param, param.grad, *(state[name] for name in names)]
    dtype, strides = _storage(tensors), walk_strides(param)
    copies: list[tuple[Tensor, Tensor]] = []
    arrays = []
    for place, tensor in enumerate(tensors):
        array = tensor
        if not fits(tensor, strides, dtype):
            array = scratch_for(tensor, strides, dtype)
            copies.append((tensor if place != 1 else array, array))
        if array.numel() and not array.data_ptr():
            raise TypeError(
                f"the fused tier needs plain tensors, not {type(tensor).__name__} without memory of its own"
            )
        arrays.append(array)
    lr = group.device_lr if group.device_lr is not None and group.device_lr.device == param.device else None
    step = _step(param, state, steps_on_device or lr is not None, copies) if rule.stores_step else None
    numbers = _numbers(rule.tensor_state, state, step, copies)
    key = Key(
        device=param.device,
        dtype=dtype,
        flags=group.flags,
        step_dtype=torch.float32 if step is None else step.dtype,
        steps_on_device=step is not None and step.device.type != "cpu",
        stored_dtype=numbers[0].dtype if numbers else torch.float32,
        lr=None if lr is None else id(lr),
    )
    return Entry(key, param, group.place, state, fresh, arrays, step, numbers, lr, copies)


def _storage(tensors: list[Tensor]) -> torch.dtype:
    """The dtype that all arrays have, or the one to compute in where they differ."""
    dtypes = {real_dtype(tensor) for tensor in tensors}
    for tensor in tensors:
        if real_dtype(tensor) not in STORAGE_DTYPES:
            raise TypeError(f"the fused tier computes on floating point and complex tensors, got {tensor.dtype}")
    if len(dtypes) == 1:
        return dtypes.pop()
    return torch.float64 if torch.float64 in dtypes else torch.float32


def _step(param: Tensor, state: dict[str, Tensor], on_device: bool, copies: list[tuple[Tensor, Tensor]]) -> Tensor:
    step = state["step"]
    if on_device and step.device != param.device:
        step = state["step"] = step.to(param.device)
    if step.dtype in (torch.float32, torch.float64) and step.device.type in ("cpu", param.device.type):
        return step
    scratch = step.to(device="cpu" if not on_device else param.device, dtype=torch.float64)
    copies.append((step, scratch))
    return scratch


def _numbers(
    names: tuple[str, ...], state: dict[str, Tensor], step: Tensor | None, copies: list[tuple[Tensor, Tensor]]
) -> list[Tensor]:
    """0-d state, in one dtype and where the step is: loading a checkpoint moves the one and not the other."""
    if step is not None:
        for name in names:
            if state[name].device != step.device:
                state[name] = state[name].to(step.device)
    numbers = [state[name] for name in names]
    if len({number.dtype for number in numbers}) <= 1 and all(number.dtype in STORAGE_DTYPES for number in numbers):
        return numbers
    scratch = [number.to(torch.float64) for number in numbers]
    copies.extend(zip(numbers, scratch, strict=True))
    return scratch
