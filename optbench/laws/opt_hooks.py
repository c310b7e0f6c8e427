"""opt.hooks: who is called, when, in what order, and what they may change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from optbench.case import Case
from optbench.law import Law, Scope
from optbench.subjects import Subject

if TYPE_CHECKING:
    from optbench.trials.optimizers import Trial
    from optbench.trials.running import Run

LAW = Law(
    id="opt.hooks",
    level="torch",
    statement="hooks of step, state_dict and load_state_dict run in order and may change what torch says; closures run "
    "once, with gradients enabled, and their value is returned",
    catches="a step or a checkpoint that goes past its hooks, a hook's answer that is ignored, a closure under no_grad",
    host=True,
    formula=False,
)

# The same in scripts, where what is done comes before the fact.
_STEP = """\
log = []
optimizer.register_step_pre_hook(lambda *_: log.append('before'))
optimizer.register_step_post_hook(lambda *_: log.append('after'))
optimizer.step(lambda: torch.ones(()))
log == ['before', 'after']"""
_CLOSURE = """\
optimizer.register_step_pre_hook(lambda _, given, named: ((*given, lambda: 2.5), {}))
optimizer.step(closure=lambda: torch.ones(())) == 2.5"""
_SAVING = """\
log = []
optimizer.register_state_dict_pre_hook(lambda *_: log.append('before'))
optimizer.register_state_dict_post_hook(lambda *_: log.append('after'))
saved = optimizer.state_dict()
log == ['before', 'after']"""
_LOADING = """\
log = []
optimizer.register_load_state_dict_pre_hook(lambda *_: log.append('before'))
optimizer.register_load_state_dict_post_hook(lambda *_: log.append('after'))
optimizer.load_state_dict(optimizer.state_dict())
log == ['before', 'after']"""
_COPIED = """\
log = []
optimizer.register_state_dict_pre_hook(lambda *_: log.append('the original'))
optimizer.register_step_pre_hook(lambda *_: log.append('the original'))
copied = copy.deepcopy(optimizer)
saved, result = copied.state_dict(), copied.step(lambda: torch.ones(()))
log == []"""

# The rate that a closure sets.
_SET = 0.375

# Who tells of a call, and whether the parameters had moved by then.
Log = list[tuple[str, bool]]


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    for variant in _VARIANTS:
        yield scope.case(subject, subject.fullest, scope.some("float32")[0], shapes="pair", variant=variant)


def check(trial: Trial) -> None:
    _VARIANTS[trial.case.variant](trial)


def _steps(trial: Trial) -> None:
    """Hooks of all optimizers come around those of this one; each is told of the call, and a removed one is not."""
    run = _Watched(trial)
    log: Log = []
    with _for_all(run, log):
        register, after = run.optimizer.register_step_pre_hook, run.optimizer.register_step_post_hook
        handles = [register(run.note(log, f"before {i}")) for i in (1, 2)]
        handles += [after(run.note(log, f"after {i}")) for i in (1, 2)]
        run.step()
        names = ["before all", "before 1", "before 2", "after 1", "after 2", "after all"]
        trial.checker.same("hooks of step, and whether parameters had moved", log, _halves(names), shown=_STEP)
        log.clear()
        handles[0].remove()
        handles[2].remove()
        run.step()
        names = ["before all", "before 2", "after 2", "after all"]
        trial.checker.same("hooks of step after two were removed", log, _halves(names))
    log.clear()
    run.step()
    names = ["before 2", "after 2"]
    trial.checker.same("hooks of step after those of all optimizers were removed", log, _halves(names))


class _Watched:
    """A run whose hooks tell whether parameters had moved since the step began."""

    def __init__(self, trial: Trial) -> None:
        self.trial, self.run = trial, trial.run()
        self.optimizer = self.run.optimizer
        self._k = 0
        self._old = self.run.params[0].detach().clone()

    def step(self) -> None:
        self.run.give(self._k)
        self._old = self.run.params[0].detach().clone()
        self.run.step()
        self._k += 1

    def note(self, log: Log, name: str) -> Callable[..., None]:
        def hook(optimizer: Any, arguments: Any, named: Any) -> None:
            told = optimizer is self.optimizer and isinstance(arguments, tuple) and isinstance(named, dict)
            self.trial.checker.true(f"the hook {name!r} is given the optimizer and the arguments", told)
            log.append((name, not bool((self.run.params[0] == self._old).all())))

        return hook


def _halves(names: list[str]) -> Log:
    return [(name, name.startswith("after")) for name in names]


@contextmanager
def _for_all(run: _Watched, log: Log) -> Iterator[None]:
    """Hooks of every optimizer of the process, which tell of this one."""
    from torch.optim import optimizer as torchs

    handles = [
        torchs.register_optimizer_step_pre_hook(run.note(log, "before all")),
        torchs.register_optimizer_step_post_hook(run.note(log, "after all")),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _arguments(trial: Trial) -> None:
    """What a hook before a step returns is what the step is called with, and what hooks after it are told."""
    import torch

    run, value = trial.run(), torch.tensor(2.5)
    told: list[tuple[int, list[str]]] = []

    def tell(optimizer: Any, arguments: Any, named: Any) -> None:
        told.append((len(arguments), sorted(named)))

    def exchange(optimizer: Any, arguments: Any, named: Any) -> Any:
        tell(optimizer, arguments, named)
        return (*arguments, lambda: _evaluated(run, value)), {}

    handle = run.optimizer.register_step_pre_hook(exchange)
    run.optimizer.register_step_post_hook(tell)
    plain = trial.run()
    returned = run.optimizer.step(closure=lambda: torch.tensor(0.0))
    _step_at(plain, value)
    trial.checker.true("step returns what the exchanged closure returned", returned is value, f"{returned!r}", _CLOSURE)
    trial.checker.same("arguments before and after the exchange", told, [(1, ["closure"]), (2, [])])
    _same_params(trial, run, plain, "stepped by the exchanged closure")
    handle.remove()
    run.optimizer.register_step_pre_hook(lambda optimizer, arguments, named: "nonsense")
    before = run.held()
    trial.checker.raises("a hook that returns neither None nor a pair", RuntimeError, lambda: _step_at(run, value))
    trial.checker.alike("after the refusal", run.held(), before)


def _evaluated(run: Run, value: Any, k: int = 0) -> Any:
    """What a closure does: new gradients, and the value."""
    run.give(k)
    return value


def _step_at(run: Run, value: Any) -> Any:
    return run.optimizer.step(lambda: _evaluated(run, value))


def _same_params(trial: Trial, run: Run, other: Run, what: str) -> None:
    for i, (actual, expected) in enumerate(zip(run.params, other.params, strict=True)):
        trial.checker.equal(f"parameter {i}, {what}", actual.detach(), expected.detach())


def _state_dicts(trial: Trial) -> None:
    """In the order of their registration or before all others; the last one's answer is what is returned."""
    run = trial.run()
    log: list[str] = []
    run.step(0)
    before, after = run.optimizer.register_state_dict_pre_hook, run.optimizer.register_state_dict_post_hook
    handles = [before(_pre(log, "before 2")), before(_pre(log, "before 1"), prepend=True)]

    def in_place(optimizer: Any, saved: Any) -> None:
        log.append(f"after 2 of {sorted(saved)}")
        saved["note"] = 7

    def exchanged(optimizer: Any, saved: Any) -> Any:
        log.append(f"after 3 of {sorted(saved)}")
        return {**saved, "exchanged": True}

    handles += [after(in_place), after(exchanged)]
    handles.append(after(lambda optimizer, saved: log.append(f"after 1 of {sorted(saved)}"), prepend=True))
    saved = run.optimizer.state_dict()
    expected = ["before 1", "before 2", *(f"after {i} of ['param_groups', 'state']" for i in (1, 2)),
                "after 3 of ['note', 'param_groups', 'state']"]  # fmt: skip
    trial.checker.same("hooks of state_dict", log, expected, shown=_SAVING)
    told = {name: saved.get(name) for name in ("note", "exchanged")}
    trial.checker.same("what hooks of state_dict put in", told, {"note": 7, "exchanged": True})
    for handle in handles:
        handle.remove()
    log.clear()
    trial.checker.same("state_dict after its hooks were removed", sorted(run.optimizer.state_dict()), sorted(saved)[2:])
    trial.checker.same("hooks of state_dict after they were removed", log, [])


