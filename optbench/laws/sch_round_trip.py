"""sch.round_trip: a state_dict survives every way of storing it."""

from __future__ import annotations

import contextlib
import copy
import json
import math
import pickle
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from optbench.case import Case
from optbench.law import Law, Scope
from optbench.subjects import Subject, load
from optbench.subjects._schedule import Builtin, Each, Part, Plain, Power, Ramp, Table, Tally

if TYPE_CHECKING:
    from optbench.trials.schedulers import Run, Trial

LAW = Law(
    id="sch.round_trip",
    level="state",
    statement="a state_dict goes through pickle, torch.save with weights_only, and JSON, and the rates go on the same",
    catches="integer keys that JSON makes strings, functions or numpy scalars in the state, storage that is shared",
    kind="scheduler",
    host=True,
)

_EPOCHS = 10
_OTHER_LRS = (0.2, 0.6)
# What was loaded is the caller's, to do with what they like.
_SPOILED = "emptied when it was loaded"
# What was saved is the caller's too, whatever happens later.
_KEPT = "kept while it goes on"
# torch's own does not count its steps.
_UNCOUNTED = "cosineannealingwarmrestarts"
_FUNCTIONS = {"lr_lambda", "scale_fn"}


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    for way in _WAYS:
        for options in ({}, subject.fullest):
            yield scope.case(subject, options, scope.dtypes[0], variant=way)
    for options in ({}, subject.fullest):
        yield scope.case(subject, options, scope.dtypes[0], variant=_KEPT)
    if "milestones" in subject.defaults and "schedulers" not in subject.defaults:
        yield scope.case(subject, {"milestones": (1.5, 4)}, scope.dtypes[0], variant="json")
    for option in _FUNCTIONS & subject.defaults.keys():
        for function in (Builtin(), Power(0.8), Plain(Power(0.8))):
            yield scope.case(subject, {option: function}, scope.dtypes[0], variant="state_dict")
        yield scope.case(subject, {option: Tally()}, scope.dtypes[0], variant=_KEPT)
        yield scope.case(subject, {option: Table([0.9, 0.5, 0.75])}, scope.dtypes[0], variant=_SPOILED)


