"""The rate of a scheduler over a whole course, as every implementation gives it: what the report draws."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from optbench import registry, subjects
from optbench.case import Case, format_value
from optbench.courses import course
from optbench.errors import OptbenchError
from optbench.registry import Implementation
from optbench.trials import formulas
from optbench.worker import Worker, WorkerCrash, WorkerError

EPOCHS, PERIOD, BASE = 100, 25, 0.1
# What a scheduler that watches a metric is told: nothing improves.
METRIC = 1.0
TIME_LIMIT = 60.0


def collect(
    names: Iterable[str],
    implementations: Sequence[Implementation],
    device: str = "cpu",
    workers: Mapping[str, Sequence[Worker]] | None = None,
) -> dict[str, Any]:
    """The curves of schedulers, ready for a record.

    Args:
        names: algorithms; only the schedulers among them have curves.
        implementations: who is asked; torch stands beside them.
        device: where the optimizer's parameters are.
        workers: processes by implementation, for code that has to run in one of its own. Foreign code without one gets
            one; an interpreter without one is left out.

    Returns:
        {subject: {"options": {name: text}, "formula": [rate at each epoch], "rates": {implementation: [rate at each
        epoch]}, "refused": {implementation: why it has no curve}}}
    """
    chosen = [subject for subject in map(subjects.load, names) if subject.kind == "scheduler"]
    everyone = {item.name: item for item in (*implementations, registry.find("torch")) if "scheduler" in item.kinds}
    found: dict[str, Any] = {}
    with ExitStack() as stack:
        hands = {name: workers[name][0] for name in everyone if workers and name in workers}
        for item in everyone.values() if chosen else ():
            if item.target and item.name not in hands:
                hands[item.name] = stack.enter_context(Worker(item.environment))
        for subject in chosen:
            options = course(subject.name, EPOCHS, PERIOD)
            told = {name: format_value(value) for name, value in options.items()}
            entry: dict[str, Any] = {"options": told, "formula": formula(subject.name), "rates": {}, "refused": {}}
            for item in everyone.values():
                if item.name in hands or not item.interpreted_on(device):
                    _ask(entry, subject.name, item.name, device, hands.get(item.name))
            found[subject.name] = entry
    return found


def formula(subject: str) -> list[float]:
    """What the rate has to be at every epoch of the course."""
    options = subjects.load(subject).complete(course(subject, EPOCHS, PERIOD))
    if subject == "reducelronplateau":
        return [BASE, *(rates[0] for rates in formulas.plateau(options, [BASE], [METRIC] * EPOCHS))]
    return [formulas.rates(subject, options, [BASE], epoch)[0] for epoch in range(EPOCHS + 1)]


def follow(subject: str, implementation: str, device: str = "cpu") -> list[float]:
    """The rate that an implementation gives at every epoch of the course."""
    from optbench.trials.checker import Checker
    from optbench.trials.schedulers import Trial

    case = Case(subject, course(subject, EPOCHS, PERIOD), "float64", device=device)
    trial = Trial(subjects.load(subject), registry.find(implementation), case, Checker(), {})
    optimizer = trial.optimizer((BASE,))
    scheduler = trial.build(optimizer)
    metric = (METRIC,) if subject == "reducelronplateau" else ()
    rates = [float(optimizer.param_groups[0]["lr"])]
    for _ in range(EPOCHS):
        optimizer.step()
        scheduler.step(*metric)
        rates.append(float(optimizer.param_groups[0]["lr"]))
    return rates


def _ask(entry: dict[str, Any], subject: str, implementation: str, device: str, worker: Worker | None) -> None:
    """Put the implementation's curve into the entry, or why there is none."""
    try:
        if worker:
            rates = worker.call("optbench.curves:follow", subject, implementation, device, timeout=TIME_LIMIT)
        else:
            rates = follow(subject, implementation, device)
        entry["rates"][implementation] = rates
    except (OptbenchError, WorkerCrash, WorkerError) as error:
        entry["refused"][implementation] = " ".join(str(error).split())
    except Exception as error:
        entry["refused"][implementation] = " ".join(f"{type(error).__name__}: {error}".split())
