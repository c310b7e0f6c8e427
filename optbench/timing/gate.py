"""No number for a wrong result: before a workload is timed, every contestant steps on it and is judged by the oracle.

The steps are taken on the workload itself, at full size, by the very optimizer that is timed afterwards; the oracle
judges a sample of the elements. Each step is judged alone: before it the sampled elements of parameters, gradients and
state are set to the oracle's inputs. After the race one more step is judged, so that an implementation that stops
working once it has been checked is found out too. An algorithm whose update sees a whole tensor is judged on some whole
tensors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from optbench.subjects import Subject
from optbench.timing.arena import Arena
from optbench.timing.entrant import Entrant, Refused, one_line
from optbench.timing.probe import Tally, impostor, watch
from optbench.timing.sample import SAMPLE, Sample, Whole
from optbench.trials import oracle
from optbench.trials.checker import Checker
from optbench.trials.error import Quantity, real, real_dtype, scaled, worst
from optbench.trials.oracle import After, Before

# Gradients of the judged steps, as multiples of the standing one: powers of two, so that they stay exact.
SCALES = (1.0, -0.5, 2.0)
_FINAL_SCALE = -1.0
# The step after the race is judged for each contestant by itself, so on less.
_FINAL_SAMPLE = 1 << 12
_FINAL_TENSORS = 64
# Tensors that are judged whole: how many, before and after the race, and the largest. The oracle takes the step with
# ten copies of each.
_WHOLE, _FINAL_WHOLE = 4, 2
_LARGEST_WHOLE = 1 << 18
# The step that is watched: the first one makes the state.
_WATCHED = 1


@dataclass(frozen=True)
class Pass:
    """What the gate learnt about an entrant that passed it.

    Args:
        tally: what one step dispatched; None where watching would change what runs (torch.compile).
        error: the largest scaled error.
    """

    tally: Tally | None
    error: float


@dataclass(frozen=True)
class _Part:
    """The parameters of one dtype, and which of their elements are judged."""

    where: list[int]
    dtype: torch.dtype
    sample: Sample | Whole
    grad: Tensor

    def keeps(self, tensors: Sequence[Tensor | None]) -> bool:
        """Whether there is such a tensor for every parameter."""
        return all(tensors[i] is not None for i in self.where)

    def read(self, tensors: Sequence[Any]) -> Tensor:
        return self.sample.read([tensors[i] for i in self.where])

    def write(self, tensors: Sequence[Any], values: Tensor) -> None:
        self.sample.write([tensors[i] for i in self.where], values)


class Gate:
    """Judges entrants on one workload.

    Args:
        subject: the algorithm.
        options: hyperparameters.
        arena: what all step on; as it is now is where the first step starts.
        device: a torch device.
        seed: seeds the sample and the oracle.
        limit: number of elements to judge.
        steps: number of steps; two at least, to see more than a first one.
    """

    def __init__(
        self,
        subject: Subject,
        options: Mapping[str, Any],
        arena: Arena,
        device: str,
        seed: int = 0,
        limit: int = SAMPLE,
        steps: int = len(SCALES),
    ) -> None:
        self.subject, self.options, self.arena = subject, dict(options), arena
        self.device, self.seed = device, seed
        self._scales = SCALES[:steps]
        self._parts = self._split(limit)
        self._few = self._split(_FINAL_SAMPLE, _FINAL_TENSORS)
        self._inputs = [[Before(part.read(arena.params), part.grad) for part in self._parts]]
        self._afters: dict[tuple[str, int], list[After]] = {}

    def admit(self, entrant: Entrant) -> Pass:
        """Step and judge a fresh entrant, whose state moves into the arena after the first step.

        Raises:
            Refused: it does not match the oracle, or is not what its name says.
        """
        judge = oracle.judge_for(entrant.name, self.subject)
        tally, largest = None, 0.0
        for k, scale in enumerate(self._scales):
            befores = self._before(k)
            self._place(entrant, befores)
            watched = self._step(entrant, k == _WATCHED, scale)
            tally = tally or watched
            checker = self._compare(entrant, self._parts, befores, self._after(judge, k), f"step {k + 1}", k + 1)
            if checker.verdict == "fail":
                raise Refused(f"it does not match the oracle on this workload: {checker.message}")
            largest = max(largest, checker.error or 0.0)
            if k == 0:
                entrant.move_in()
        self._set_gradients(self._parts, 1.0)
        return Pass(tally, largest)

    def still(self, entrant: Entrant) -> None:
        """Judge one more step from where the arena now stands.

        Raises:
            Refused: the implementation no longer does what it did.
        """
        state = entrant.known_state()
        taken = entrant.steps_taken()
        befores = []
        for part in self._few:
            kept = {name: part.read(tensors) for name, tensors in (state or {}).items() if part.keeps(tensors)}
            steps = 1 if taken is None else taken
            numbers = entrant.numbers()
            befores.append(Before(part.read(self.arena.params), part.grad * _FINAL_SCALE, kept, steps, numbers))
        self._set_gradients(self._few, _FINAL_SCALE)
        self._step(entrant, False, _FINAL_SCALE)
        if state is None:
            checker = self._moved(befores)
        else:
            afters = self._oracle(befores, oracle.judge_for(entrant.name, self.subject), self._few)
            checker = self._compare(entrant, self._few, befores, afters, "after it was timed", 1)
        self._set_gradients(self._few, 1.0)
        if checker.verdict == "fail":
            raise Refused(f"it no longer matches the oracle once it has been timed: {checker.message}")

    def _split(self, limit: int, tensors: int | None = None) -> list[_Part]:
        """The parameters by dtype; at most so many of each, spread from the first to the last."""
        params, grads = self.arena.params, self.arena.grads
        if not self.subject.elementwise:
            return list(self._whole(_WHOLE if tensors is None else _FINAL_WHOLE))
        parts = []
        for dtype in dict.fromkeys(param.dtype for param in params):
            where = [i for i, param in enumerate(params) if param.dtype == dtype]
            if tensors is not None and len(where) > tensors:
                where = [where[i * (len(where) - 1) // (tensors - 1)] for i in range(tensors)]
            sample = Sample([params[i] for i in where], limit, self.seed)
            parts.append(_Part(where, dtype, sample, sample.read([grads[i] for i in where])))
        return parts

    def _whole(self, count: int) -> Iterator[_Part]:
        """Some parameters that are small enough, one each, spread from the smallest to the largest of them."""
        params, grads = self.arena.params, self.arena.grads
        sizes = [param.numel() for param in params]
        small = sorted((i for i, size in enumerate(sizes) if size <= _LARGEST_WHOLE), key=sizes.__getitem__)
        if not small:
            raise Refused(
                f"{self.subject.class_name}'s update sees a whole tensor, and none of this workload is small enough to "
                f"be judged whole ({_LARGEST_WHOLE:,} elements)"
            )
        count = min(count, len(small))
        for place in dict.fromkeys(n * (len(small) - 1) // max(1, count - 1) for n in range(count)):
            i = small[place]
            yield _Part([i], params[i].dtype, Whole(), Whole().read([grads[i]]))

    def _before(self, k: int) -> list[Before]:
        """Inputs of step `k`: the oracle's own outcome of the step before."""
        while len(self._inputs) <= k:
            last = len(self._inputs) - 1
            afters = self._after(oracle.REFERENCE, last)
            outcome = [oracle.rounded(a, p.grad, p.dtype) for a, p in zip(afters, self._parts, strict=True)]
            self._inputs.append(outcome)
        scale = self._scales[k]
        return [replace(b, grad=p.grad * scale) for b, p in zip(self._inputs[k], self._parts, strict=True)]

    def _after(self, judge: str, k: int) -> list[After]:
        """The judge's outcome of step `k`, made once."""
        if (judge, k) not in self._afters:
            self._afters[judge, k] = self._oracle(self._before(k), judge, self._parts)
        return self._afters[judge, k]

    def _oracle(self, befores: Sequence[Before], judge: str, parts: Sequence[_Part]) -> list[After]:
        afters = []
        for before, part in zip(befores, parts, strict=True):
            (after,) = oracle.step(self.subject, self.options, [before], part.dtype, judge, self.seed)
            assert after is not None
            afters.append(after)
        return afters

    def _place(self, entrant: Entrant, befores: Sequence[Before]) -> None:
        """Set the sampled elements of everything that the step reads."""
        state = entrant.known_state() or {}
        for part, before in zip(self._parts, befores, strict=True):
            part.write(self.arena.params, before.param)
            if not self.arena.moving:
                assert before.grad is not None
                part.write(self.arena.grads, before.grad)
            for name, values in before.state.items():
                if name in state and part.keeps(state[name]):
                    part.write(state[name], values)

    def _set_gradients(self, parts: Sequence[_Part], scale: float) -> None:
        for part in parts:
            if not self.arena.moving:
                part.write(self.arena.grads, part.grad * scale)

    def _step(self, entrant: Entrant, watched: bool, scale: float) -> Tally | None:
        self.arena.scale = scale
        tally, reason = None, None
        try:
            self.arena.renew()
            if not watched:
                entrant.step()
            elif entrant.name == "torch-compile":
                reason = _not_compiled(entrant)
            else:
                tally = watch(entrant.step, self.device)
                reason = impostor(entrant.implementation, entrant.optimizer, tally, self.device, self.subject.calls)
        except Exception as error:
            raise Refused(f"its step raised {one_line(error)}") from error
        finally:
            self.arena.scale = 1.0
        if reason:
            raise Refused(reason)
        return tally

    def _compare(
        self,
        entrant: Entrant,
        parts: Sequence[_Part],
        befores: Sequence[Before],
        afters: Sequence[After],
        what: str,
        age: int,
    ) -> Checker:
        checker = Checker()
        state = entrant.known_state()
        for part, before, after in zip(parts, befores, afters, strict=True):
            dtype = real_dtype(part.dtype)
            grads = [grad for grad in (param.grad for param in self.arena.params) if grad is not None]
            kept = len(grads) == len(self.arena.params) and _equal(part.read(grads), before.grad)
            checker.true(f"{what}: it leaves .grad alone", bool(kept), "it wrote into it")
            param = real(part.read(self.arena.params))
            if state is None:
                checker.true(f"{what}, state", bool(entrant.implementation.target), "an entry is missing")
                self._loosely(checker, what, param, after.quantities["param"], age)
                continue
            for name in state.keys() & after.quantities.keys():
                checker.true(f"{what}, {name} is kept", part.keeps(state[name]))
                checker.close(f"{what}, {name}", real(part.read(state[name])), after.quantities[name], dtype)
            checker.close(f"{what}, parameters", param, after.quantities["param"], dtype)
        return checker

    def _loosely(self, checker: Checker, what: str, param: Tensor, quantity: Quantity, age: int) -> None:
        """Foreign state under unknown names cannot be set, so its own rounding adds up over the steps."""
        error, cap = worst(scaled(param, quantity)), quantity.cap * age
        checker.true(f"{what}, parameters", error <= cap, f"scaled error {error:.3g} (cap {cap:.3g})")

    def _moved(self, befores: Sequence[Before]) -> Checker:
        """All that can be said about one more step where the state is not known."""
        checker = Checker()
        for part, before in zip(self._few, befores, strict=True):
            now = part.read(self.arena.params)
            checker.true("parameters after it was timed", bool(now.isfinite().all()), "not finite")
            checker.true("parameters after it was timed", bool((now != before.param).any()), "unchanged by a step")
        return checker


def _equal(grad: Tensor, given: Tensor | None) -> bool:
    if given is None or not given.is_sparse:
        return given is not None and torch.equal(grad, given)
    return torch.equal(grad.indices(), given.indices()) and torch.equal(grad.values(), given.values())


def _not_compiled(entrant: Entrant) -> str | None:
    """Take a step under the profiler, which sees compiled regions; why none ran, or None."""
    with torch.autograd.profiler.profile() as profile:
        entrant.step()
    names = {event.name() for event in profile.kineto_results.events()}
    if any("Torch-Compiled Region" in name or "CompiledFxGraph" in name for name in names):
        return None
    return "no compiled region ran in its step"
