"""The plan of a step: the buckets of an optimizer's tensors, and a fast test that they still hold."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, repeat
from operator import attrgetter, is_, is_not, itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from . import watch
from .backends import backend_for
from .bucket import Bucket
from .entry import Entry, GroupFacts, Key, arrange
from .lang import Rule
from .rows import sparse_grad

if TYPE_CHECKING:
    from .optimizer import FusedOptimizer

# Functions in C, mapped over lists: a thousand parameters are checked without bytecode for each.
_grad = attrgetter("grad")
_params = itemgetter("params")


class Section:
    """A bucket, the tensors in it, and what must not have changed about them."""

    def __init__(self, rule: Rule, key: Key, entries: list[Entry]) -> None:
        present = rule.present(key.flags)
        names = [name for name, exists in zip(rule.state, present, strict=True) if exists]
        names += [*["step"] * rule.stores_step, *rule.tensor_state]
        self.backend = backend_for(key.device)
        self.params = [entry.param for entry in entries]
        self._groups = np.array([entry.group for entry in entries])
        # Live views of the state dicts.
        self._live = [entry.state.values() for entry in entries]
        self._tensors = [entry.state[name] for entry in entries for name in names]

        count = len(entries)
        arrays = np.zeros((2 + len(rule.state), count), dtype=np.int64)
        rows = [0, 1] + [row + 2 for row, exists in enumerate(present) if exists]
        arrays[rows] = np.array([[array.data_ptr() for array in entry.arrays] for entry in entries]).T
        self.bucket = Bucket(
            rule=rule,
            flags=key.flags,
            dtype=key.dtype,
            device=key.device,
            arrays=arrays,
            numel=np.array([entry.param.numel() * (1 + entry.param.is_complex()) for entry in entries]),
            steps=np.array([0 if entry.step is None else entry.step.data_ptr() for entry in entries]),
            step_dtype=key.step_dtype,
            steps_on_device=key.steps_on_device,
            step_numbers=np.array([1.0 if entry.fresh else 2.0 for entry in entries]),
            hyper=np.zeros((count, len(rule.hyper))),
            tensor_state=np.array(
                [[entry.numbers[row].data_ptr() for entry in entries] for row in range(len(rule.tensor_state))],
                dtype=np.int64,
            ).reshape(-1, count),
            stored_dtype=key.stored_dtype,
            lr_tensor=entries[0].lr,
        )

    def watch(self) -> None:
        """Remember objects, layouts and addresses, for `holds`."""
        self._same_state = watch.objects(chain.from_iterable(self._live))
        self._same_memory = watch.memory(self.params, self._tensors)
        self._grads = watch.gradients(self.params, self.bucket.arrays[1])

    def holds(self) -> bool:
        """Whether all but the gradients' addresses is as it was; those are brought up to date."""
        moved = self._grads()
        if moved is None or not self._same_state(chain.from_iterable(self._live)) or not self._same_memory():
            return False
        self.bucket.revision += moved
        return True

    def set_hyper(self, table: npt.NDArray[np.float64]) -> None:
        """Give each tensor its group's row of hyperparameters."""
        self.bucket.hyper[:] = table[self._groups]
        self.bucket.revision += 1

    def run(self, grad_scale: Tensor | None, found_inf: Tensor | None) -> None:
        """Take one step of every tensor in the bucket."""
        bucket, backend = self.bucket, self.backend
        if grad_scale is not None:
            grad_scale = grad_scale.to(bucket.device)
        if found_inf is not None:
            found_inf = found_inf.to(bucket.device)
        scalars = backend.prepare(bucket, found_inf)
        if bucket.numel.any():
            backend.update(bucket, scalars, grad_scale, found_inf)
        if not bucket.rule.stores_step and bucket.step_numbers.min() < 2.0:
            bucket.step_numbers.fill(2.0)
            bucket.revision += 1


