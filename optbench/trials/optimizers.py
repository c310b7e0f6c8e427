"""A trial: one law, one case, one implementation. Laws are written against this."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from optbench import registry
from optbench.case import Case
from optbench.failures import scene
from optbench.failures.scripts.places import Held, of_param
from optbench.failures.scripts.tape import Tape
from optbench.foreign.loading import adapter_of
from optbench.registry import Implementation
from optbench.trials import joint, nested, oracle, trajectories
from optbench.trials.base import SCENES, TrialBase, Unsupported
from optbench.trials.error import Quantity, real_dtype
from optbench.trials.error import quantity as quantity_of
from optbench.trials.oracle import After, Before
from optbench.trials.problem import CANARY, RESUME_AFTER, Problem
from optbench.trials.running import Run, StateUnknown


@dataclass
class Trial(TrialBase):
    """One law's work on one case of one optimizer."""

    def __post_init__(self) -> None:
        self.runs: list[Run] = []
        self.former: Sequence[Before] = ()
        # Keeps what optimizers do, where a script is to be made of it.
        self.tape: Tape | None = None
        self.problem = Problem(self.case)
        self.dtype = real_dtype(self.problem.dtype)

    @property
    def judge(self) -> str:
        """The implementation whose float64 run is the oracle here.

        Raises:
            Unsupported: foreign code that would be its own oracle, and cannot be.
        """
        if self.oracle is None:
            judge = oracle.judge_for(self.implementation.name, self.subject)
            nothing = not any(values.numel() for values in self.problem.start)
            # torch's L-BFGS asks for the largest of no gradients (D-091).
            return oracle.FOREACH if judge == oracle.TORCH and self.subject.sees == "all" and nothing else judge
        if self.oracle.refuses:
            raise Unsupported(f"nobody knows its formula, and it is no oracle of itself: {self.oracle.refuses}")
        return self.oracle.name

    def build(self, params: Any, options: Mapping[str, Any], implementation: Implementation | None = None) -> Any:
        """An optimizer of the implementation under test, or of another.

        Raises:
            Unsupported: foreign code that has no such option.
        """
        chosen = implementation or self.implementation
        missing = [name for name in options if not self.takes(name)]
        if missing and chosen is self.implementation:
            raise Unsupported(f"no such option: {', '.join(sorted(missing))}")
        if chosen is self.implementation:
            usual = {name: value for name, value in self.subject.defaults.items() if name in self.named}
            options = {**usual, **options}
        if chosen.factory and {"foreach", "fused"} & set(options):
            raise Unsupported("foreach and fused are what makes this path")

        def make() -> Any:
            return registry.build(chosen, self.subject.class_name, params, options)

        return make() if self.tape is None else self.tape.build(make, chosen, params, options)

    def own(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Options as groups of the implementation under test name them, of which there has to be a run."""
        made = registry.materialise(options)
        if not self.implementation.target:
            return made
        # A group may keep an option under the name that the constructor takes, or under torch's.
        optimizer = self.runs[-1].optimizer
        names = adapter_of(type(optimizer)).arguments({name: name for name in made})
        return {own if own in optimizer.param_groups[0] else name: made[name] for own, name in names.items()}

    def copied(self, optimizer: Any, way: str) -> Any:
        """A copy of an optimizer: by "deepcopy" or by "pickle"."""
        copies: dict[str, tuple[Callable[[], Any], str]] = {
            "deepcopy": (lambda: copy.deepcopy(optimizer), "copy.deepcopy({})"),
            "pickle": (lambda: pickle.loads(pickle.dumps(optimizer)), "pickle.loads(pickle.dumps({}))"),
        }
        make, text = copies[way]
        return make() if self.tape is None else self.tape.copy(make, optimizer, text)

    def entries(self, optimizer: Any, param: Tensor) -> dict[str, Any]:
        """What is in the state of a parameter, by its place there."""
        state = optimizer.state.get(param, {})
        found = Held(nested.leaves(state))
        if self.tape is not None:
            place = of_param(self.tape, optimizer, param)
            places = {f"[{key!r}]{path}": replace(place, kind="state", key=key, path=path)
                      for key, entry in state.items() for path, _ in nested.leaves(entry)}  # fmt: skip
            self.tape.hold(found, {"": place, **places})
        return found

    def name(self, thing: Any) -> str:
        """What stands for an optimizer, a parameter, a list of them or what was named in the `shown` of a fact."""
        return "" if self.tape is None else self.tape.name(thing)

    def known_as(self, thing: Any, text: str) -> Any:
        """The thing, which gets a name: `text` is Python, about what has one, that makes it."""
        if self.tape is not None:
            self.tape.call(thing, text)
        return thing

    def given_as(self, tensor: Tensor, text: str) -> Tensor:
        """The tensor, for an optimizer to be given, which gets a name: `text` is Python, about what has one."""
        if self.tape is not None:
            self.tape.give(tensor, text)
        return tensor

    @property
    def result(self) -> str:
        """What stands for the result of the last call."""
        return "" if self.tape is None else f"@r{len(self.tape.events) - 1}"

    @property
    def calls(self) -> str:
        """What stands for a list of whether gradients were recorded, at each call of the last step's closure."""
        return "" if self.tape is None else f"@f{len(self.tape.events) - 1}"

    def beside(self, case: Case) -> Trial:
        """A trial of another case beside this one, told to the same checker."""
        other = replace(self, case=case)
        other.tape = self.tape
        return other

    def run(self, options: Mapping[str, Any] | None = None, start: Sequence[Tensor] | None = None) -> Run:
        """A new run of the implementation under test."""
        return Run(self, options, start)

    def follow_oracle(self) -> Run:
        """Run the case's steps, each judged alone: parameters, every state entry and the counter."""
        run = self.run()
        try:
            if self.subject.closure:
                self._follow_whole(run)
            elif self.oracle and not self.oracle.steps:
                self._follow_unsynchronised(run)
            else:
                self._follow_steps(run, trajectories.trajectory(trajectories.key(self.case), self.judge))
        except StateUnknown:
            run = self.run()
            self._follow_unsynchronised(run)
        for i, placed in enumerate(run.placed):
            self.checker.true(f"memory around parameter {i} is untouched", placed.untouched(),
                              shown=f"bool((memory[{i}][around[{i}]] == {CANARY}).all())")  # fmt: skip
        return run

    def judge_next(
        self,
        run: Run,
        k: int,
        what: str,
        indices: Sequence[int] | None = None,
        during: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """Take step `k` and judge it by the oracle from where the run now stands.

        Args:
            run: whose step it is.
            k: the step (from 0).
            what: names it.
            indices: the parameters to judge; None: all.
            during: a context for the step alone, that the oracle is not taken in.
        """
        if self.subject.closure:
            self._judge_whole(run, k, what, during)
            return
        chosen = range(len(run.params)) if indices is None else indices
        befores = [run.before(i, k) for i in chosen]
        with during():
            run.step(k)
        afters = self.after(run, befores)
        for i, before, after in zip(chosen, befores, afters, strict=True):
            self.compare(run, i, before, after, what)

    def after(self, run: Run, befores: Sequence[Before]) -> list[After | None]:
        """What a step has to make of parameters under the run's options.

        Raises:
            Unsupported: the oracle cannot judge a step alone.
        """
        if self.oracle and not self.oracle.steps:
            raise Unsupported(f"{self.oracle.name} keeps more than its state tells, so that no step is judged alone")
        return oracle.step(self.subject, run.options, befores, self.problem.dtype, self.judge, self.case.seed)

    def compare(self, run: Run, i: int, before: Before | None, after: After | None, what: str) -> None:
        """Judge parameter `i` after a step: its state entries first, so that the first wrong quantity is named."""
        state, failed = run.state(i), self.checker.failed
        if after is None:
            assert before is not None
            self.checker.equal(f"{what}, parameter {i}, which has no gradient", run.params[i].cpu(),
                               before.param.to(self.problem.dtype))  # fmt: skip
            for name, values in before.state.items():
                # Of foreign code nobody knows in which dtype it keeps its state.
                kept = state[name].dtype if self.implementation.target else self.problem.dtype
                self.checker.equal(f"{what}, {name} of parameter {i}, which has no gradient", state[name].cpu(),
                                   values.to(kept))  # fmt: skip
            return
        for name, quantity in after.quantities.items():
            if name != "param" and self._keeps(name, i, state, what, before is not None):
                self.checker.close(f"{what}, {name} of parameter {i}", state[name], quantity, self.dtype)
        for name, number in after.numbers.items():
            if self._keeps(name, i, state, what, before is not None):
                # It is rounded to its own dtype by everyone, and steps in float64 tell one rounding from another.
                judged = quantity_of(number.to(torch.float64), torch.zeros((), dtype=torch.float64), None, number.dtype)
                self.checker.close(f"{what}, {name} of parameter {i}", state[name], judged, number.dtype)
        counter = self.subject.counter
        if counter and (not self.implementation.target or counter.name in state):
            counted, key = float(state[counter.name]) if counter.name in state else None, repr(counter.name)
            self.checker.same(f"{what}, {counter.name} of parameter {i}", counted, float(after.step),
                              shown=f"float(optimizer.state[params[{i}]][{key}]) == {after.step}")  # fmt: skip
        self.checker.close(f"{what}, parameter {i}", run.params[i], after.quantities["param"], self.dtype)
        if before is not None and self.checker.failed > failed and len(self.scenes) < SCENES:
            self.scenes.append(scene.of_step(self, run, i, before, after))

    def _keeps(self, name: str, i: int, state: Mapping[str, Any], what: str, alone: bool) -> bool:
        """Whether the state has the entry, which counts as a fault where it has not.

        Raises:
            StateUnknown: of foreign code, where the step is judged alone, from a state that nobody can set.
        """
        if name in state:
            return True
        if self.implementation.target:
            if alone:
                raise StateUnknown(name)
            return False
        self.checker.true(f"{what}, {name} of parameter {i} is kept", False, f"the state has {sorted(state)}",
                          f"{name!r} in optimizer.state[params[{i}]]")  # fmt: skip
        return False

    def advance(self, optimizer: Any, closure: Callable[[], Tensor] | None = None) -> None:
        """A step of any optimizer of the subject, with a closure where it needs one."""
        if self.subject.closure:
            optimizer.step(closure or (lambda: torch.ones(())))
        else:
            optimizer.step()

    def _follow_whole(self, run: Run) -> None:
        for k in range(self.case.steps):
            if self.case.moment == "resumed" and k == RESUME_AFTER:
                run.reload()
            self._judge_whole(run, k, f"step {k + 1}")

    def _judge_whole(
        self, run: Run, k: int, what: str, during: Callable[[], AbstractContextManager[None]] = nullcontext
    ) -> None:
        """Take step `k` and judge all parameters and their common state, from where the run now stands."""
        outcome = joint.step_from(self.subject, run, k, self.judge)
        with during():
            run.step(k)
        self.compare_whole(run, outcome, what)

    def follow_unsynchronised_whole(self, run: Run) -> None:
        """The case's steps in one go, for algorithms that see all parameters at once."""
        crowd = joint.Crowd(self.subject, run.options, self.problem, self.judge, self.problem.start, {})
        # One objective for all steps: pairs of several throw the parameters far away, and what returns is rounding.
        last = self.case.steps - 1
        for k in range(self.case.steps):
            outcome = crowd.step(last)
            run.step(last)
            self.compare_whole(run, outcome, f"step {k + 1}")

    def compare_whole(self, run: Run, outcome: joint.Outcome, what: str) -> None:
        """Judge parameters and state after a step that all parameters take together."""
        finite = all(bool(param.isfinite().all()) for param in run.params)
        self.checker.true(f"{what}, parameters are finite", finite or not outcome.finite)
        if not outcome.decided:
            return
        state = joint.flat(self.subject, run.state(0))
        self.checker.same(f"{what}, state entries", sorted(state), sorted(outcome.state))
        for path in outcome.state.keys() & state.keys():
            self.checker.close(f"{what}, {path}", state[path], outcome.state[path], self.dtype)
        for i, quantity in enumerate(outcome.params):
            self.checker.close(f"{what}, parameter {i}", run.params[i], quantity, self.dtype)

    def _follow_steps(self, run: Run, steps: Sequence[tuple[Sequence[Before], Sequence[After | None]]]) -> None:
        for k, (befores, afters) in enumerate(steps):
            if self.case.moment == "resumed" and k == RESUME_AFTER:
                run.reload()
            if k:
                run.put(befores)
            run.step(k)
            for i, (before, after) in enumerate(zip(befores, afters, strict=True)):
                self.compare(run, i, before, after, f"step {k + 1}")

    def _follow_unsynchronised(self, run: Run) -> None:
        """Parameters only, in one go: for foreign code whose state nobody can set."""
        for k, outcomes in enumerate(self.rollout(*range(self.case.steps))):
            run.step(k)
            for i, (quantity, _) in enumerate(outcomes):
                if not quantity:
                    continue
                failed = self.checker.failed
                self.checker.close(f"step {k + 1} (state not synchronised), parameter {i}", run.params[i],
                                   quantity["param"], self.dtype)  # fmt: skip
                told = self.oracle is None or self.oracle.steps
                if told and self.checker.failed > failed and len(self.scenes) < SCENES:
                    self.scenes.append(scene.blind(self, run, i, k))

    def rollout(self, *judged: int) -> list[list[tuple[dict[str, Quantity], dict[str, Tensor]]]]:
        """What parameters and state have to be after these steps (from 0) of one unsynchronised run."""
        return trajectories.rollout(trajectories.key(self.case), judged, self.judge)
