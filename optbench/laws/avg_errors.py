"""avg.errors: what is illegal is refused, by the right type and by name; what is just legal is taken."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from optbench.case import Case, format_value
from optbench.law import Law, Scope
from optbench.subjects import Subject

if TYPE_CHECKING:
    from optbench.trials.averagers import Trial

LAW = Law(
    id="avg.errors",
    level="torch",
    statement="every illegal argument raises torch's exception type and names the value; what is just legal is taken",
    catches="a decay out of its range, two functions for one average, a bound that is refused, shapes that do not fit",
    kind="averager",
    host=True,
)

_FORMS = ("avg_fn", "multi_avg_fn")
_BOTH = "both functions"
_UNFIT = "a model of other shapes"


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    calls = [("illegal", number, illegal.options) for number, illegal in enumerate(subject.illegal)]
    calls += [("edge", number, edge) for number, edge in enumerate(subject.edges)]
    for kind, number, options in calls:
        text = ",".join(f"{name}={format_value(value)}" for name, value in options.items())
        for form in _FORMS:
            yield scope.case(subject, {}, scope.dtypes[0], variant=f"{kind}-{number} {form} {text}")
    yield scope.case(subject, {}, scope.dtypes[0], variant=_BOTH)
    for dtype in scope.some("float32", "bfloat16"):
        yield scope.case(subject, {}, dtype, shapes="3x5", variant=_UNFIT)


def check(trial: Trial) -> None:
    from dataclasses import replace

    from optbench.trials.base import Unsupported

    if trial.implementation.target:
        raise Unsupported("foreign code refuses arguments in its own way")
    if trial.case.variant == _BOTH:
        both = {form: trial.function(form) for form in _FORMS}
        trial.checker.raises(_BOTH, "AssertionError", lambda: trial.run(arguments=both), "avg_fn")
        return
    if trial.case.variant == _UNFIT:
        _unfit(trial)
        return
    call, form, _ = trial.case.variant.split(" ", 2)
    kind, number = call.split("-")
    if kind == "edge":
        edge = replace(trial, case=replace(trial.case, options=dict(trial.subject.edges[int(number)])))
        run = edge.run(arguments=edge.arguments(form))
        for k in range(2):
            run.update(k)
            run.judge(f"update {k + 1}")
        return
    illegal = trial.subject.illegal[int(number)]
    wrong = replace(trial, case=replace(trial.case, options=dict(illegal.options)))
    trial.checker.raises(call, illegal.error, lambda: wrong.function(form), illegal.names)


def _unfit(trial: Trial) -> None:
    """It is refused before anything is read from where it has nothing, and the average goes on with what fits."""
    from dataclasses import replace

    run = trial.run()
    for k in range(trial.case.steps):
        for shapes in ("4x5", "3x4", "2x5"):
            other = trial.source(replace(trial.case, shapes=shapes), [])
            update = partial(trial.update, run.averager, other)
            trial.checker.raises(f"{shapes} at update {k + 1}", "RuntimeError", update, "size")
        trial.checker.same("n_averaged after the refusals", int(run.averager.n_averaged), k,
                           shown=f"int(average.n_averaged) == {k}")  # fmt: skip
        run.update(k)
        run.judge(f"update {k + 1}")
