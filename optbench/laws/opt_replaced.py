"""opt.replaced: tensors that were swapped under the optimizer's feet are the ones the next step uses."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from optbench.case import Case
from optbench.law import Law, Scope
from optbench.subjects import Subject

if TYPE_CHECKING:
    from optbench.trials.optimizers import Trial
    from optbench.trials.running import Run

LAW = Law(
    id="opt.replaced",
    level="state",
    statement="after p.data = ..., state.clear(), a replaced entry, loading, a new group or deepcopy: new tensors",
    catches="a cache of pointers, lists or options that does not notice what changed",
    host=True,
    formula=False,
)


# Branches that wait for some steps are taken by the last two; this event comes before them.
_EARLY, _BEFORE = "state entry replaced early", 2


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    steps = max(_BEFORE, subject.steps - 2) + 2
    for event in _EVENTS:
        if event == _EARLY and steps == _BEFORE + 2:
            continue
        rows = [{}, subject.fullest] if scope.suite == "full" else [subject.fullest]
        if event == _EARLY and "capturable" in subject.defaults:
            # What is read nowhere on the host has a path of its own.
            rows.append({**subject.fullest, "capturable": True})
        for options in rows:
            yield scope.case(subject, options, scope.some("float32")[0], shapes="matrices", variant=event, steps=steps)


def check(trial: Trial) -> None:
    run = trial.run()
    begin = _BEFORE if trial.case.variant == _EARLY else trial.case.steps - 2
    for k in range(begin):
        run.step(k)
    if not trial.subject.closure:
        trial.former = [run.before(i, begin) for i in range(len(run.params))]
    _EVENTS[trial.case.variant](trial, run)
    for k in range(begin, trial.case.steps):
        trial.judge_next(run, k, f"step {k + 1}, after {trial.case.variant}")
        trial.former = ()


def _new_data(trial: Trial, run: Run) -> None:
    run.params[0].data = run.params[0].detach().clone() + 1


def _transposed_data(trial: Trial, run: Run) -> None:
    """The same shape and values, other strides."""
    param = run.params[0]
    param.data = param.detach().transpose(-1, -2).contiguous().transpose(-1, -2)


def _frozen(trial: Trial, run: Run) -> None:
    """A parameter that needs no gradients any more, and has one."""
    run.params[0].requires_grad_(False)


def _state_clear(trial: Trial, run: Run) -> None:
    run.optimizer.state.clear()


def _state_pop(trial: Trial, run: Run) -> None:
    run.optimizer.state.pop(run.params[1], None)


def _state_entry(trial: Trial, run: Run) -> None:
    """New tensors of other values, numbers too; a counter is another event."""
    state, counter = run.optimizer.state[run.params[0]], trial.subject.counter
    for name in [name for name, value in state.items() if hasattr(value, "ndim")]:
        if not counter or name != counter.name:
            state[name] = (state[name] * (2 if state[name].ndim else 0.5)).contiguous()


def _state_tensors(trial: Trial, run: Run) -> None:
    """Far larger tensors, of which nothing is left where the rule does not read them, as an average not yet begun."""
    state = run.optimizer.state[run.params[0]]
    for name in [name for name, value in state.items() if getattr(value, "ndim", 0)]:
        state[name] = (state[name] * 1024).contiguous()


def _step_entry(trial: Trial, run: Run) -> None:
    state = run.optimizer.state[run.params[0]]
    counter = trial.subject.counter
    if counter and counter.name in state:
        state[counter.name] = state[counter.name] + 10


def _load(trial: Trial, run: Run) -> None:
    """A checkpoint of another run, loaded into this optimizer."""
    other = trial.run()
    other.step(1)
    run.optimizer.load_state_dict(other.optimizer.state_dict())


def _new_group(trial: Trial, run: Run) -> None:
    extra = trial.problem.place_param(trial.problem.start[0]).tensor
    values = trial.problem.grad(0, 1)
    assert values is not None
    extra.grad = trial.problem.place_grad(values).tensor
    rests = trial.subject.rests
    run.optimizer.add_param_group({"params": [extra], **trial.own(rests or {})})
    before = extra.detach().clone()
    run.optimizer.step()
    if rests is not None:
        trial.checker.equal("a new group with lr 0", extra, before)
    keeps = trial.subject.tensor_names(run.options)
    trial.checker.true("a new group got state", not keeps or bool(run.optimizer.state[extra]),
                       shown=f"bool(optimizer.state.get({trial.name(extra)}))")  # fmt: skip


def _deepcopied(trial: Trial, run: Run) -> None:
    """The copy goes on; the original, which it came from, stands still."""
    original, old = run.optimizer, [param.detach().clone() for param in run.params]
    kept = run.params
    run.optimizer = trial.copied(original, "deepcopy")
    run.params = [param for group in run.optimizer.param_groups for param in group["params"]]
    trial.judge_next(run, 2, "the deep copy's first step")
    for i, (param, value) in enumerate(zip(kept, old, strict=True)):
        trial.checker.equal(f"the original's parameter {i}", param, value)


def _grad_in_place(trial: Trial, run: Run) -> None:
    """The gradient of the step before, whose memory is laid out anew at the same address."""
    from optbench.trials.problem import exact

    for param in run.params:
        grad: Any = param.grad
        assert grad is not None
        if grad.dim() == 2:
            param.grad = grad.reshape(-1).view(grad.shape[1], grad.shape[0]).t()
    befores = [run.before(i, 2) for i in range(len(run.params))]
    for before, param in zip(befores, run.params, strict=True):
        assert param.grad is not None
        before.grad = exact(param.grad)
    run.step()
    for i, (before, after) in enumerate(zip(befores, trial.after(run, befores), strict=True)):
        trial.compare(run, i, before, after, "gradient laid out anew at the same address")


def _set_storage(trial: Trial, run: Run) -> None:
    """A parameter made to look at another tensor's memory."""
    import torch

    param = run.params[2]
    fresh = param.detach().clone() * 0.5
    with torch.no_grad():
        param.set_(fresh)  # type: ignore[call-overload]


_EVENTS: dict[str, Callable[[Trial, Run], None]] = {
    "p.data = new": _new_data,
    "p.data = other strides": _transposed_data,
    "p.set_ new": _set_storage,
    "p.requires_grad = False": _frozen,
    "state.clear": _state_clear,
    "state.pop": _state_pop,
    "state entry replaced": _state_entry,
    _EARLY: _state_tensors,
    "step replaced": _step_entry,
    "load_state_dict": _load,
    "add_param_group": _new_group,
    "deepcopy": _deepcopied,
    "gradient at the same address": _grad_in_place,
}
