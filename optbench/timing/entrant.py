"""One implementation at work on an arena."""

from __future__ import annotations

import contextlib
import functools
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from optbench import registry
from optbench.errors import NothingToRun, UsageError
from optbench.registry import Implementation
from optbench.subjects import Subject
from optbench.timing.arena import Arena
from optbench.trials.base import Unsupported

_FIRST_CALLS: dict[tuple[str, str, str, str], float | None] = {}


class Refused(Exception):
    """No figure can be given; the message is the reason."""


class Entrant:
    """An optimizer on the arena's parameters.

    Args:
        implementation: what to build.
        subject: the algorithm.
        options: hyperparameters.
        arena: parameters, gradients and state that all share.
        shares: whether its state moves into the arena; if not, it keeps its own.

    Raises:
        Refused: it cannot be built.
    """

    def __init__(
        self,
        implementation: Implementation,
        subject: Subject,
        options: Mapping[str, Any],
        arena: Arena,
        shares: bool = True,
    ) -> None:
        self.implementation = implementation
        self.name = implementation.name
        self.subject, self.options, self.arena, self.shares = subject, dict(options), arena, shares
        self.optimizer = build(implementation, subject, arena.params, options)
        self._alias = _alias(implementation, subject)

    def step(self) -> None:
        self.optimizer.step()

    def state(self, param: Tensor) -> dict[str, Any]:
        """The state of a parameter under the declared names."""
        return {self._alias.get(name, name): value for name, value in self._kept(param).items()}

    def known_state(self) -> dict[str, list[Any]] | None:
        """Every declared tensor, by name and parameter, None for parameters that have none of the name.

        None where one is kept under no known name.
        """
        like_params = {name: self._entries(name) for name in self.subject.state_names(self.options)}
        if any(value is None for value in like_params.values()):
            return None
        names = [name for name in self.subject.tensor_names(self.options) if name not in like_params]
        return {**like_params, **{name: self._tensors(name) for name in names}}  # type: ignore[dict-item]

    def move_in(self) -> None:
        """After the first step: give up the state's own memory for the arena's."""
        kept = self.known_state()
        if not self.shares or kept is None:
            return
        own = {declared: name for name, declared in self._alias.items()}
        for name, tensors in kept.items():
            shared = self.arena.state.setdefault(name, tensors)
            for param, tensor, mine in zip(self.arena.params, shared, tensors, strict=True):
                # Its own dtype or strides are part of what it is; then it keeps its own memory.
                if tensor is None or mine is None:
                    continue
                if tensor.dtype == mine.dtype and tensor.stride() == mine.stride():
                    self._kept(param)[own.get(name, name)] = tensor

    def steps_taken(self) -> int | None:
        """What the implementation's own counter says; None where it keeps none."""
        value = self.state(self.arena.params[0]).get("step")
        return None if value is None else int(value)

    def numbers(self) -> dict[str, Tensor]:
        """0-d state that is no counter; every parameter's is the same, because all have taken the same steps."""
        state = self.state(self.arena.params[0])
        names = self.subject.number_names(self.options)
        return {name: state[name].detach().cpu().clone() for name in names if name in state}

    def state_bytes(self) -> int:
        """Bytes of all state tensors, counters included."""
        kept = [value for param in self.arena.params for value in self._kept(param).values()]
        return sum(value.nbytes for value in kept if isinstance(value, Tensor))

    def _kept(self, param: Tensor) -> dict[str, Any]:
        state = getattr(self.optimizer, "state", {})
        # Foreign state may be a defaultdict: a look-up must not make an entry.
        return state.get(param, {})

    def _tensors(self, name: str) -> list[Any]:
        own = next((theirs for theirs, declared in self._alias.items() if declared == name), name)
        return [self._kept(param).get(own) for param in self.arena.params]

    def _entries(self, name: str) -> list[Tensor] | None:
        found = self._tensors(name)
        if all(isinstance(t, Tensor) and t.shape == p.shape for t, p in zip(found, self.arena.params, strict=True)):
            return found
        return None


def build(implementation: Implementation, subject: Subject, params: list[Tensor], options: Mapping[str, Any]) -> Any:
    """The optimizer, or `Refused` with what its constructor said."""
    with building():
        if implementation.target:
            return _build_foreign(implementation, subject, params, options)
        return registry.build(implementation, subject.class_name, params, options)


@contextlib.contextmanager
def building() -> Iterator[None]:
    """Turn what goes wrong where a contestant is built into `Refused`; a mistake of the user's stays one."""
    try:
        yield
    except (Refused, UsageError):
        raise
    except (NothingToRun, Unsupported) as error:
        raise Refused(str(error)) from error
    except Exception as error:
        raise Refused(f"it cannot be built: {one_line(error)}") from error


def _build_foreign(
    implementation: Implementation, subject: Subject, params: list[Tensor], options: Mapping[str, Any]
) -> Any:
    from optbench.foreign.loading import describe

    accepted = describe(implementation.target, subject.class_name)["options"]
    if accepted is None:
        return registry.build(implementation, subject.class_name, params, options)
    lacking = sorted(set(options).difference(accepted))
    if lacking:
        raise Refused(f"no such option: {', '.join(lacking)}")
    # Its defaults may differ from torch's; the oracle's are torch's. So every option that it takes is given.
    given = {name: value for name, value in subject.complete(options).items() if name in accepted}
    return registry.build(implementation, subject.class_name, params, given)


def _alias(implementation: Implementation, subject: Subject) -> Mapping[str, str]:
    if not implementation.target:
        return {}
    from optbench.foreign.loading import describe

    state: Mapping[str, str] = describe(implementation.target, subject.class_name)["state"]
    return state


def one_line(error: BaseException) -> str:
    """Type and message of an error, without line breaks."""
    text = " ".join(str(error).split())
    return (f"{type(error).__name__}: {text}" if text else type(error).__name__)[:300]


@functools.cache
def _warm_torch() -> None:
    """The process's very first optimizer imports a good part of torch, whoever made it."""
    param = torch.ones(1, requires_grad=True)
    param.grad = torch.ones(1)
    torch.optim.SGD([param], lr=0.1).step()


def first_call(
    implementation: Implementation, subject: Subject, options: Mapping[str, Any], arena: Arena
) -> float | None:
    """Seconds to import, build and step once on one parameter of 1,024 elements, the first time in this process.

    None where the implementation is ours and was imported before, so that it may have compiled already.
    """
    device, dtype = arena.params[0].device, arena.dtype
    key = (implementation.name, subject.name, str(dtype), str(device))
    if key in _FIRST_CALLS:
        return _FIRST_CALLS[key]
    _warm_torch()
    known = implementation.ours and implementation.module in sys.modules
    shape = (32,) * (subject.dimensions or 2)
    param = torch.ones(shape, dtype=dtype, device=device, requires_grad=True)
    grad = torch.ones(shape, dtype=dtype, device=device)
    param.grad = grad.to_sparse(1) if subject.sparse else grad
    start = time.perf_counter()
    optimizer = build(implementation, subject, [param], options)
    try:
        optimizer.step()
        # Reading an element waits for an accelerator.
        param.flatten()[0].item()
    except Exception as error:
        raise Refused(f"its first step raised {one_line(error)}") from error
    _FIRST_CALLS[key] = None if known else time.perf_counter() - start
    return _FIRST_CALLS[key]
