"""What a run has to know of foreign code before it is judged: found out in the process where it will be."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from optbench import registry, subjects
from optbench.checking import TIME_LIMIT, one_line
from optbench.errors import UsageError
from optbench.foreign import peers
from optbench.registry import Implementation
from optbench.subjects import Subject
from optbench.worker import Worker, WorkerCrash, WorkerError

if TYPE_CHECKING:
    from optbench.planning import Plan

_DESCRIBE, _FIND = "optbench.foreign.loading:describe", "optbench.foreign.undeclared:find"


def require(algo: str, named: Sequence[str], chosen: Sequence[Implementation], oracle: str) -> None:
    """Refuse what can be asked of the user's own classes only. Nothing is loaded.

    Args:
        algo: as `--algo` has it; empty: what classes are by themselves.
        named: what `--impl` said.
        chosen: the implementations.
        oracle: as `--oracle` has it.

    Raises:
        UsageError: some of them are no classes of the user's.
    """
    ours = [item.name for item in chosen if not item.target or peers.is_table(item.target)]
    if not algo and not named:
        raise UsageError("check needs --algo NAMES (`optbench list algos` shows all), or a class of your own: --impl "
                         "package.module:Class or path/file.py:Class.")  # fmt: skip
    if not algo and ours:
        raise UsageError(f"{ours[0]} has many algorithms: name one by --algo; `optbench list algos` has all.")
    if oracle and (ours or not named):
        raise UsageError("--oracle judges classes of your own only: name one by --impl path/file.py:Class.")
    if oracle and not registry.find(oracle).target:
        raise UsageError(f"--oracle {oracle!r} is ours, and judges already: name a class of your own.")


def look(plan: Plan, chosen: Sequence[Implementation], workers: Mapping[str, Worker]) -> dict[str, dict[str, Any]]:
    """What foreign code is and takes, by implementation, as `optbench.foreign.loading.describe` tells it.

    Without an algorithm, or with an oracle of the user's, there is "found" too, an `optbench.foreign.undeclared.Found`.

    Args:
        plan: the run's plan.
        chosen: its implementations.
        workers: the processes of those that may not run in this one.

    Raises:
        UsageError: it cannot be loaded or tried.
    """
    subjects.adopt([])
    declared = _only(plan) if plan.algo and plan.oracle else None
    about = {}
    for item in chosen:
        if item.target:
            worker = workers.get(item.name)
            facts = _ask(item.name, worker, _DESCRIBE, item.target)
            if not plan.algo or plan.oracle:
                facts["found"] = found = _find(plan, item.name, worker, declared)
                # The names that count are now the oracle's.
                names = {entry.name for entry in found.subject.state}
                kept = facts["state"].items()
                facts["state"] = {own: name for own, name in kept if name in names and own not in names}
            about[item.name] = facts
    return about


def _only(plan: Plan) -> Subject:
    """The algorithm of a run with an oracle of the user's."""
    chosen = subjects.select(plan.algo)
    if len(chosen) > 1 or chosen[0].kind != "optimizer":
        raise UsageError(f"--oracle {plan.oracle!r} computes one optimizer: --algo {plan.algo!r} is more, or another.")
    return chosen[0]


def _find(plan: Plan, name: str, worker: Worker | None, declared: Subject | None) -> Any:
    """The subject of a class that nobody declared, or that the user's oracle judges."""
    try:
        return _call(worker, _FIND, name, plan.oracle, declared)
    except WorkerCrash as crash:
        if plan.oracle:
            raise UsageError(f"--oracle {plan.oracle!r} cannot be tried: {one_line(crash)}") from crash
        # Every law will tell; what its constructor takes is known without a step.
        return _ask(name, worker, _FIND, name, "", None, f"when it was tried, {one_line(crash)}")
    except WorkerError as error:
        raise UsageError(f"--impl {name!r} cannot be tried: {one_line(error)}") from error


def _ask(name: str, worker: Worker | None, function: str, *arguments: Any) -> Any:
    try:
        return _call(worker, function, *arguments)
    except (WorkerCrash, WorkerError) as error:
        raise UsageError(f"--impl {name!r} cannot be loaded: {one_line(error)}") from error


def _call(worker: Worker | None, function: str, *arguments: Any) -> Any:
    """Call a function in a worker process, or in this one."""
    if worker:
        return worker.call(function, *arguments, timeout=TIME_LIMIT)
    module, _, name = function.partition(":")
    return getattr(importlib.import_module(module), name)(*arguments)
