"""Figures that do not depend on the machine's mood, for asv to track: dispatched operations and state."""

from __future__ import annotations

from typing import Any

import torch

from optbench import registry, subjects
from optbench.timing.probe import watch

TIMED = [item.name for item in registry.IMPLEMENTATIONS.values() if item.default and not item.worker]


class Step:
    """One step of 100 tensors of 64 elements."""

    params = (list(subjects.NAMES), TIMED)
    param_names = ("algo", "implementation")

    def setup(self, algo: str, implementation: str) -> None:
        tensors = [torch.ones(64, requires_grad=True) for _ in range(100)]
        for tensor in tensors:
            tensor.grad = torch.ones(64)
        subject = subjects.load(algo)
        self.optimizer: Any = registry.build(registry.find(implementation), subject.class_name, tensors, {})
        self.optimizer.step()

    def track_dispatched_ops(self, algo: str, implementation: str) -> int:
        return watch(self.optimizer.step, "cpu").count

    def track_state_bytes(self, algo: str, implementation: str) -> int:
        entries = (value for state in self.optimizer.state.values() for value in state.values())
        return sum(value.nbytes for value in entries if isinstance(value, torch.Tensor))

    track_dispatched_ops.unit = "ops"  # type: ignore[attr-defined]
    track_state_bytes.unit = "bytes"  # type: ignore[attr-defined]
