"""opt.round_trip: saved and loaded in the middle, nothing changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from optbench import pairwise
from optbench.case import Case
from optbench.law import Law, Scope
from optbench.subjects import Subject

if TYPE_CHECKING:
    from optbench.trials.optimizers import Trial
    from optbench.trials.running import Run

LAW = Law(
    id="opt.round_trip",
    level="state",
    statement="saved at any step by torch.save, pickle or deepcopy and loaded again, it goes on bitwise the same",
    catches="hidden state outside state_dict, dtypes or devices lost on the way, memory shared with a copy",
    host=True,
    formula=False,
)

_ROWS = 5
_TEXT = "a text beside it"


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    factors: dict[str, Any] = {"way": tuple(_WAYS), "dtype": scope.some("float32", "bfloat16")}
    factors |= {"layout": ("contiguous", "transposed")}
    factors |= {option.name: option.values for option in subject.options}
    # Where loading casts what it should leave alone, few digits show it.
    rows = [{**subject.complete(subject.fullest), "way": way, "dtype": factors["dtype"][-1]} for way in _WAYS]
    met = pairwise.rows(factors, subject.forbidden)
    for row in [*rows, *(met if scope.suite == "full" else met[:_ROWS])]:
        way, dtype, layout = row.pop("way"), row.pop("dtype"), row.pop("layout", "contiguous")
        yield scope.case(subject, row, dtype, layout=layout, moment="late", shapes="pair", variant=way, steps=4)
    yield scope.case(subject, subject.fullest, scope.some("float32")[0], shapes="pair", variant=_TEXT, steps=2)


def check(trial: Trial) -> None:
    """One run that is saved before every step, and goes on beside all that came of it."""
    run = trial.run()
    if trial.case.variant == _TEXT:
        run.step(0)
        for param in run.params[:1] if trial.subject.sees == "all" else run.params:
            run.optimizer.state[param]["note"] = ["of somebody", {"else": "'s"}]
        _same_state(trial, run, _torch_save(trial, run), "with a text beside it")
        return
    twins: list[tuple[str, Run]] = []
    for k in range(trial.case.steps):
        twin = _WAYS[trial.case.variant](trial, run)
        twins.append((f"saved after {k} steps", twin))
        _same_state(trial, run, twin, twins[-1][0])
        run.step(k)
        for where, each in twins:
            each.step(k)
            trial.checker.alike(f"{where}, step {k + 1}", each.held(), run.held())
    for where, each in twins:
        _same_state(trial, run, each, f"{where}, at the end")


def _same_state(trial: Trial, run: Run, twin: Run, where: str) -> None:
    """Every entry of groups and state equal in name, value, dtype, shape, device and strides; none shared."""
    from optbench.trials import nested

    mine, its = (
        [{**group, "params": len(group["params"])} for group in each.optimizer.param_groups] for each in (twin, run)
    )
    changed = nested.difference(mine, its)
    trial.checker.true(f"{where}, groups", not changed, changed, _same_groups(trial, twin, run, changed))
    for i in range(len(run.params)):
        loaded, kept = (trial.entries(each.optimizer, each.params[i]) for each in (twin, run))
        trial.checker.alike(f"{where}, state of parameter {i}", loaded, kept)
        for name in (each for each in kept if hasattr(kept[each], "stride") and each in loaded):
            form = [(value.device, value.stride()) for value in (loaded[name], kept[name])]
            texts = [f"{trial.name(each.optimizer)}.state[{trial.name(each.params[i])}]{name}" for each in (twin, run)]
            trial.checker.same(f"{where}, device and strides of {name} of parameter {i}", *form,
                               shown=" == ".join(f"({text}.device, {text}.stride())" for text in texts))  # fmt: skip
            shared = loaded[name].numel() and loaded[name].data_ptr() == kept[name].data_ptr()
            trial.checker.true(f"{where}, {name} of parameter {i} has memory of its own", not shared,
                               shown=" != ".join(f"{text}.data_ptr()" for text in texts))  # fmt: skip


def _same_groups(trial: Trial, twin: Run, run: Run, changed: str) -> str:
    """The fact that what changed has not, of a script."""
    place = changed.partition(" is ")[0]
    mine, its = (f"{trial.name(each.optimizer)}.param_groups{place}" for each in (twin, run))
    return f"str({mine}) == str({its})"


def _torch_save(trial: Trial, run: Run) -> Run:
    import io

    import torch

    from optbench.trials.problem import exact

    buffer = io.BytesIO()
    torch.save(run.optimizer.state_dict(), buffer)
    buffer.seek(0)
    twin = trial.run(start=[exact(param) for param in run.params])
    twin.optimizer.load_state_dict(torch.load(buffer, weights_only=True))
    return twin


def _pickle(trial: Trial, run: Run) -> Run:
    return _with_params(trial, trial.copied(run.optimizer, "pickle"))


def _deepcopy(trial: Trial, run: Run) -> Run:
    return _with_params(trial, trial.copied(run.optimizer, "deepcopy"))


def _with_params(trial: Trial, optimizer: Any) -> Run:
    """A copy of an optimizer has copies of its parameters."""
    twin = trial.run()
    twin.optimizer, twin.params = optimizer, [param for group in optimizer.param_groups for param in group["params"]]
    return twin


_WAYS: dict[str, Callable[[Trial, Run], Run]] = {"torch.save": _torch_save, "pickle": _pickle, "deepcopy": _deepcopy}
