"""avg.oracle: an average is the float64 mean or exponential mean of what the model held at its updates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from optbench import pairwise
from optbench.case import Case
from optbench.law import Law, Scope, Space
from optbench.subjects import Subject

if TYPE_CHECKING:
    from torch import Tensor

    from optbench.trials.averaged import Run
    from optbench.trials.averagers import Trial

LAW = Law(
    id="avg.oracle",
    level="math",
    statement="parameters, and buffers where asked for, are the float64 average of the model's; other buffers its copy",
    catches="a wrong weight or count, a first model that is averaged, tensors left out, whole numbers cut off",
    kind="averager",
)

_LAYOUTS = ("contiguous", "transposed", "channels_last", "strided")
_MOMENTS = ("every step", "resumed", "loaded back", "written", "replaced")
# After this many updates something happens to an average that is not left alone.
_HAPPENS = 2
_FORMS = ("multi_avg_fn", "avg_fn")
# In scripts.
_CALLERS = {
    "avg_fn": "averaged + current * counted",
    "multi_avg_fn": "[each.add_(other * counted) for each, other in zip(averaged, current)]",
}
_NOTHING = "a model without tensors"
_META = "on the meta device"
_WIDER = "a wider average"
_LONGER = "longer tensors"
_ANEW = "counted from 0 again"
_NAN = "a number that is none"
_SHAPES = ("zero first", "zero last", "zero middle", "all zero", "small odd", "scalars", "many", "blocks")


def factors(subject: Subject, scope: Scope) -> tuple[dict[str, Sequence[Any]], list[Any]]:
    """What is combined pairwise, and the pairs that cannot stand together."""
    combined: dict[str, Sequence[Any]] = {option.name: option.values for option in subject.options}
    return combined | {"dtype": scope.limited(subject).dtypes, "layout": _LAYOUTS, "moment": _MOMENTS}, []


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    combined, _ = factors(subject, scope)
    forms = _forms(subject)
    for seed in range(5 if scope.suite == "full" else 1):
        for row in pairwise.rows(combined | {"form": forms}, (), scope.seed + seed if seed else 0):
            dtype, layout, moment, form = (row.pop(name) for name in ("dtype", "layout", "moment", "form"))
            variant = f"{form},seed={scope.seed + seed}" if seed else form
            yield scope.case(subject, row, dtype, layout=layout, moment=moment, variant=variant, seed=scope.seed + seed)
    lively = {"decay": 0.9} if "decay" in combined else {}
    for dtype in scope.some("float32", "bfloat16"):
        # Each shape in one of both for one of the averages, and in the other for the other.
        for shapes in _SHAPES if scope.suite == "full" else _SHAPES[(dtype == "float32") == bool(lively) :: 2]:
            yield scope.case(subject, lively, dtype, shapes=shapes, steps=2)
    if lively:
        # More elements than are taken at a time, and so small a weight that what is lost is kept. Of a strided model
        # the average is contiguous.
        for layout, shapes in (("contiguous", "large"), ("transposed", "3x5,300x300"), ("strided", "3x5,300x300")):
            usual = scope.some("float32")[0]
            yield scope.case(subject, {"decay": 0.9999}, usual, layout=layout, shapes=shapes, steps=3)
    devices = ("several devices", "from one device to another")
    for variant in ("other dtypes", *devices, _META, _WIDER, _LONGER, *(f"caller {form}" for form in _FORMS)):
        yield scope.case(subject, lively, scope.dtypes[0], variant=variant)
    for dtype in scope.some("float32", "bfloat16"):
        for variant in (_ANEW, _NAN):
            yield scope.case(subject, lively, dtype, variant=variant)
    if "use_buffers" in combined:
        yield scope.case(subject, {**lively, "use_buffers": True}, scope.dtypes[0], variant="flags", steps=6)
    yield scope.case(subject, lively, scope.dtypes[0], variant=_NOTHING)
    for form in _FORMS:
        own = f"own {form} in torch"
        for variant in (own, f"torch {form} in own"):
            yield scope.case(subject, lively, scope.dtypes[0], variant=variant)
        if "use_buffers" in combined:
            yield scope.case(subject, {**lively, "use_buffers": True}, scope.some("complex64")[0], variant=own)


def space(subject: Subject, scope: Scope) -> Space:
    options = {option.name: option.values for option in subject.options}
    return Space(options, (), scope.dtypes, _LAYOUTS, _MOMENTS, variants=_forms(subject), steps=(1, 5))


def _forms(subject: Subject) -> tuple[str, ...]:
    """How an average is asked for. A mean is also what AveragedModel takes where it is told nothing."""
    return _FORMS if "decay" in subject.defaults else ("default", *_FORMS)


def check(trial: Trial) -> None:
    variant = trial.case.variant.partition(",")[0]
    if variant.startswith("caller"):
        _callers(trial, variant.removeprefix("caller "))
    elif variant == _NOTHING:
        _nothing(trial)
    elif variant == "from one device to another":
        # Where there is but one device, averager and model share it.
        _follow(trial, trial.run(arguments={**trial.arguments(""), "device": "cpu"}))
    elif variant == _META:
        _meta(trial)
    elif variant == _WIDER:
        _wider(trial)
    elif variant == _LONGER:
        _longer(trial)
    elif variant == _NAN:
        _none(trial)
    elif variant == _ANEW:
        trial.require_torchs("what a count of 0 means")
        _follow(trial, trial.run())
    elif variant.startswith(("own ", "torch ")):
        _follow(trial, _mixed(trial, variant))
    elif trial.form and not trial.implementation.target:
        _follow(trial, trial.run(arguments=trial.arguments(trial.form)))
    else:
        _follow(trial, trial.run())


def _follow(trial: Trial, run: Run) -> None:
    happens = {"resumed": run.resume, "loaded back": run.back, "written": run.overwrite, "replaced": run.replace,
               _LONGER: run.lengthen, _ANEW: run.anew}  # fmt: skip
    happening = trial.case.variant if trial.case.variant in happens else trial.case.moment
    for k in range(trial.case.steps):
        if k == _HAPPENS and happening in happens:
            happens[happening]()
        run.update(k)
        run.judge(f"update {k + 1}")
        if not trial.implementation.target:
            trial.checker.same(f"update {k + 1}, n_averaged", int(run.averager.n_averaged), run.counted,
                               shown=f"int(average.n_averaged) == {run.counted}")  # fmt: skip
    run.untouched()


def _nothing(trial: Trial) -> None:
    """There is nothing to average, and what is counted is counted."""
    from torch import nn

    model = trial.keep("model", nn.ReLU(), "torch.nn.ReLU()")
    averager = trial.build(model)
    for k in range(trial.case.steps):
        trial.update(averager, model)
        if not trial.implementation.target:
            trial.checker.same(f"update {k + 1}, n_averaged", int(averager.n_averaged), k + 1,
                               shown=f"int(average.n_averaged) == {k + 1}")  # fmt: skip
    trial.checker.same("tensors of the averaged model", len(trial.module(averager).state_dict()), 0,
                       shown=f"len(average.{trial.own('module')}.state_dict()) == 0")  # fmt: skip


def _meta(trial: Trial) -> None:
    """A device that is always there, and is no model's: the average is where it is asked to be."""
    from optbench.trials.base import Unsupported

    if trial.implementation.target:
        raise Unsupported("where foreign averages are is their own affair")
    run = trial.run(arguments={**trial.arguments(""), "device": "meta"})
    tensors = {**run.averaged(), "n_averaged": run.averager.n_averaged}
    elsewhere = [name for name, tensor in tensors.items() if tensor.device.type != "meta"]
    trial.checker.true("the average is on its device", not elsewhere, f"{elsewhere} are not",
                       "all(each.device.type == 'meta' for each in average.state_dict().values())")  # fmt: skip