def _pre(log: list[str], name: str) -> Callable[..., None]:
    return lambda optimizer, *rest: log.append(name)


def _loads(trial: Trial) -> None:
    """Hooks before loading may put in another checkpoint, but not change the caller's; those after it see the state."""
    from optbench.trials import nested

    writer, other, run = trial.run(), trial.run(), trial.run()
    log: list[str] = []
    writer.step(0)
    other.step(1)
    given, instead = writer.optimizer.state_dict(), other.optimizer.state_dict()
    held = nested.copied(given)
    before, after = run.optimizer.register_load_state_dict_pre_hook, run.optimizer.register_load_state_dict_post_hook

    def in_place(optimizer: Any, state_dict: Any) -> None:
        log.append("before 2")
        trial.checker.true("a hook before loading is given what is loaded", state_dict["state"] is given["state"])
        state_dict["state"] = {}

    def exchanged(optimizer: Any, state_dict: Any) -> Any:
        log.append(f"before 3 of {len(state_dict['state'])} states")
        return instead

    def loaded(optimizer: Any) -> None:
        log.append(f"after 2, loaded {_matches(run, other)}")

    handles = [before(in_place), before(exchanged), before(_pre(log, "before 1"), prepend=True), after(loaded)]
    handles.append(after(_pre(log, "after 1"), prepend=True))
    run.optimizer.load_state_dict(given)
    told = ["before 1", "before 2", "before 3 of 0 states", "after 1", "after 2, loaded True"]
    trial.checker.same("hooks of load_state_dict", log, told, shown=_LOADING)
    changed = nested.difference(given, held)
    trial.checker.true("what load_state_dict was given is as it was", not changed, changed)
    trial.checker.true("the checkpoint that the hook put in is loaded", _matches(run, other))
    for handle in handles:
        handle.remove()
    log.clear()
    run.optimizer.load_state_dict(given)
    trial.checker.same("hooks of load_state_dict after they were removed", log, [])
    trial.checker.true("without hooks what was given is loaded", _matches(run, writer))


