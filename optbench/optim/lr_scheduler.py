"""torch.optim.lr_scheduler's schedulers, of the fastest tier that conforms.

    from optbench.optim.lr_scheduler import OneCycleLR
    scheduler = OneCycleLR(optimizer, max_lr=0.1, total_steps=1000)

Calling a name makes a scheduler of one tier, whose state_dict torch and every other tier can load; it takes any
optimizer, and composites take schedulers of any tier, and torch's. Which tier:

    rates are Python floats     foreach, the rates of all groups at once
    a rate is a tensor          fused, which can write it on its device without the host

`LRScheduler`, the class to derive from, is torch's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler

from .. import subjects
from .face import Face, documented

if TYPE_CHECKING:
    # What type checkers and editors see: the classes below have the reference tier's arguments, which are torch's.
    from ..reference.lr_scheduler import *  # noqa: F403


class SchedulerFace(Face):
    """The type of names that choose a scheduler's tier."""

    submodule = "lr_scheduler"

    def choose(cls, options: dict[str, Any]) -> str:
        return choose_tier(options.get("optimizer") or _of_part(options.get("schedulers")))


def choose_tier(optimizer: Any) -> str:
    """The tier of schedulers for an optimizer: "foreach" or "fused"."""
    groups = getattr(optimizer, "param_groups", ())
    return "fused" if any(isinstance(group.get("lr"), Tensor) for group in groups) else "foreach"


def _of_part(schedulers: Any) -> Any:
    """The optimizer that the parts of a composite are of; None where they are no schedulers, which a tier refuses."""
    try:
        return getattr(schedulers[0], "optimizer", None)
    except (IndexError, KeyError, TypeError):
        return None


def face(subject: subjects.Subject, kind: type[Face], module: str) -> Face:
    """The name of a scheduler in a module of names."""
    required = ", ".join(option.name for option in subject.options if str(option.default) == "required")
    arguments = ", ".join(f"{name}={name}" for name in required.split(", ") if name)
    call = f"optimizer, {arguments}".rstrip(", ")
    if subject.class_name == "ChainedScheduler":
        call = "schedulers"
    step = "scheduler.step(metric)" if subject.class_name == "ReduceLROnPlateau" else "scheduler.step()"
    example = f">>> scheduler = {subject.class_name}({call})\n>>> {step}"
    doc = documented(subject, "optbench.optim.lr_scheduler", example)
    return kind(subject.class_name, (LRScheduler,), {"__module__": module, "__doc__": doc})


_FACES = {
    subject.class_name: face(subject, SchedulerFace, __name__)
    for subject in subjects.select("schedulers")
    if subject.module == SchedulerFace.submodule
}
globals().update(_FACES)
__all__ = sorted([*_FACES, "LRScheduler"])
