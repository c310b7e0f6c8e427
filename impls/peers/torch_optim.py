"""torch.optim's own code paths, each under a name of its own.

Each function takes the name of a class in torch.optim and returns a factory that is called as the class is and makes an
object of that very class. Where torch has no such path, the function returns None. Names that start with "swa_utils."
are those of that module; see torch_swa.

Example: `fused("Adam")(model.parameters(), lr=1e-3)` is `torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)`.
"""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch.optim import Optimizer

from . import torch_swa

Factory = Callable[..., Any]
_SWA = "swa_utils."


def forloop(name: str) -> Factory | None:
    """The loop over parameters: neither horizontal nor vertical fusion; averages by an `avg_fn`."""
    if name.startswith(_SWA):
        return torch_swa.AVG_FN.get(name.removeprefix(_SWA))
    known = _flags(name)
    return None if known is None else _factory(name, {flag: False for flag in ("foreach", "fused") if flag in known})


def foreach(name: str) -> Factory | None:
    """Horizontal fusion: each operation over all parameters at once; averages by a `multi_avg_fn`."""
    if name.startswith(_SWA):
        return torch_swa.MULTI_AVG_FN.get(name.removeprefix(_SWA))
    return _factory(name, {"foreach": True}) if "foreach" in (_flags(name) or ()) else None


def fused(name: str) -> Factory | None:
    """Vertical fusion: torch's own kernels for a whole step."""
    return _factory(name, {"fused": True}) if "fused" in (_flags(name) or ()) else None


def compiled(name: str) -> Factory | None:
    """torch.compile of `step`, compiled at the first step. A deepcopy or an unpickled one steps uncompiled."""
    if _flags(name) is None:
        return None
    build = _factory(name, {})

    @wraps(build)
    def build_compiled(*args: Any, **options: Any) -> Optimizer:
        optimizer = build(*args, **options)
        optimizer.step = torch.compile(optimizer.step)  # type: ignore[assignment, method-assign]
        return optimizer

    return build_compiled


def _flags(name: str) -> frozenset[str] | None:
    """The arguments of a class in torch.optim; None where there is no such class."""
    optimizer_class = getattr(torch.optim, name, None)
    if not inspect.isclass(optimizer_class) or not issubclass(optimizer_class, Optimizer):
        return None
    return frozenset(inspect.signature(optimizer_class).parameters)


def _factory(name: str, flags: dict[str, bool]) -> Factory:
    optimizer_class = getattr(torch.optim, name)

    # The flags win over the caller's: a factory that is named for a path must not give another one.
    @wraps(optimizer_class, updated=())
    def build(*args: Any, **options: Any) -> Optimizer:
        return optimizer_class(*args, **{**options, **flags})

    return build
