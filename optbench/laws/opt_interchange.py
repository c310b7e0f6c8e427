"""opt.interchange: a checkpoint moves between any two implementations in the middle of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from optbench import pairwise
from optbench.case import Case
from optbench.law import Law, Scope
from optbench.subjects import NAMES, Subject

if TYPE_CHECKING:
    from optbench.registry import Implementation
    from optbench.trials.optimizers import Trial
    from optbench.trials.running import Run

LAW = Law(
    id="opt.interchange",
    level="torch",
    statement="a checkpoint continues in torch.optim as its own does, in each tier as the oracle does, and theirs here",
    catches="other names, shapes, dtypes or meanings in state_dict than torch's",
    host=True,
)

_OURS = ("reference", "foreach", "fused")
_TORCHS = ("torch-forloop", "torch-foreach", "torch-fused")
_PATHS = ("foreach", "fused")
_SAVED_AFTER = 2
# What a path keeps in which dtype, where numbers are of double precision unless somebody says otherwise.
_WIDE, _WIDE_FUSED = "wide numbers", "wide numbers, fused"


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    if subject.name not in NAMES:
        # Nobody else has it.
        return
    full = scope.suite == "full"
    partners = (*(_TORCHS if full else _TORCHS[:1]) * subject.in_torch, *_OURS)
    variants = [f"{direction} {partner}" for partner in partners for direction in ("to", "from")]
    factors = {option.name: option.values for option in subject.options}
    factors |= {"dtype": scope.some("float32", "bfloat16"), "variant": tuple(variants)}
    if full:
        rows = pairwise.rows(factors, subject.forbidden)
    else:
        del factors["variant"]
        met = pairwise.rows(factors, subject.forbidden)
        most = {**subject.complete(subject.fullest), "dtype": factors["dtype"][0]}
        # Every partner in both directions, in one of them with all the state there is.
        rows = [{**(most if i % 2 else met[i % len(met)]), "variant": name} for i, name in enumerate(variants)]
    for row in rows:
        dtype, variant = row.pop("dtype"), row.pop("variant")
        # torch takes it on accelerators only, and it decides nothing but where counters live.
        row.pop("capturable", None)
        steps = _SAVED_AFTER + (1 if subject.closure else 2)
        yield scope.case(subject, row, dtype, moment="late", shapes="pair", variant=variant, steps=steps)
    for variant in (_WIDE, *((_WIDE_FUSED,) if "fused" in subject.later else ())) if subject.in_torch else ():
        yield scope.case(subject, subject.fullest, scope.some("float32")[0], shapes="pair", variant=variant)


def check(trial: Trial) -> None:
    from optbench import registry
    from optbench.trials import nested
    from optbench.trials.base import Unsupported

    if trial.case.variant in (_WIDE, _WIDE_FUSED):
        _wide(trial, fused=trial.case.variant == _WIDE_FUSED)
        return
    direction, _, name = trial.case.variant.partition(" ")
    partner = registry.IMPLEMENTATIONS[name]
    refused = partner.refusal(trial.case)
    if refused:
        raise Unsupported(refused)
    writer, reader = (trial.implementation, partner) if direction == "to" else (partner, trial.implementation)
    run = _begun(trial, writer) if writer is trial.implementation else _asked(writer, lambda: _begun(trial, writer))
    live = run.optimizer.state_dict()
    saved = trial.known_as(nested.copied(live), f"copy.deepcopy({trial.name(live)})")
    if trial.subject.in_torch:
        _same_form(trial, saved, _begun(trial, registry.IMPLEMENTATIONS[_TORCHS[0]]).optimizer.state_dict())
    run.optimizer = trial.build(run.params, trial.case.options, reader)
    run.optimizer.load_state_dict(saved)
    what = f"{writer.name} continued in {reader.name}"
    if reader.name in _TORCHS and not trial.checker.failures:
        _as_torchs_own(trial, run, reader, saved, what)
        return
    for k in range(_SAVED_AFTER, trial.case.steps):
        trial.judge_next(run, k, f"{what}, step {k + 1}")


def _wide(trial: Trial, fused: bool) -> None:
    """What is kept has torch's form also where the default dtype is double."""
    import torch

    from optbench import registry
    from optbench.trials.base import Unsupported

    if trial.implementation.factory:
        raise Unsupported("it is one of those that this compares with")
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        run = _begun(trial, trial.implementation, **({"fused": True} if fused else {}))
        torchs = _begun(trial, registry.IMPLEMENTATIONS["torch-fused" if fused else "torch-forloop"])
    finally:
        torch.set_default_dtype(before)
    _same_form(trial, run.optimizer.state_dict(), torchs.optimizer.state_dict())


