"""torch.optim's own table, found out by running it: which path each optimizer takes by default, and which it has."""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from optbench.errors import NothingToRun, UsageError

_KINDS = {"_single_tensor_": "for-loop", "_multi_tensor_": "foreach", "_fused_": "fused"}


@dataclass(frozen=True)
class Paths:
    """What torch.optim has of one algorithm on a device: the path it takes by itself, and whether the others work."""

    name: str
    default: str
    foreach: bool
    fused: bool


def require_device(device: str) -> None:
    """Make sure that tensors can live on a device.

    Raises:
        UsageError: torch knows no such device type.
        NothingToRun: it is not there.
    """
    try:
        torch.device(device)
    except RuntimeError as error:
        raise UsageError(f"--device {device!r}: {_first_line(error)}.") from error
    try:
        torch.zeros(1, device=device) + 1
    except Exception as error:
        raise NothingToRun(f"--device {device!r} is not there: {_first_line(error)}.") from error


def torch_paths(device: str) -> list[Paths]:
    """One row for each optimizer of torch.optim."""
    classes = [getattr(torch.optim, name) for name in sorted(torch.optim.__all__)]
    found = []
    for cls in classes:
        if inspect.isclass(cls) and issubclass(cls, torch.optim.Optimizer) and cls is not torch.optim.Optimizer:
            foreach, fused = (_took(cls, device, {flag: True}) == flag for flag in ("foreach", "fused"))
            found.append(Paths(cls.__name__, _took(cls, device, {}) or "for-loop", foreach, fused))
    return found


def _took(cls: type[Any], device: str, flags: dict[str, bool]) -> str | None:
    """The path that a step ran, by a spy on each; None where the optimizer refuses or has no such paths."""
    shape = (2, 2)
    param = torch.nn.Parameter(torch.ones(shape, device=device))
    try:
        with warnings.catch_warnings(), ExitStack() as stack:
            warnings.simplefilter("ignore")
            # A path may stand in another module than its class: AdamW's are Adam's.
            modules = [module for name, module in sys.modules.items() if name.startswith("torch.optim.")]
            ran = [stack.enter_context(_spies(module)) for module in modules]
            optimizer = cls([param], **flags)
            param.grad = torch.ones(shape, device=device)
            if cls.__name__ == "SparseAdam":
                param.grad = param.grad.to_sparse()
            optimizer.step(lambda: param.detach().sum())
    except (RuntimeError, TypeError, ValueError):
        return None
    return next((kinds[-1] for kinds in ran if kinds), None)


@contextmanager
def _spies(module: Any) -> Iterator[list[str]]:
    """Note which of a module's path functions are called."""
    ran: list[str] = []
    originals = {
        name: function
        for name, function in vars(module).items()
        if callable(function) and any(name.startswith(prefix) for prefix in _KINDS)
    }

    def spy(name: str, function: Any) -> Any:
        kind = next(kind for prefix, kind in _KINDS.items() if name.startswith(prefix))

        def call(*arguments: Any, **named: Any) -> Any:
            ran.append(kind)
            return function(*arguments, **named)

        return call

    try:
        for name, function in originals.items():
            setattr(module, name, spy(name, function))
        yield ran
    finally:
        for name, function in originals.items():
            setattr(module, name, function)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