def _matches(run: Run, other: Run) -> bool:
    from optbench.trials import nested

    return not any(nested.difference(run.state(i), other.state(i)) for i in range(len(run.params)))


def _copies(trial: Trial) -> None:
    """A copy has no hooks, as torch's has none, and takes its own."""
    import copy
    import pickle

    run = trial.run()
    log: list[str] = []
    run.step(0)
    run.optimizer.register_state_dict_pre_hook(_pre(log, "of the original"))
    handles = [run.optimizer.register_step_pre_hook(_pre(log, "of the original"))]
    plain = copy.deepcopy(run.optimizer)
    # What cannot be pickled in a hook must not keep the optimizer from being pickled.
    for copied in (plain, pickle.loads(pickle.dumps(run.optimizer))):
        copied.state_dict()
        copied.register_state_dict_pre_hook(_pre(log, "of the copy"))
        copied.register_step_pre_hook(_pre(log, "of the copy"))
        copied.state_dict()
        trial.checker.same("hooks called by a copy", log, ["of the copy"], shown=_COPIED)
        log.clear()
    for handle in handles:
        handle.remove()


def _closures(trial: Trial) -> None:
    """Called with gradients enabled whatever the caller's mode is, which comes back; its gradients are those used."""
    import torch

    for mode in (True, False):
        run, plain, value = trial.run(), trial.run(), torch.tensor(1.5)
        calls: list[bool] = []

        def closure(run: Run = run, calls: list[bool] = calls, value: Any = value) -> Any:
            calls.append(torch.is_grad_enabled())
            return _evaluated(run, value)

        with torch.set_grad_enabled(mode):
            returned = run.optimizer.step(closure)
            trial.checker.same("grad mode after a step", torch.is_grad_enabled(), mode)
        where = f"called with gradients {'enabled' if mode else 'disabled'}"
        once = len(calls) == 1 or (trial.subject.closure and bool(calls))
        trial.checker.true(f"the closure is called once, {where}", once, f"{len(calls)} times",
                           f"len({trial.calls}) == 1")  # fmt: skip
        trial.checker.true(f"step returns what the closure returned, {where}", returned is value, f"{returned!r}",
                           f"{trial.result} is {trial.name(value)}")  # fmt: skip
        trial.checker.true(f"gradients are enabled in the closure, {where}", all(calls), f"{calls}",
                           f"all({trial.calls})")  # fmt: skip
        _step_at(plain, value)
        _same_params(trial, run, plain, f"stepped by a closure, {where}")
        for i, param in enumerate(run.params):
            leaf = param.is_leaf and param.requires_grad and param.grad_fn is None
            trial.checker.true(f"parameter {i} is still a leaf that needs a gradient, {where}", leaf,
                               shown=f"{trial.name(param)}.is_leaf and {trial.name(param)}.requires_grad")  # fmt: skip


