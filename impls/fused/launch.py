"""Launches of a rule over arrays that are brought for one step only."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .backends import backend_for
from .bucket import Bucket
from .lang import Rule


class Row(NamedTuple):
    """One tensor's arrays, each in one piece of memory and in the same order and dtype.

    Args:
        arrays: param, grad and the rule's states; tensors of the rule's own meaning.
    """

    arrays: tuple[Tensor, ...]
    hyper: tuple[float, ...]
    flags: tuple[int, ...] = ()


def launch(rule: Rule, rows: list[Row]) -> tuple[str, ...]:
    """Run a rule that stores no step: one launch for each device, dtype and set of flags.

    Returns:
        The names of the backends that did.
    """
    by_key: dict[tuple[torch.device, torch.dtype, tuple[int, ...]], list[Row]] = {}
    for row in rows:
        first = row.arrays[0]
        by_key.setdefault((first.device, first.dtype, row.flags), []).append(row)
    names = []
    for (device, dtype, flags), members in by_key.items():
        count = len(members)
        bucket = Bucket(
            rule=rule,
            flags=flags,
            dtype=dtype,
            device=device,
            arrays=np.array([[array.data_ptr() for array in member.arrays] for member in members]).T.copy(),
            numel=np.array([member.arrays[0].numel() for member in members]),
            steps=np.zeros(count, dtype=np.int64),
            step_dtype=torch.float32,
            steps_on_device=False,
            step_numbers=np.full(count, 2.0),
            hyper=np.array([member.hyper for member in members], dtype=np.float64),
            tensor_state=np.zeros((0, count), dtype=np.int64),
        )
        backend = backend_for(device)
        backend.update(bucket, backend.prepare(bucket))
        names.append(backend.NAME)
    return tuple(dict.fromkeys(names))