def check(trial: Trial) -> None:
    last = trial.last(_EPOCHS)
    if trial.case.variant == _KEPT:
        _kept(trial, last)
        return
    for k in (0, 1, last // 2, last - 1):
        run = trial.run()
        for epoch in range(1, k + 1):
            run.step(epoch)
        state = run.scheduler.state_dict()
        held = trial.keep("held", copy.deepcopy(state), "copy.deepcopy(saved)")
        stored = trial.make("stored", partial(_WAYS[trial.case.variant], state), _TEXTS[trial.case.variant])
        # Of other numbers, so that all that goes on comes from what was stored.
        twin = _twin(trial)
        twin.optimizer.load_state_dict(run.optimizer.state_dict())
        twin.scheduler.load_state_dict(stored)
        if trial.case.variant == _SPOILED:
            trial.tell(_SPOILING, partial(_spoil, stored))
        _loaded(trial, twin.scheduler.state_dict(), held, f"stored at {k}")
        trial.follow(f"stored at {k}", twin, k, last)
        trial.checker.true(f"stored at {k}, the state that was given has not moved", _equal(state, held),
                           shown="stored == held")  # fmt: skip
        if trial.case.variant == "state_dict":
            _as_torchs(trial, run, k)


def _kept(trial: Trial, last: int) -> None:
    """A state_dict is of the moment: neither later epochs nor a group that joins change it."""
    run = trial.run()
    for epoch in range(1, last + 1):
        state = trial.keep("kept", run.scheduler.state_dict(), "scheduler.state_dict()")
        held = trial.keep("held", copy.deepcopy(state), "copy.deepcopy(kept)")
        if epoch == last - 1:
            run.optimizer.add_param_group({"params": trial.optimizer().param_groups[0]["params"], "lr": 0.02})
        # Whether a group may join is asked elsewhere.
        with contextlib.suppress(Exception) if epoch >= last - 1 else contextlib.nullcontext():
            run.step(epoch)
        trial.checker.true(f"the state that was kept at {epoch - 1} has not moved", _equal(state, held),
                           shown="kept == held")  # fmt: skip


def _twin(trial: Trial) -> Run:
    """A scheduler of other options; torch's base class says that a state_dict holds all variables."""
    others = _others(trial.subject, trial.case.options)
    if trial.implementation.target:
        # What a state_dict holds of functions, torch says of its own classes only.
        others |= {name: value for name, value in trial.case.options.items() if name in _FUNCTIONS}
        return trial.run(others, _OTHER_LRS) if trial.derived else trial.run()
    return trial.run(others, _OTHER_LRS)


def _spoil(state: Any) -> None:
    """Empty whatever is in it."""
    for value in list(state.values() if isinstance(state, dict) else state):
        if isinstance(value, (dict, list)):
            _spoil(value)
    state.clear()


def _others(subject: Subject, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of the same form, all numbers in them others."""
    return {name: _other(value) for name, value in {**subject.base, **options}.items()}


def _other(value: Any) -> Any:
    if isinstance(value, Part):
        return Part(value.subject, _others(load(value.subject), value.options))
    if isinstance(value, tuple):
        return tuple(map(_other, value))
    if isinstance(value, Each):
        return Each(tuple(map(_other, value.values)))
    if isinstance(value, Table):
        return Table([_other(factor) for factor in value.factors])
    if isinstance(value, (Power, Ramp)):
        return replace(value, **{each.name: _other(getattr(value, each.name)) for each in fields(value)})
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return value
    return value + 3 if isinstance(value, int) else value / 2


def _loaded(trial: Trial, state: dict[str, Any], held: dict[str, Any], where: str) -> None:
    """What was loaded is what was stored, to the last entry."""
    if not trial.implementation.target:
        wrong = [name for name in held if not _equal(state.get(name), held[name])]
        trial.checker.true(f"{where}, entries of the state as loaded", not wrong, f"{wrong} differ",
                           "".join(_text(f"scheduler.state_dict().get({name!r})", held[name]) for name in wrong[:1])
                           )  # fmt: skip


def _as_torchs(trial: Trial, mine: Run, k: int) -> None:
    """The entries of a state are torch's, and so are their values, where torch has them right."""
    from optbench.trials.schedulers import Run

    if trial.implementation.target:
        return
    # torch has no state of a builtin function.
    options = {name: Plain(value) if isinstance(value, Builtin) else value for name, value in
               trial.case.options.items()}  # fmt: skip
    optimizer = trial.optimizer()
    run = Run(trial, optimizer, trial.build(optimizer, options, implementation=trial.plain_torch))
    for epoch in range(1, k + 1):
        run.step(epoch)
    theirs, state = run.scheduler.state_dict(), mine.scheduler.state_dict()
    trial.checker.same(f"entries of the state at {k}", sorted(state), sorted(theirs),
                       shown=f"sorted(saved) == {sorted(theirs)!r}")  # fmt: skip
    uncounted = {"_step_count"} if trial.subject.name == _UNCOUNTED else set()
    wrong = [name for name in state.keys() - uncounted if not _near(state[name], theirs.get(name))]
    trial.checker.same(f"entries of the state at {k} that are not torch's", wrong, [],
                       shown=" and ".join(_text(f"saved[{name!r}]", theirs.get(name)) for name in wrong))  # fmt: skip


def _text(place: str, value: Any) -> str:
    """That a place holds such a value, as Python."""
    if isinstance(value, dict):
        # A Counter is equal to a dict.
        value = dict(value)
    if isinstance(value, list):
        each = [_text(f"{place}[{i}]", item) for i, item in enumerate(value)]
        return " and ".join([f"len({place}) == {len(value)}", *each])
    return f"math.isclose({place}, {value!r}, rel_tol=1e-9)" if isinstance(value, float) else f"{place} == {value!r}"


def _near(a: Any, b: Any) -> bool:
    """Whether entries are the same, to the digits that torch's recursions keep."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_near(a[name], b[name]) for name in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_near, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-9)
    return type(a) is type(b) and a == b


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_equal(a[name], b[name]) for name in a)
    return bool(a == b)


def _torch_save(state: dict[str, Any]) -> Any:
    import io

    import torch

    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


_WAYS: dict[str, Callable[[dict[str, Any]], Any]] = {
    _SPOILED: copy.deepcopy,
    "state_dict": lambda state: state,
    "pickle": lambda state: pickle.loads(pickle.dumps(state)),
    "torch.save": _torch_save,
    # Whose entries have no order.
    "json": lambda state: json.loads(json.dumps(dict(reversed(state.items())))),
}
# The same in scripts.
_TEXTS = {
    _SPOILED: "copy.deepcopy(saved)",
    "state_dict": "saved",
    "pickle": "pickle.loads(pickle.dumps(saved))",
    "torch.save": "(lambda file: (torch.save(saved, file), file.seek(0), torch.load(file, weights_only=True))[2])"
                  "(io.BytesIO())",
    "json": "json.loads(json.dumps(dict(reversed(saved.items()))))",
}  # fmt: skip
_SPOILING = """\
for values in [each for each in stored.values() if isinstance(each, (dict, list))] + [stored]:
    values.clear()"""