def _wider(trial: Trial) -> None:
    """Of a model in another dtype, as of a 16-bit one in float32: the average has all digits of its own."""
    import copy

    import torch

    from optbench.trials.base import Unsupported

    if trial.implementation.target:
        raise Unsupported("in which dtype foreign averages are is their own affair")
    run = trial.run()
    model = run.model
    trial.tell("average.module.to(torch.float64)", lambda: trial.module(run.averager).to(torch.float64))
    for k in range(trial.case.steps):
        run.model = model
        run.update(k)
        run.model = copy.deepcopy(model).to(torch.float64)
        run.judge(f"update {k + 1}")


def _longer(trial: Trial) -> None:
    """Tables that grow with a vocabulary, in the model and in the average."""
    from optbench.trials.base import Unsupported

    if trial.implementation.target:
        raise Unsupported("which shapes foreign averages go on with is their own affair")
    _follow(trial, trial.run())


def _none(trial: Trial) -> None:
    """NaN in an element of a model is in that element of the average from then on, and in no other."""
    import torch

    run = trial.run()
    weight, where = run.model.get_parameter("weight0"), f"average.{trial.own('module')}.weight0"
    for k in range(trial.case.steps):
        run.put(k)
        if k == 1:
            with torch.no_grad():
                weight.view(-1)[1] = torch.nan
            trial.write("model.weight0.detach().view(-1)[1] = torch.nan", "weight0")
        trial.update(run.averager, run.model)
        wanted = [1] if k else []
        for name, tensor in run.averaged().items():
            found = tensor.reshape(-1).isnan().nonzero().flatten().tolist()
            trial.checker.same(f"update {k + 1}, {name}, elements that are NaN", found, wanted * (name == "weight0"),
                               shown=f"{where}.view(-1).isnan().nonzero().flatten().tolist() == {wanted}"
                               if name == "weight0" else "")  # fmt: skip


