"""What a step launches: kernels of an implementation's own, and torch's operations that move elements."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from optbench.registry import Implementation
from optbench.timing.traffic import Traffic


@dataclass(frozen=True)
class Passes:
    """What was counted in one step.

    Args:
        own: the implementation's own kernels, by name; empty where it has no way to tell of them.
        torch: torch's operations that move elements; on an accelerator every kernel, whoever launched it.
        moved_bytes: bytes that they read and write; 0 on an accelerator.
    """

    own: Counter[str]
    torch: int
    moved_bytes: int

    @property
    def total(self) -> int:
        return self.own.total() + self.torch


@dataclass
class _Nothing:
    """What an implementation without launches of its own counts."""

    launches: Counter[str] = field(default_factory=Counter)
    moved_bytes: int = 0


def passes(implementation: Implementation, step: Callable[[], object], device: str = "cpu") -> Passes:
    """Take a step and count. On a CPU, hold torch to one thread: launches of a team of threads are not seen."""
    if not device.startswith("cpu"):
        return Passes(Counter(), _kernels(step, device.partition(":")[0]), 0)
    with _counted(implementation) as own, Traffic() as traffic:
        step()
    return Passes(own.launches, traffic.passes, own.moved_bytes + traffic.moved_bytes)


def _counted(implementation: Implementation) -> Any:
    """A context that counts an implementation's own launches, if it can tell of any: its package has a `census`."""
    if implementation.ours and implementation.module:
        name = f"{implementation.module}.census"
        if importlib.util.find_spec(name) is not None:
            return importlib.import_module(name).taken()
    return contextlib.nullcontext(_Nothing())


def _kernels(step: Callable[[], object], kind: str) -> int:
    """Kernels that an accelerator ran, without copies and fills."""
    from torch.autograd import DeviceType
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[getattr(ProfilerActivity, kind.upper())]) as record:
        step()
        torch.accelerator.synchronize()
    return sum(
        event.device_type != DeviceType.CPU
        and not getattr(event, "is_user_annotation", False)
        and not event.name.startswith(("Memcpy", "Memset"))
        for event in record.events() or ()
    )
