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
    catches="hidden state outside state_dict, dtypes or devices lost on the way, storage shared with what was loaded",
    host=True,
)

_WAYS = ("torch.save", "pickle", "deepcopy", "state_dict")


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    sets = (subject.fullest, {"lr": next(option.values[2] for option in subject.options if option.name == "lr")})
    for way in _WAYS:
        for options in sets:
            for dtype in scope.some("float32", "bfloat16"):
                yield scope.case(subject, options, dtype, moment="late", shapes="pair", variant=way, steps=5)


def check(trial: Trial) -> None:
    ways: dict[str, Callable[[Trial, Run], tuple[Any, list[Any]]]] = {
        "torch.save": _torch_save, "pickle": _pickle, "deepcopy": _deepcopy, "state_dict": _state_dict,
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
            for i, (actual, expected) in enumerate(zip(params, run.params, strict=True)):
                trial.checker.equal(f"{where}, step {k + 1}, parameter {i}", actual, expected)
        _same_state(trial, run, optimizer, params, f"{where}, at the end")


def _same_state(trial: Trial, run: Run, optimizer: Any, params: list[Any], where: str) -> None:
    """Every entry of the state equal in name, value, dtype, shape, device and strides; none shared."""
    import torch

    for i, (param, original) in enumerate(zip(params, run.params, strict=True)):
        loaded, kept = optimizer.state.get(param, {}), run.optimizer.state.get(original, {})
        trial.checker.same(f"{where}, state entries of parameter {i}", sorted(loaded), sorted(kept))
        for name in sorted(set(loaded) & set(kept)):
            if not isinstance(kept[name], torch.Tensor) or not isinstance(loaded[name], torch.Tensor):
                same = _equal(loaded[name], kept[name])
                trial.checker.true(f"{where}, {name} of parameter {i}", same, f"{loaded[name]!r}, {kept[name]!r}")
                continue
            trial.checker.equal(f"{where}, {name} of parameter {i}", loaded[name], kept[name])
            trial.checker.same(f"{where}, device of {name}", loaded[name].device, kept[name].device)
            shared = loaded[name].numel() and loaded[name].data_ptr() == kept[name].data_ptr()
            trial.checker.true(f"{where}, {name} of parameter {i} has memory of its own", not shared)


def _fresh(trial: Trial, run: Run, state: Any) -> tuple[Any, list[Any]]:
    from optbench.problem import exact

    twin = trial.run(start=[exact(param) for param in run.params])
    twin.optimizer.load_state_dict(state)
    for i, param in enumerate(twin.params):
        for name, given in state["state"].get(i, {}).items():
            kept = twin.optimizer.state[param].get(name)
            shared = _storage(given) is not None and _storage(given) == _storage(kept)
            trial.checker.true(f"{name} of parameter {i} is no longer the tensor that was loaded", not shared)
    return twin.optimizer, twin.params


def _storage(value: Any) -> int | None:
    """Where a per-element tensor lies; None for numbers, counters and nothing."""
    return value.data_ptr() if getattr(value, "ndim", 0) and value.numel() else None


def _torch_save(trial: Trial, run: Run) -> tuple[Any, list[Any]]:
    import io

    import torch

    buffer = io.BytesIO()
    torch.save(run.optimizer.state_dict(), buffer)
    buffer.seek(0)
    return _fresh(trial, run, torch.load(buffer, weights_only=True))


def _state_dict(trial: Trial, run: Run) -> tuple[Any, list[Any]]:
    import copy

    given = run.optimizer.state_dict()
    # What load_state_dict was given must not move afterwards; the copy is what it was.
    held = copy.deepcopy(given)
    twin = _fresh(trial, run, held)
    trial.checker.true("load_state_dict left what it was given alone", _equal(held, given), "it was changed")
    return twin


def _equal(a: Any, b: Any) -> bool:
    import torch

    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(_equal, a, b))
    return bool(torch.equal(a, b)) if isinstance(a, torch.Tensor) else a == b


def _pickle(trial: Trial, run: Run) -> tuple[Any, list[Any]]:
    import pickle

    return _with_params(pickle.loads(pickle.dumps(run.optimizer)))


def _deepcopy(trial: Trial, run: Run) -> tuple[Any, list[Any]]:
    import copy

    return _with_params(copy.deepcopy(run.optimizer))


def _with_params(optimizer: Any) -> tuple[Any, list[Any]]:
    return optimizer, [param for group in optimizer.param_groups for param in group["params"]]
