"""opt.old_checkpoints: what an older release wrote continues as if it had been written today."""

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
    id="opt.old_checkpoints",
    level="torch",
    statement="a checkpoint without newer options, with numbers for 0-d tensors, with or without names goes on as any",
    catches="an option that an old checkpoint lacks, a counter that only works as a 0-d tensor, names that decide",
    host=True,
    formula=False,
)

_SAVED_AFTER = 2
_PATHS = ("foreach", "fused")
_WITHOUT = "without"
_ALL = f"{_WITHOUT} newer options"
_AT_START = f"{_ALL}, before a step"
_NAMES, _NO_NAMES, _OTHER_NAMES = "names", "no names for a reader with names", "other names in the reader"


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    # What the older release had.
    options = {name: value for name, value in subject.fullest.items() if name not in subject.later}
    for variant in _variants(subject, scope):
        for dtype in scope.some("float32", "bfloat16") if scope.suite == "full" else scope.some("float32"):
            yield scope.case(subject, options, dtype, moment="late", shapes="pair", variant=variant, steps=4)


def _variants(subject: Subject, scope: Scope) -> Iterable[str]:
    """The ages that there are for an algorithm's checkpoints."""
    if subject.later:
        yield from (_ALL, _AT_START)
        if scope.suite == "full":
            yield from (f"{_WITHOUT} {name}" for name in subject.later)
    if subject.counter:
        # What is no tensor today never was one.
        yield from (name for name in _STEPS if subject.counter.form == "counter" or "tensor" not in name)
    if any(entry.form == "number" for entry in subject.state):
        yield "numbers as floats"
    if any(entry.when for entry in subject.state):
        yield "unneeded entries as None"
    yield from (_NAMES, _NO_NAMES, _OTHER_NAMES)


def check(trial: Trial) -> None:
    from optbench.trials import nested

    variant = trial.case.variant
    writer = trial.run()
    steps = 0 if variant == _AT_START else _SAVED_AFTER
    for k in range(steps):
        writer.step(k)
    saved = nested.copied(writer.optimizer.state_dict())
    old = nested.copied(saved)
    _age(trial, old)
    today, aged = _reader(trial, writer), _reader(trial, writer)
    own = None
    if variant in (_NO_NAMES, _OTHER_NAMES):
        own = [f"mine.{i}" for i in range(len(aged.params))]
        aged.optimizer = trial.build(list(zip(own, aged.params, strict=True)), trial.case.options)
    today.optimizer.load_state_dict(saved)
    aged.optimizer.load_state_dict(old)
    names = old["param_groups"][0].get("param_names", own)
    shown = f"{trial.name(aged.optimizer)}.param_groups[0].get('param_names') == {names!r}"
    trial.checker.same("names after loading", aged.optimizer.param_groups[0].get("param_names"), names, shown=shown)
    _same_group(trial, aged, today)
    trial.checker.alike("after loading", _held(aged), _held(today))
    if not trial.implementation.target:
        _same_forms(trial, aged, today)
    for k in range(steps, trial.case.steps):
        aged.step(k)
        today.step(k)
        trial.checker.alike(f"step {k + 1}, after loading at {steps}", _held(aged), _held(today))


def _same_forms(trial: Trial, aged: Run, today: Run) -> None:
    """What is a tensor today is one of today's dtype, however it was kept; foreign code may go on as it was given."""
    import torch

    for i, (mine, theirs) in enumerate(zip(aged.params, today.params, strict=True)):
        kept, wanted = aged.optimizer.state.get(mine, {}), today.optimizer.state.get(theirs, {})
        for name, value in wanted.items():
            if isinstance(value, torch.Tensor):
                place = f"{trial.name(aged.optimizer)}.state[{trial.name(mine)}].get({name!r})"
                form, shown = getattr(kept.get(name), "dtype", "no tensor"), f"getattr({place}, 'dtype', None)"
                trial.checker.same(f"dtype of {name} of parameter {i} after loading", form, value.dtype,
                                   shown=f"{shown} is {value.dtype}")  # fmt: skip


def _same_group(trial: Trial, aged: Run, today: Run) -> None:
    """What is absent is what it was before there was a choice."""
    (group,), (expected,) = aged.optimizer.param_groups, today.optimizer.param_groups
    # Foreign code that leaves an entry out asks for it with a default, or the next step tells.
    for name in () if trial.implementation.target else sorted(expected.keys() - {"params", "param_names"}):
        trial.checker.true(f"group[{name!r}] is there after loading", name in group,
                           shown=f"{name!r} in {trial.name(aged.optimizer)}.param_groups[0]")  # fmt: skip
    for name in sorted(group.keys() - {"params", "param_names"}):
        if name in _PATHS and not group.get(name, True):
            # A named path of torch's is to go on as that path, which no old checkpoint knows.
            group[name] = expected[name]
        texts = [f"{trial.name(each.optimizer)}.param_groups[0]" for each in (aged, today)]
        trial.checker.same(f"group[{name!r}] after loading", group[name], expected.get(name, "new"),
                           shown=f"{texts[0]}[{name!r}] == {texts[1]}.get({name!r}, 'new')")  # fmt: skip


def _age(trial: Trial, saved: dict[str, Any]) -> None:
    """Make a checkpoint what an older release, or one with other names, would have written."""
    from optbench.trials.base import Unsupported

    subject, variant = trial.subject, trial.case.variant
    entries = [entry for entry in saved["state"].values() if isinstance(entry, dict)]
    if variant.startswith(_WITHOUT):
        one = variant.removeprefix(f"{_WITHOUT} ")
        for group in saved["param_groups"]:
            for name in [one] if one in subject.later else subject.later:
                group.pop(name, None)
    elif variant in _STEPS:
        own = next((own for own, declared in trial.state_alias.items() if declared == "step"), "step")
        for entry in entries:
            if own not in entry:
                raise Unsupported("nobody knows where it counts its steps")
            entry[own] = _STEPS[variant](entry[own])
    elif variant == "numbers as floats":
        for entry in entries:
            entry |= {name: float(entry[name]) for name in subject.number_names({})}
    elif variant == "unneeded entries as None":
        for entry in entries:
            entry |= {item.name: None for item in subject.state if item.when and item.name not in entry}
    elif variant != _NO_NAMES:
        for group in saved["param_groups"]:
            group["param_names"] = [f"layer.{i}" for i in group["params"]]


def _tensor(value: Any, **kind: Any) -> Any:
    import torch

    return torch.tensor([float(value)], **kind)


# What a counter was, or may be, in a checkpoint.
_STEPS: dict[str, Callable[[Any], Any]] = {
    "step as int": int,
    "step as float": float,
    "step as 1-element tensor": _tensor,
}


def _reader(trial: Trial, writer: Run) -> Run:
    """A run from where the writer is, whose own newer options are others than those that absence stands for."""
    from optbench.trials.problem import exact

    reader = trial.run(start=[exact(param) for param in writer.params])
    subject = trial.subject
    others = {
        option.name: option.values[1]
        for option in subject.options
        if option.name in subject.later and trial.takes(option.name)
    }
    options = {**trial.case.options, **others}
    full = subject.complete(options)
    if not any(full[a] == value and full[b] == other for (a, value), (b, other) in subject.forbidden):
        reader.optimizer = trial.build(reader.params, options)
    return reader


def _held(run: Run) -> dict[str, object]:
    """All that is kept; counters and the like as numbers, however they are held."""
    held = run.held()
    for name, value in held.items():
        if getattr(value, "numel", lambda: 0)() == 1 and not name.startswith("parameter"):
            held[name] = float(value)
    return held
