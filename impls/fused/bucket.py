"""What the host hands to a backend: tensors that one launch can update together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .lang import Rule


@dataclass(eq=False)
class Bucket:
    """Tensors of one device, storage dtype and set of flags, whose arrays can all be walked as flat memory in one
    order.

    The host keeps a bucket as long as it describes the optimizer's tensors, rewrites `arrays`, `hyper` and
    `step_numbers` in place, and raises `revision` when it did so; what a backend derives from them it may keep in
    `derived`.

    Args:
        rule: what to compute.
        flags: the values of `rule.flags`.
        dtype: storage dtype of every array but `rule.wide` (real: complex tensors come as their real view).
        device: where the arrays are.
        arrays: int64 [2 + len(rule.state), tensors], addresses: param, grad, then `rule.state`; 0 where absent.
        numel: int64 [tensors], elements of each tensor; a bucket without any is prepared, but not updated.
        steps: int64 [tensors], addresses of the 0-d step tensors; 0 where the rule has none.
        step_dtype: dtype of the step tensors, float32 or float64.
        steps_on_device: whether the step tensors are on `device` rather than on the CPU.
        step_numbers: float64 [tensors], what `prepare` sees as `step` where `steps` is 0.
        hyper: float64 [tensors, len(rule.hyper)].
        tensor_state: int64 [len(rule.tensor_state), tensors], addresses of 0-d tensors, which are where the steps are.
        stored_dtype: dtype of those.
        lr_tensor: a learning rate that must be read on the device, else None; column "lr" of `hyper` then holds NaN.
    """

    rule: Rule
    flags: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    arrays: npt.NDArray[np.int64]
    numel: npt.NDArray[np.int64]
    steps: npt.NDArray[np.int64]
    step_dtype: torch.dtype
    steps_on_device: bool
    step_numbers: npt.NDArray[np.float64]
    hyper: npt.NDArray[np.float64]
    tensor_state: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int64))
    stored_dtype: torch.dtype = torch.float32
    lr_tensor: Tensor | None = None
    revision: int = 0
    derived: dict[str, Any] = field(default_factory=dict)

    @property
    def present(self) -> tuple[bool, ...]:
        """For each row of `arrays`, whether it is used under these flags."""
        return (True, True, *self.rule.present(self.flags))
