"""What a law did with its optimizers: built on which tensors, stepped with which gradients; enough to do it again.

What a law did beside that, such as writing into a parameter, is not on the tape: a script made from it is tried before
it is given to anybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from optbench.case import AsTensor
from optbench.subjects import Subject
from optbench.trials import oracle


@dataclass(frozen=True)
class Memory:
    """A tensor as it lies: the memory that it is a view of, its shape, strides and offset; or a sparse tensor.

    `seed` is what its numbers were drawn by, where that is known.
    """

    held: Tensor
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    seed: int | None = None

    @classmethod
    def of(cls, tensor: Tensor) -> Memory:
        """A copy of a tensor with all that its memory holds."""
        plain = tensor.detach()
        if plain.layout is not torch.strided:
            return cls(plain.clone(), tuple(plain.shape), (), 0)
        held = torch.empty(0, dtype=plain.dtype, device=plain.device).set_(plain.untyped_storage())  # type: ignore[call-overload]
        return cls(held.clone(), tuple(plain.shape), plain.stride(), int(plain.storage_offset()))

    @property
    def sparse(self) -> bool:
        return self.held.layout is not torch.strided

    @property
    def tensor(self) -> Tensor:
        """The tensor, made anew."""
        held = self.held.clone()
        return held if self.sparse else held.as_strided(self.shape, self.stride, self.offset)

    @property
    def plain(self) -> bool:
        """Whether the memory holds nothing but the elements in their order."""
        return not self.sparse and self.tensor.is_contiguous() and self.held.numel() == self.tensor.numel()


@dataclass(frozen=True)
class Step:
    """A step, and what was done before it.

    Args:
        grads: gradients of all parameters, in the order of the groups.
        changed: options that were changed, by group.
        replaced: parameters that were given other memory or other values.
    """

    grads: tuple[Memory | None, ...]
    changed: Mapping[int, Mapping[str, Any]]
    replaced: Mapping[int, Memory]


@dataclass
class Track:
    """One optimizer's part of the tape.

    Args:
        optimizer: the optimizer itself.
        params, starts: its parameters, and how they lay, when it was built.
        options: hyperparameters that it was given for all groups.
        groups: number of parameters of each group, and the group's own options.
        steps: the steps that it took.
        marked: how many of them it had taken when something first went wrong.
    """

    optimizer: Any
    params: list[Tensor]
    starts: list[Memory]
    options: Mapping[str, Any]
    groups: list[tuple[int, Mapping[str, Any]]]
    steps: list[Step] = field(default_factory=list)
    marked: int | None = None
    _known: list[dict[str, Any]] = field(default_factory=list)
    _left: list[Tensor] = field(default_factory=list)

    def step(self) -> None:
        """Keep what the optimizer is about to take."""
        groups = [{name: value for name, value in group.items() if name != "params"}
                  for group in self.optimizer.param_groups]  # fmt: skip
        changed = {
            i: {name: value for name, value in group.items() if name in before and not _same(value, before[name])}
            for i, (group, before) in enumerate(zip(groups, self._known, strict=False))
        }
        self._known = groups
        left = self._left or [param.detach() for param in self.params]
        replaced = {
            i: Memory.of(param)
            for i, (param, before) in enumerate(zip(self.params, left, strict=True))
            if param.stride() != before.stride() or not torch.equal(param.detach().nan_to_num(), before.nan_to_num())
        }
        grads = tuple(None if param.grad is None else Memory.of(param.grad) for param in self.params)
        self.steps.append(Step(grads, {i: options for i, options in changed.items() if options}, replaced))

    def leave(self) -> None:
        """Keep how the parameters are left: what is different at the next step is somebody's doing."""
        self._left = [param.detach().clone() for param in self.params]


class Tape:
    """Everything that a law's optimizers of the implementation under test did, an optimizer a track.

    Args:
        dry: steps are kept, and not taken: they would end the process.
    """

    def __init__(self, dry: bool = False) -> None:
        self.dry = dry
        self.tracks: list[Track] = []

    def built(self, optimizer: Any, params: Any, options: Mapping[str, Any]) -> None:
        """Keep how an optimizer was built, where it was of tensors or of groups of them."""
        if not isinstance(params, list) or not params:
            return
        groups = params if isinstance(params[0], dict) else [{"params": params}]
        lists = [list(group["params"]) for group in groups]
        flat = [param for some in lists for param in some]
        own = [{name: value for name, value in group.items() if name != "params"} for group in groups]
        track = Track(optimizer, flat, [Memory.of(param) for param in flat], dict(options),
                      list(zip(map(len, lists), own, strict=True)))  # fmt: skip
        self.tracks.append(track)

    def stepped(self, optimizer: Any) -> None:
        """Keep a step that is about to be taken."""
        for track in self.tracks:
            if track.optimizer is optimizer:
                track.step()

    def left(self, optimizer: Any) -> None:
        """Keep how a step, or whoever puts an optimizer's run on the oracle's way, leaves the parameters."""
        for track in self.tracks:
            if track.optimizer is optimizer:
                track.leave()

    def mark(self) -> None:
        """Keep how far everything is. Of what is not taken nothing is right, and everything is kept."""
        for track in self.tracks:
            track.marked = None if self.dry else len(track.steps)

    def where(self, tensor: Tensor) -> tuple[Track, int, str] | None:
        """The track, parameter and name of a tensor: "param", "grad", or a key of the parameter's state."""
        for track in reversed(self.tracks):
            for i, param in enumerate(track.params):
                state = track.optimizer.state.get(param, {})
                named = {"param": param, "grad": param.grad, **state}
                name = next((name for name, value in named.items() if value is tensor), None)
                if name is not None:
                    return track, i, name
        return None


def replayed(track: Track, subject: Subject, judge: str, dtype: torch.dtype) -> tuple[list[Tensor], Any]:
    """The same steps by the oracle's judge, from the same numbers: the parameters after them, and the optimizer.

    Args:
        track: what was done.
        subject: the algorithm.
        judge: name of an implementation.
        dtype: to compute in, a real one; complex parameters stay complex.
    """

    def cast(memory: Memory) -> Tensor:
        return memory.tensor.to("cpu", dtype.to_complex() if memory.held.is_complex() else dtype)

    params = [cast(start).clone().requires_grad_() for start in track.starts]
    left = iter(params)
    groups = [{"params": [next(left) for _ in range(count)], **_numbers(own)} for count, own in track.groups]
    optimizer = oracle.construct(subject, track.options, groups, judge, track.starts[0].held.dtype)
    for step in track.steps:
        for i, changed in step.changed.items():
            optimizer.param_groups[i].update(_numbers(changed))
        for i, values in step.replaced.items():
            params[i].data = cast(values)
        for param, grad in zip(params, step.grads, strict=True):
            param.grad = None if grad is None else cast(grad)
        optimizer.step()
    return params, optimizer


def _numbers(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a group as any path takes them: tensors as numbers."""
    plain = {name: value.value if isinstance(value, AsTensor) else value for name, value in options.items()}
    return {name: value.item() if isinstance(value, Tensor) else value for name, value in plain.items()}


def _same(a: Any, b: Any) -> bool:
    return a is b or (not isinstance(a, Tensor) and not isinstance(b, Tensor) and a == b)