def _asked(partner: Implementation, doing: Callable[[], Any]) -> Any:
    """What a partner can do alone; where it cannot, nobody's checkpoint is to blame."""
    from optbench.trials.base import Unsupported

    try:
        return doing()
    except Exception as error:
        raise Unsupported(f"{partner.name} fails alone: {type(error).__name__}: {error}") from error


def _begun(trial: Trial, implementation: Implementation, **flags: bool) -> Run:
    """A run of an implementation up to where it is saved."""
    run = trial.run()
    run.optimizer = trial.build(run.params, {**trial.case.options, **flags}, implementation)
    for k in range(_SAVED_AFTER):
        run.step(k)
    return run


def _as_torchs_own(trial: Trial, run: Run, reader: Implementation, saved: dict[str, Any], what: str) -> None:
    """Beside torch that loads a checkpoint of its own with the same numbers in it: what torch loses, both lose."""
    import torch

    twin = _asked(reader, lambda: _begun(trial, reader))
    own = twin.optimizer.state_dict()
    twin.optimizer = trial.build(twin.params, trial.case.options, reader)
    twin.optimizer.load_state_dict({**own, "state": _with_numbers(own["state"], saved["state"])})
    with torch.no_grad():
        for mine, theirs in zip(twin.params, run.params, strict=True):
            mine.copy_(theirs)
    for group, other in zip(run.optimizer.param_groups, twin.optimizer.param_groups, strict=True):
        # They choose torch's path and nothing else.
        group.update({flag: other[flag] for flag in _PATHS if flag in group})
    for k in range(_SAVED_AFTER, trial.case.steps):
        _asked(reader, partial(twin.step, k))
        run.step(k)
        trial.checker.alike(f"{what} as torch's own is, step {k + 1}", run.held(), twin.held())


def _with_numbers(own: Any, others: Any) -> Any:
    """A structure of torch's with the other's numbers in its tensors."""
    import torch

    if isinstance(own, dict):
        return {key: _with_numbers(value, others[key]) for key, value in own.items()}
    if isinstance(own, list):
        return [_with_numbers(*pair) for pair in zip(own, others, strict=True)]
    return own.clone().copy_(torch.as_tensor(others)) if isinstance(own, torch.Tensor) else others


def _same_form(trial: Trial, saved: dict[str, Any], torchs: dict[str, Any]) -> None:
    """Keys, shapes and dtypes are those that torch's own for-loop writes."""
    import torch

    checker = trial.checker
    its, torchs_own = trial.name(saved), trial.name(torchs)
    checker.same("entries of state_dict", list(saved), list(torchs), shown=f"list({its}) == list({torchs_own})")
    for g, (ours, theirs) in enumerate(zip(saved["param_groups"], torchs["param_groups"], strict=True)):
        groups = [f"{text}['param_groups'][{g}]" for text in (its, torchs_own)]
        checker.same("entries of the group", sorted(ours), sorted(theirs),
                     shown=f"sorted({groups[0]}) == sorted({groups[1]})")  # fmt: skip
        for key in set(ours) & set(theirs) - set(_PATHS):
            checker.same(f"group[{key!r}]", ours[key], theirs[key],
                         shown=f"{groups[0]}[{key!r}] == {groups[1]}[{key!r}]")  # fmt: skip
    checker.same("parameters with state", sorted(saved["state"]), sorted(torchs["state"]),
                 shown=f"sorted({its}['state']) == sorted({torchs_own}['state'])")  # fmt: skip
    for i in set(saved["state"]) & set(torchs["state"]):
        ours, theirs = saved["state"][i], torchs["state"][i]
        entries = [f"{text}['state'][{i}]" for text in (its, torchs_own)]
        checker.same(f"state entries of parameter {i}", sorted(ours), sorted(theirs),
                     shown=f"sorted({entries[0]}) == sorted({entries[1]})")  # fmt: skip
        # A number of LBFGS's is a float or a tensor, depending on what it was computed from last.
        own = {entry.name for entry in trial.subject.state if entry.form == "own"}
        free = {name for name in own & theirs.keys() if getattr(theirs[name], "ndim", 1) == 0}
        for key in set(ours) & set(theirs) - free:
            if isinstance(theirs[key], torch.Tensor):
                form = [(t.dtype, tuple(t.shape)) for t in (ours[key], theirs[key])]
                forms = [f"({text}[{key!r}].dtype, {text}[{key!r}].shape)" for text in entries]
                checker.same(f"dtype and shape of {key} of parameter {i}", *form, shown=" == ".join(forms))
