"""opt.snapshot: what was loaded stays what it was, and what state_dict() gives is the optimizer's own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from optbench.case import AsTensor, Case
from optbench.law import Law, Scope
from optbench.subjects import Subject

if TYPE_CHECKING:
    from optbench.trials.optimizers import Trial
    from optbench.trials.running import Run

LAW = Law(
    id="opt.snapshot",
    level="state",
    statement="load_state_dict shares nothing with what it was given, which never moves; state_dict() gives references",
    catches="a checkpoint in memory that trains on, two optimizers that share a state, a state_dict that is a copy",
    host=True,
    formula=False,
)

_SAVED_AFTER = 2
_COPY, _LIVE, _MORE, _RETURNED = "loaded", "loaded from a live one", "loaded with more in it", "returned"


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    full = scope.suite == "full"
    lr = {"lr": AsTensor(0.0625)} if "lr" in subject.defaults else {}
    sets = [subject.fullest, {**subject.fullest, **lr}, *[{}] * full]
    for given in (_COPY, _LIVE, _MORE, _RETURNED):
        for dtype in scope.some("float32", *("bfloat16", "complex64") * full):
            # What a group holds moves only where it is a tensor.
            for options in sets if full or given in (_COPY, _RETURNED) else sets[:1]:
                yield scope.case(subject, options, dtype, moment="late", shapes="pair", variant=given, steps=4)


def check(trial: Trial) -> None:
    run = trial.run()
    for k in range(_SAVED_AFTER):
        run.step(k)
    if trial.case.variant == _RETURNED:
        _returned(trial, run)
    else:
        _loaded(trial, run, trial.case.variant)


def _loaded(trial: Trial, writer: Run, given_as: str) -> None:
    from optbench.trials import nested
    from optbench.trials.problem import exact

    checker = trial.checker
    given = writer.optimizer.state_dict()
    if given_as != _LIVE:
        live = given
        given = trial.known_as(nested.copied(live), f"copy.deepcopy({trial.name(live)})")
    if given_as == _MORE:
        _add_more(given, trial.problem.dtype)
    before = trial.known_as(nested.copied(given), f"copy.deepcopy({trial.name(given)})")
    reader = trial.run(start=[exact(param) for param in writer.params])
    reader.optimizer.load_state_dict(given)
    _unmoved(trial, "load_state_dict leaves what it was given as it was", given, before)
    if given_as == _MORE:
        _unmoved(trial, "all that was loaded is there", _more(reader.optimizer.state_dict()), _more(before))
    names = {id(param): f" of parameter {i}" for i, param in enumerate(reader.params)}
    theirs = {memory: path for path, memory in _memory(given)}
    for name, mine, text in _kept(trial, reader.optimizer, names):
        shown = _apart(text, f"{trial.name(given)}{theirs.get(mine, '')}")
        checker.true(f"{name} has memory of its own", mine not in theirs, shown=shown)
    for k in range(_SAVED_AFTER, trial.case.steps):
        _change_rate(reader.optimizer)
        reader.step(k)
        _unmoved(trial, f"what was loaded is as it was after step {k + 1}", given, before)
    if given_as == _LIVE:
        held = reader.held()
        for k in range(_SAVED_AFTER, trial.case.steps):
            _change_rate(writer.optimizer)
            writer.step(k)
            checker.alike(f"while the other takes step {k + 1}", reader.held(), held)


def _returned(trial: Trial, run: Run) -> None:
    import torch

    from optbench.trials import nested

    checker, optimizer = trial.checker, run.optimizer
    saved = optimizer.state_dict()
    for i, param in enumerate(run.params):
        kept, given = optimizer.state.get(param, {}), saved["state"].get(i, {})
        checker.same(f"state entries of parameter {i}", sorted(given), sorted(kept))
        for (path, mine), (_, theirs) in zip(nested.leaves(kept), nested.leaves(given), strict=True):
            same = theirs is mine if isinstance(mine, torch.Tensor) else theirs == mine
            place = f"{trial.name(optimizer)}.state[{trial.name(param)}]{path}"
            checker.true(f"{path} of parameter {i} in state_dict() is the optimizer's own", same, "it is a copy",
                         f"{trial.name(saved)}['state'][{i}]{path} is {place}")  # fmt: skip
    for g, (group, given) in enumerate(zip(optimizer.param_groups, saved["param_groups"], strict=True)):
        for name in (each for each in given if each != "params"):
            place = f"param_groups[{g}][{name!r}]"
            checker.true(f"group[{name!r}] in state_dict() is the optimizer's own", given[name] is group[name],
                         shown=f"{trial.name(saved)}['param_groups'][{g}][{name!r}] is optimizer.{place}")  # fmt: skip
        checker.same("what stands for the parameters", given["params"], list(range(len(run.params))))
    # The dictionaries themselves are new: what is written into them stays there.
    before = run.held()
    saved["state"].clear()
    for given in saved["param_groups"]:
        given.clear()
    checker.alike("after state_dict() was emptied", run.held(), before)
    checker.true("groups keep their entries after state_dict() was emptied", all(optimizer.param_groups))


def _add_more(given: dict[str, Any], dtype: Any) -> None:
    """What the optimizer does not know: under a parameter, under names, and in a group."""
    import torch

    # What is kept of a parameter is cast to its dtype.
    pair, one = torch.ones(2, dtype=dtype), torch.ones((), dtype=dtype)
    more: dict[str, Any] = {"list": [pair.clone(), one.clone()], "pair": (pair.clone(), one.clone()), "one": one}
    given["state"].setdefault(0, {})["more"] = more
    given["state"]["more"] = {"list": [pair.clone(), one.clone()], "one": one.clone()}
    given["state"]["no dictionary"] = [pair.clone(), one.clone()]
    given["param_groups"][0]["more"] = [pair.clone(), one.clone()]


def _more(saved: dict[str, Any]) -> list[Any]:
    """What `_add_more` has put in."""
    state = saved["state"]
    named = [state.get(name) for name in ("more", "no dictionary")]
    return [state.get(0, {}).get("more"), *named, saved["param_groups"][0].get("more")]


def _unmoved(trial: Trial, what: str, given: Any, before: Any) -> None:
    from optbench.trials import nested

    moved = nested.difference(given, before)
    now, then = (f"{trial.name(each)}{moved.partition(' is ')[0]}" for each in (given, before))
    trial.checker.true(what, not moved, moved, f"str({now}) == str({then})")


def _kept(trial: Trial, optimizer: Any, names: dict[int, str]) -> Iterator[tuple[str, int, str]]:
    """The memory of everything in state and groups, by name, and where it stands in a script."""
    its = trial.name(optimizer)
    for key, entries in optimizer.state.items():
        for path, memory in _memory(entries):
            yield f"state{path}{names.get(id(key), '')}", memory, f"{its}.state[{trial.name(key)}]{path}"
    for number, group in enumerate(optimizer.param_groups):
        for path, memory in _memory({name: value for name, value in group.items() if name != "params"}):
            yield f"group{path} of group {number}", memory, f"{its}.param_groups[{number}]{path}"


def _apart(mine: str, theirs: str) -> str:
    """The fact that two tensors share no memory, of a script."""
    return f"{mine}.untyped_storage().data_ptr() != {theirs}.untyped_storage().data_ptr()"


def _memory(structure: Any, path: str = "") -> Iterator[tuple[str, int]]:
    """Where each tensor's elements lie, and the identity of each dictionary and list, by place."""
    import torch

    if isinstance(structure, torch.Tensor):
        if structure.numel():
            yield path, structure.untyped_storage().data_ptr()
        return
    if isinstance(structure, (dict, list)):
        yield path, id(structure)
    if isinstance(structure, (dict, list, tuple)):
        items = structure.items() if isinstance(structure, dict) else enumerate(structure)
        for key, value in items:
            yield from _memory(value, f"{path}[{key!r}]")


def _change_rate(optimizer: Any) -> None:
    """As a scheduler does: a tensor in place, which everyone who shares it would see."""
    import torch

    for group in optimizer.param_groups:
        if isinstance(group.get("lr"), torch.Tensor):
            group["lr"].mul_(0.5)
