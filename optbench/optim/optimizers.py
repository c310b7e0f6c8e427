"""torch.optim's optimizers, of the fastest tier that conforms on a device.

Every optimizer that `optbench list algos` names is here. Calling one makes an optimizer of one tier, whose state_dict
torch.optim and every other tier can load. Which tier, as torch.optim's page describes it for its own implementations:

    differentiable=True, or sparse parameters         reference, a for-loop
    fused=True                                        fused
    foreach=True                                      foreach
    foreach=False or fused=False, and neither True    reference
    neither given                                     fused on the CPU, and on other devices where Triton is installed;
                                                      else foreach

A tier is imported when it is first chosen.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer

from .. import subjects
from .face import Face, documented

if TYPE_CHECKING:
    # What type checkers and editors see: the classes below have the reference tier's arguments, which are torch's.
    from ..reference import *  # noqa: F403

# Device types that Triton compiles for.
_TRITON_DEVICES = frozenset({"cuda", "xpu"})


class _Face(Face):
    def choose(cls, options: dict[str, Any]) -> str:
        params = options["params"]
        if isinstance(params, Tensor) or not isinstance(params, Iterable):
            # What is no iterable of parameters, the tier's constructor refuses in torch's words.
            return "reference"
        # An iterator can be walked only once.
        options["params"] = list(params)
        flags = {flag: options.get(flag) for flag in ("foreach", "fused", "differentiable")}
        return choose_tier(options["params"], **flags)


def choose_tier(
    params: Iterable[Any],
    foreach: bool | None = None,
    fused: bool | None = None,
    differentiable: bool | None = False,
) -> str:
    """The tier that these parameters and flags select: "reference", "foreach" or "fused".

    Args:
        params: what an optimizer takes: tensors, (name, tensor) pairs or groups. An iterator is used up.
    """
    params = list(params)
    tensors = list(_tensors(params))
    in_a_group = any(isinstance(group, dict) and bool(group.get("differentiable")) for group in params)
    if differentiable or in_a_group or any(tensor.layout != torch.strided for tensor in tensors):
        return "reference"
    if fused:
        return "fused"
    if foreach:
        return "foreach"
    if foreach is not None or fused is not None:
        return "reference"
    devices = {tensor.device.type for tensor in tensors}
    if devices <= {"cpu"}:
        return "fused"
    can_compile = devices <= _TRITON_DEVICES | {"cpu"} and importlib.util.find_spec("triton") is not None
    return "fused" if can_compile else "foreach"


def _tensors(params: Iterable[Any]) -> Iterator[Tensor]:
    for item in params:
        if isinstance(item, dict):
            members = item.get("params", ())
            yield from _tensors([members] if isinstance(members, Tensor) else members)
        elif isinstance(item, tuple):
            yield from _tensors(item[1:])
        elif isinstance(item, Tensor):
            yield item


def _face(subject: subjects.Subject) -> Face:
    step = f"optimizer.step({'closure' if subject.closure else ''})"
    example = f">>> optimizer = {subject.class_name}(model.parameters(), lr=0.01)\n>>> {step}"
    doc = documented(subject, __name__, example)
    # Where users find it, for messages and pickle.
    return _Face(subject.class_name, (Optimizer,), {"__module__": __package__, "__doc__": doc})


_FACES = {subject.class_name: _face(subject) for subject in subjects.select("optimizers")}
globals().update(_FACES)
__all__ = sorted(_FACES)
