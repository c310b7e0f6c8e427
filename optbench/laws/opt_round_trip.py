"""opt.round_trip: saved and loaded in the middle, nothing changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from optbench.case import Case
from optbench.law import Law, Scope
from optbench.subjects import Subject

if TYPE_CHECKING:
    from optbench.trial import Run, Trial

LAW = Law(
    id="opt.round_trip",
    level="state",
    statement="saved at any step by torch.save, pickle or deepcopy and loaded again, it goes on bitwise the same",
    catches="hidden state outside state_dict, dtypes or devices lost on the way, memory shared with a copy",
    host=True,
    formula=False,
)

_WAYS = ("torch.save", "pickle", "deepcopy")


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    sets = (subject.fullest, *({"lr": option.values[-1]} for option in subject.options if option.name == "lr"))
    for way in _WAYS:
        for options in sets:
            for dtype in scope.some("float32", "bfloat16"):
                yield scope.case(subject, options, dtype, moment="late", shapes="pair", variant=way, steps=5)


def check(trial: Trial) -> None:
    ways: dict[str, Callable[[Trial, Run], tuple[Any, list[Any]]]] = {
        "torch.save": _torch_save, "pickle": _pickle, "deepcopy": _deepcopy,
    }  # fmt: skip
    for saved_after in range(trial.case.steps - 1):
        run = trial.run()
        for k in range(saved_after):
            run.step(k)
        optimizer, params = ways[trial.case.variant](trial, run)
        twin = trial.run()
        twin.optimizer, twin.params = optimizer, params
        where = f"saved after {saved_after} steps"
        _same_state(trial, run, optimizer, params, where)
        for k in range(saved_after, trial.case.steps):
            run.step(k)
            twin.step(k)
            trial.checker.alike(f"{where}, step {k + 1}", twin.held(), run.held())
        _same_state(trial, run, optimizer, params, f"{where}, at the end")


def _same_state(trial: Trial, run: Run, optimizer: Any, params: list[Any], where: str) -> None:
    """Every entry of the state equal in name, value, dtype, shape, device and strides; none shared."""
    import torch

    from optbench import nested

    for i, (param, original) in enumerate(zip(params, run.params, strict=True)):
        loaded, kept = optimizer.state.get(param, {}), run.optimizer.state.get(original, {})
        trial.checker.same(f"{where}, state entries of parameter {i}", sorted(loaded), sorted(kept))
        for name in sorted(set(loaded) & set(kept)):
            if not isinstance(kept[name], torch.Tensor) or not isinstance(loaded[name], torch.Tensor):
                changed = nested.difference(loaded[name], kept[name])
                trial.checker.true(f"{where}, {name} of parameter {i}", not changed, changed)
                continue
            trial.checker.equal(f"{where}, {name} of parameter {i}", loaded[name], kept[name])
            trial.checker.same(f"{where}, device of {name}", loaded[name].device, kept[name].device)
            shared = loaded[name].numel() and loaded[name].data_ptr() == kept[name].data_ptr()
            trial.checker.true(f"{where}, {name} of parameter {i} has memory of its own", not shared)


def _torch_save(trial: Trial, run: Run) -> tuple[Any, list[Any]]:
    import io

    import torch

    from optbench.problem import exact

    buffer = io.BytesIO()
    torch.save(run.optimizer.state_dict(), buffer)
    buffer.seek(0)
    twin = trial.run(start=[exact(param) for param in run.params])
    twin.optimizer.load_state_dict(torch.load(buffer, weights_only=True))
    return twin.optimizer, twin.params


def _pickle(trial: Trial, run: Run) -> tuple[Any, list[Any]]:
    import pickle

    return _with_params(pickle.loads(pickle.dumps(run.optimizer)))


def _deepcopy(trial: Trial, run: Run) -> tuple[Any, list[Any]]:
    import copy

    return _with_params(copy.deepcopy(run.optimizer))


def _with_params(optimizer: Any) -> tuple[Any, list[Any]]:
    return optimizer, [param for group in optimizer.param_groups for param in group["params"]]
