"""Optimizers for people who train: torch.optim's names and arguments, the fastest tier that conforms on this device.

    from optbench.optim import AdamW
    optimizer = AdamW(model.parameters(), lr=3e-4)

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

import importlib
import importlib.util
import inspect
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer

from . import subjects

if TYPE_CHECKING:
    # What type checkers and editors see: the classes below have the reference tier's arguments, which are torch's.
    from .reference import *  # noqa: F403

_TIERS = {"reference": "optbench.reference", "foreach": "optbench.impls.foreach", "fused": "optbench.impls.fused"}
# Device types that Triton compiles for.
_TRITON_DEVICES = frozenset({"cuda", "xpu"})
_DOC = """{0.class_name}, of the tier that this module's page names: {0.summary}.

Args: those of torch.optim.{0.class_name}, which this signature shows; `optbench show {0.name}` tells what each is for.

Raises: what the tier raises.

Example:
    >>> optimizer = {0.class_name}(model.parameters(), lr=0.01)
    >>> optimizer.step({1})

Source: {2.authors}, {2.year}, {2.url}.
"""


class _Face(type):
    """The type of this module's classes: calling one gives an optimizer of the tier that the arguments select."""

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> _Face:
        for base in bases:
            if isinstance(base, _Face):
                raise TypeError(
                    f"{name} cannot derive from optbench.optim.{base.__name__}, which only chooses a tier: "
                    f"derive from a tier's class, such as optbench.reference.{base.__name__}"
                )
        return super().__new__(cls, name, bases, namespace)

    def __call__(cls, *arguments: Any, **named: Any) -> Any:
        try:
            options = cls.__signature__.bind(*arguments, **named).arguments
        except TypeError as error:
            raise TypeError(f"{cls.__name__}: {error}") from None
        params = options["params"]
        if not isinstance(params, Tensor) and isinstance(params, Iterable):
            # An iterator can be walked only once.
            options["params"] = list(params)
            flags = {flag: options.get(flag) for flag in ("foreach", "fused", "differentiable")}
            tier = choose_tier(options["params"], **flags)
        else:
            # What is no iterable of parameters, the tier's constructor refuses in torch's words.
            tier = "reference"
        return _tier_class(tier, cls.__name__)(**options)

    def __instancecheck__(cls, instance: Any) -> bool:
        return any(
            base.__name__ == cls.__name__ and base.__module__.rpartition(".")[0] in _TIERS.values()
            for base in type(instance).__mro__
        )

    @property
    def __signature__(cls) -> inspect.Signature:
        return inspect.signature(_tier_class("reference", cls.__name__))


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


def _tier_class(tier: str, name: str) -> type[Optimizer]:
    found: type[Optimizer] = getattr(importlib.import_module(_TIERS[tier]), name)
    return found


def _tensors(params: Iterable[Any]) -> Iterator[Tensor]:
    for item in params:
        if isinstance(item, dict):
            members = item.get("params", ())
            yield from _tensors([members] if isinstance(members, Tensor) else members)
        elif isinstance(item, tuple):
            yield from _tensors(item[1:])
        elif isinstance(item, Tensor):
            yield item


def _face(subject: subjects.Subject) -> _Face:
    closure = "closure" if subject.closure else ""
    doc = _DOC.format(subject, closure, subject.papers[0])
    return _Face(subject.class_name, (Optimizer,), {"__module__": __name__, "__doc__": doc})


_FACES = {subject.class_name: _face(subject) for subject in subjects.select("optimizers")}
globals().update(_FACES)
__all__ = sorted(_FACES)