class Plan:
    """What the steps of one optimizer launch, as long as nothing but gradients' addresses and hyperparameters changes.

    Keeps parameters and states alive, gradients not.
    """

    def __init__(self, optimizer: FusedOptimizer, found_inf: Tensor | None) -> None:
        groups, self._rule = optimizer.param_groups, optimizer.rule
        self._get_options: Callable[[dict[str, Any]], tuple[Any, ...]] = itemgetter(*optimizer.options)
        self._options = [self._get_options(group) for group in groups]
        self._variable = [not _is_constant(options) for options in self._options]
        self._facts = [
            GroupFacts(i, optimizer.flags(group), _device_lr(self._rule, group)) for i, group in enumerate(groups)
        ]
        self._hyper = np.array([_hyper(optimizer, group) for group in groups], dtype=np.float64)
        self._steps_on_device = found_inf is not None

        entries: list[Entry] = []
        self._idle: list[Tensor] = []
        # Parameters whose gradients hold rows only, and their groups: what is touched is new at every step.
        self._sparse: list[tuple[Tensor, dict[str, Any]]] = []
        for index, group in enumerate(groups):
            for param in group["params"]:
                if param.grad is None:
                    self._idle.append(param)
                elif optimizer.takes_sparse and sparse_grad(param):
                    if refusal := optimizer.refuses_sparse(group):
                        raise RuntimeError(refusal)
                    self._sparse.append((param, group))
                else:
                    optimizer.check_grad(param)
                    state, fresh = optimizer.state_of(param, group)
                    entries.append(self._arrange(param, state, fresh, index))
        # Entries that every step must arrange anew: those with scratch copies, and empty ones, of which only the step
        # counts.
        loose = [entry for entry in entries if entry.copies or not entry.param.numel()]
        self._loose_params = [entry.param for entry in loose]
        self._loose_facts = [(entry.state, entry.group) for entry in loose]
        self._arranged: list[Entry] | None = loose
        steady = [entry for entry in entries if not entry.copies and entry.param.numel()]
        self._sections = self._make_sections(steady)
        for section in self._sections:
            section.watch()

        self._group_sizes = [len(group["params"]) for group in groups]
        self._same_params = watch.objects(chain.from_iterable(map(_params, groups)))
        self._same_states = watch.objects(optimizer.state.values())
        updated = [entry.param for entry in entries] + [param for param, _ in self._sparse]
        self._versioned = [param for param in updated if not param.is_inference()]

    def holds(self, optimizer: FusedOptimizer, found_inf: Tensor | None) -> bool:
        """Whether the plan still describes the optimizer, after taking over new addresses and hyperparameters."""
        groups = optimizer.param_groups
        try:
            return (
                [len(group["params"]) for group in groups] == self._group_sizes
                and self._same_params(chain.from_iterable(map(_params, groups)))
                and self._same_states(optimizer.state.values())
                and not any(map(is_not, map(_grad, self._idle), repeat(None)))
                and not any(map(is_, map(_grad, self._loose_params), repeat(None)))
                and all(sparse_grad(param) for param, _ in self._sparse)
                and self._steps_on_device == (found_inf is not None)
                and self._take_options(optimizer)
                and all(section.holds() for section in self._sections)
            )
        except (KeyError, TypeError, AttributeError):
            # A gradient or a state entry is gone, or is no tensor.
            return False

    def run(self, optimizer: FusedOptimizer, found_inf: Tensor | None) -> tuple[str, ...]:
        """Take a step; the names of the backends that did."""
        loose, copies = self._arrange_loose(optimizer)
        grad_scale: Tensor | None = getattr(optimizer, "grad_scale", None)
        names = []
        for section in self._sections + loose:
            section.run(grad_scale, found_inf)
            names.append(section.backend.NAME)
        for target, scratch in copies:
            if target is not scratch:
                target.copy_(scratch)
        if self._sparse:
            names += optimizer.update_sparse(self._sparse, grad_scale, found_inf)
        torch.autograd.graph.increment_version(self._versioned)
        return tuple(dict.fromkeys(names))

    def _arrange(self, param: Tensor, state: dict[str, Tensor], fresh: bool, group: int) -> Entry:
        on_device = self._steps_on_device and param.device.type != "cpu"
        return arrange(self._rule, param, state, fresh, self._facts[group], on_device)

    def _make_sections(self, entries: list[Entry]) -> list[Section]:
        by_key: dict[Key, list[Entry]] = {}
        for entry in entries:
            by_key.setdefault(entry.key, []).append(entry)
        sections = [Section(self._rule, key, members) for key, members in by_key.items()]
        for section in sections:
            section.set_hyper(self._hyper)
        return sections

    def _arrange_loose(self, optimizer: FusedOptimizer) -> tuple[list[Section], list[tuple[Tensor, Tensor]]]:
        entries, self._arranged = self._arranged, None
        if not self._loose_params:
            return [], []
        if entries is None:
            for param in self._loose_params:
                optimizer.check_grad(param)
            facts = zip(self._loose_params, self._loose_facts, strict=True)
            entries = [self._arrange(param, state, False, group) for param, (state, group) in facts]
        copies = list(chain.from_iterable(entry.copies for entry in entries))
        return self._make_sections(entries), copies

    def _take_options(self, optimizer: FusedOptimizer) -> bool:
        changed = False
        for index, group in enumerate(optimizer.param_groups):
            options = self._get_options(group)
            if options == self._options[index] and not self._variable[index]:
                continue
            facts = self._facts[index]
            if optimizer.flags(group) != facts.flags or _device_lr(self._rule, group) is not facts.device_lr:
                return False
            self._options[index], self._variable[index] = options, not _is_constant(options)
            row = np.array(_hyper(optimizer, group), dtype=np.float64)
            if not np.array_equal(row, self._hyper[index], equal_nan=True):
                self._hyper[index] = row
                changed = True
        if changed:
            for section in self._sections:
                section.set_hyper(self._hyper)
        return True


def _is_constant(value: Any) -> bool:
    """Whether a value that compares equal is the same: not so for tensors and lists, which change in place."""
    if isinstance(value, tuple):
        return all(map(_is_constant, value))
    return value is None or isinstance(value, int | float)


def _device_lr(rule: Rule, group: dict[str, Any]) -> Tensor | None:
    """The group's learning rate, if every one of its parameters can read it on their device."""
    lr = group["lr"]
    if not isinstance(lr, Tensor) or lr.device.type == "cpu" or "lr" not in rule.hyper:
        return None
    return lr if all(param.device == lr.device for param in group["params"]) else None


def _hyper(optimizer: FusedOptimizer, group: dict[str, Any]) -> tuple[float, ...]:
    # What the device reads, the host must not wait for.
    return optimizer.hyper(group if _device_lr(optimizer.rule, group) is None else group | {"lr": float("nan")})
