"""opt.precision: digits that need not be lost, in long runs and at the ends of what numbers can be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from optbench.case import AsTensor, Case
from optbench.law import Law, Scope
from optbench.subjects import Subject

if TYPE_CHECKING:
    from optbench.trials.optimizers import Trial
    from optbench.trials.running import Run

LAW = Law(
    id="opt.precision",
    level="math",
    statement="as near to the oracle as the dtype allows: in long runs, up to a million steps, with hardly any decay",
    catches="a counter that stops, scalars in the default dtype or the parameter's, 1 - lr*decay that rounds to 1",
    host=True,
)

_MILLION = 1_000_000
# Where corrections that shrink with the steps are still there, to fewer and fewer digits.
_ON_THE_WAY = (300, 3_000, 30_000)
# The default dtype, under which steps are taken, and the parameters'.
_DEFAULTS = (("float16", "float32"), ("bfloat16", "float64"), ("float32", "float64"), ("float64", "float32"),
             ("float32", "bfloat16"))  # fmt: skip
_DECAY = 1e-8
_LONG = {"quick": 60, "full": 2_000}
# Of algorithms that see whole tensors, whose oracle has each moved copy as a parameter of its own.
_LONG_OF_TENSORS = {"quick": 30, "full": 300}


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    rows = (dict(subject.fullest), subject.crowd())
    # With a closure a step is many.
    defaults = _DEFAULTS[: 2 if subject.closure and scope.suite == "quick" else None]
    for number, (default, dtype) in enumerate(defaults):
        for row in rows if scope.suite == "full" else rows[number % 2 :][:1]:
            yield scope.case(subject, row, scope.some(dtype)[0], shapes="pair", steps=4, variant=f"million/{default}")
    for option in subject.options if subject.still else ():
        if option.decays:
            for lr in (0.0625, AsTensor(0.0625)):
                yield _tiny(subject, scope, {option.name: _DECAY, "lr": lr}, "float64", "normal")
                yield _tiny(subject, scope, {option.name: _DECAY, "lr": lr}, "float32", "scale=0")
    if not subject.closure:
        for dtype in scope.some("float32", "bfloat16", "float64") if scope.suite == "full" else scope.some("float32"):
            steps = (_LONG if subject.elementwise else _LONG_OF_TENSORS)[scope.suite]
            yield scope.case(subject, subject.crowd(), dtype, shapes="pair", steps=steps, variant="long")


def _tiny(subject: Subject, scope: Scope, options: dict[str, Any], dtype: str, stream: str) -> Case:
    dtypes = scope.some(dtype)
    return scope.case(subject, options, dtypes[0], shapes="pair", stream=stream, variant="tiny decay", steps=1)


def check(trial: Trial) -> None:
    kind, _, default = trial.case.variant.partition("/")
    if kind == "million":
        _million(trial, default)
    elif kind == "long":
        _long(trial)
    else:
        trial.follow_oracle()


def _million(trial: Trial, default: str) -> None:
    """The first step, and those around the millionth, all under another default dtype."""
    if default == "float64":
        # Scalars are wider then, and the oracle's have to be.
        with _default_dtype(default):
            _around(trial, default, nullcontext)
    else:
        _around(trial, default, partial(_default_dtype, default))


def _around(trial: Trial, default: str, during: Callable[[], AbstractContextManager[None]]) -> None:
    with during():
        run = trial.run()
    trial.judge_next(run, 0, f"step 1 under the default dtype {default}", during=during)
    for count in _ON_THE_WAY:
        if not _count(run, count - 1, default):
            return
        trial.judge_next(run, 1, f"step {count:,} under the default dtype {default}", during=during)
    if not _count(run, _MILLION - 2, default):
        return
    for k in range(1, trial.case.steps):
        trial.judge_next(run, k, f"step {_MILLION - 2 + k:,} under the default dtype {default}", during=during)


def _count(run: Run, steps: int, default: str) -> bool:
    """Let every parameter have taken so many steps; whether its counter can tell."""
    import torch

    counter, holds = run.trial.subject.counter, True
    for i in range(len(run.params)):
        if counter is None or counter.name not in run.state(i):
            continue
        state = run.optimizer.state[run.params[i]]
        kept = state[counter.name]
        state[counter.name] = kept.fill_(steps) if isinstance(kept, torch.Tensor) else steps
        counted = float(state[counter.name])
        run.trial.checker.same(f"step of parameter {i}, made under the default dtype {default} and set", counted,
                               float(steps))  # fmt: skip
        holds &= counted == steps
    return holds


def _long(trial: Trial) -> None:
    from optbench.trials.oracle import After

    run = trial.run()
    judged = sorted({trial.case.steps // 10, trial.case.steps - 1})
    expectations = dict(zip(judged, trial.rollout(*judged), strict=True))
    for k in range(trial.case.steps):
        run.step(k)
        for i, (expected, numbers) in enumerate(expectations.get(k, [])):
            trial.compare(run, i, None, After(expected, k + 1, numbers), f"step {k + 1}")


@contextmanager
def _default_dtype(name: str) -> Iterator[None]:
    import torch

    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, name))
    try:
        yield
    finally:
        torch.set_default_dtype(before)
