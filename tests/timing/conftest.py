"""Implementations with planted faults, and the fixture that registers them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
import torch

from optbench.registry import Implementation
from optbench.timing import entrant


class Honest(torch.optim.Adam):
    def __init__(self, params: Any, **options: Any) -> None:
        super().__init__(params, foreach=False, **options)


class Wrong(Honest):
    """Adam with a beta2 that is off in the fourth digit."""

    def __init__(self, params: Any, **options: Any) -> None:
        super().__init__(params, betas=(0.9, 0.9991), **options)


class Lazy(Honest):
    """Does nothing at all."""

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for param in group["params"]:
                zeros = {"exp_avg": torch.zeros_like(param), "exp_avg_sq": torch.zeros_like(param)}
                self.state.setdefault(param, {"step": torch.tensor(0.0), **zeros})


class SkipsTheTail(Honest):
    """Leaves the last three elements of every tensor alone."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        kept = [param.detach().reshape(-1)[-3:].clone() for group in self.param_groups for param in group["params"]]
        super().step()
        params = [param for group in self.param_groups for param in group["params"]]
        for param, values in zip(params, kept, strict=True):
            param.view(-1)[-3:] = values


class Remembers(Honest):
    """Keeps the gradients of its first step."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        params = [param for group in self.param_groups for param in group["params"]]
        if not hasattr(self, "kept"):
            self.kept = [param.grad.clone() for param in params]
        now = [param.grad for param in params]
        for param, grad in zip(params, self.kept, strict=True):
            param.grad = grad
        super().step()
        for param, grad in zip(params, now, strict=True):
            param.grad = grad


class WritesGradients(Honest):
    """Right, but halves the gradients."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        super().step()
        for group in self.param_groups:
            for param in group["params"]:
                param.grad.mul_(0.5)


class Tires(Honest):
    """Right for the first six steps, more than are checked before the race, and then fast."""

    steps = 0

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        self.steps += 1
        if self.steps <= 6:
            super().step()


class Raises(Honest):
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        raise FloatingPointError("no such kernel\nin this build")


class CannotBeBuilt:
    def __init__(self, params: Any, **options: Any) -> None:
        raise RuntimeError("needs a newer driver")


class ClaimsToBeFused(Honest):
    """A for-loop that says it ran on Numba."""

    backend = "numba"


class OtherBackend(Honest):
    backend = "triton-interpreter"


Plant = Callable[..., Implementation]


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Plant:
    """Makes an implementation whose Adam is the class of that name above, called and backed as the test says."""
    monkeypatch.setattr(entrant, "_FIRST_CALLS", {})

    def make(cls: str, name: str = "", backend: str = "torch") -> Implementation:
        module = ModuleType(f"planted_{cls}")
        module.Adam = globals()[cls]  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return Implementation(name or cls, "planted", module=module.__name__, backend={"*": backend})

    return make


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Two OpenMP threads on a busy machine make small steps take seconds."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