def _mixed(trial: Trial, variant: str) -> Run:
    """The function of one with the class of another, torch's."""
    from optbench import registry

    whose, form = variant.split()[:2]
    torchs = registry.IMPLEMENTATIONS["torch-foreach" if form == "multi_avg_fn" else "torch-forloop"]
    function = trial.function(form, None if whose == "own" else torchs)
    watched = partial(_one if form == "avg_fn" else _many, trial, function)
    # What watches changes nothing.
    trial.keep("function", watched, "function")
    return trial.run(arguments={form: watched if whose == "own" else function},
                     implementation=torchs if whose == "own" else None)  # fmt: skip


def _one(trial: Trial, function: Any, averaged: Tensor, current: Tensor, counted: Any) -> Tensor:
    """Call a function of one tensor, which makes a new one."""
    given, kept = (averaged, current), (averaged.clone(), current.clone())
    result: Tensor = function(averaged, current, counted)
    for what, tensor, before in zip(("average", "model's tensor"), given, kept, strict=True):
        trial.checker.equal(f"the {what} that avg_fn was given", tensor, before)
    return result


def _many(trial: Trial, function: Any, averaged: Sequence[Tensor], current: Sequence[Tensor], counted: Any) -> None:
    """Call a function of lists, which writes to the first."""
    kept = [tensor.clone() for tensor in current]
    function(averaged, current, counted)
    for tensor, before in zip(current, kept, strict=True):
        trial.checker.equal("a model's tensor that multi_avg_fn was given", tensor, before)


def _callers(trial: Trial, form: str) -> None:
    """A function of the caller's is called with the averages, the model's tensors and their number."""
    from optbench.trials import means

    seen: list[int] = []

    def one(averaged: Tensor, current: Tensor, counted: Any) -> Tensor:
        seen.append(int(counted))
        return averaged + current * counted

    def many(averaged: Sequence[Tensor], current: Sequence[Tensor], counted: Any) -> None:
        seen.append(int(counted))
        trial.checker.true("lists are of one dtype", len({tensor.dtype for tensor in (*averaged, *current)}) == 1)
        for each, other in zip(averaged, current, strict=True):
            each.add_(other * counted)

    function: Any = one if form == "avg_fn" else many
    trial.keep("function", function, f"lambda averaged, current, counted: {_CALLERS[form]}")
    run = trial.run(means.numbered_sum, {form: function})
    _follow(trial, run)
    trial.checker.same("the numbers it was called with", sorted(set(seen)), list(range(1, trial.case.steps)))