def _values(trial: Trial) -> None:
    """Whatever a closure returns is returned, a number too; without one, nothing is."""
    run = trial.run()
    returned = _step_at(run, 0.75)
    shown = f"{trial.result} == 0.75"
    trial.checker.same("what step returns for a closure's number", returned, 0.75, shown=shown)
    if not trial.subject.closure:
        run.give(1)
        returned = run.optimizer.step()
        shown = f"{trial.result} is None"
        trial.checker.same("what step returns without a closure", returned, None, shown=shown)
        run.give(2)
        returned = _step_at(run, None)
        shown = f"{trial.result} is None"
        trial.checker.same("what step returns for a closure without a value", returned, None, shown=shown)


def _setting(trial: Trial) -> None:
    """What a closure sets in the groups, as one that follows a schedule, is what the step goes by."""
    from optbench.trials.base import Unsupported

    if trial.subject.closure or "lr" not in trial.subject.defaults:
        raise Unsupported("it may read its rate before the closure, which it calls several times")
    run, plain = trial.run(), trial.run()

    def closure() -> Any:
        run.optimizer.param_groups[0]["lr"] = _SET
        return _evaluated(run, 0.75)

    run.optimizer.step(closure)
    plain.optimizer.param_groups[0]["lr"] = _SET
    _step_at(plain, 0.75)
    _same_params(trial, run, plain, "stepped by a closure that sets the rate")


def _raised(trial: Trial) -> None:
    """An error in a closure comes through, and leaves parameters, state and grad mode as they were."""
    import torch

    run = trial.run()
    _step_at(run, 1.0)
    before = run.held()

    def closure() -> Any:
        raise ArithmeticError("the closure's own")

    with torch.no_grad():
        trial.checker.raises("a step whose closure raises", ArithmeticError, lambda: run.optimizer.step(closure))
        trial.checker.same("grad mode after an error in the closure", torch.is_grad_enabled(), False)
    trial.checker.alike("after an error in the closure", run.held(), before)


_VARIANTS: dict[str, Callable[[Trial], None]] = {
    "of step": _steps,
    "new arguments": _arguments,
    "of state_dict": _state_dicts,
    "of load_state_dict": _loads,
    "copies": _copies,
    "closure": _closures,
    "value of a closure": _values,
    "closure sets the rate": _setting,
    "closure raises": _raised,
}
