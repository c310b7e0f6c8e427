"""Checks one law on one case of one implementation, here or in a worker process, and gives a result."""

from __future__ import annotations

import importlib
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from optbench import deviations, laws, registry, subjects
from optbench.case import AsTensor, Case
from optbench.law import Space
from optbench.registry import Implementation, Oracle
from optbench.runs.results import WITH_DTYPE, WITH_TORCH, Result, Verdict
from optbench.worker import Worker, WorkerCrash, WorkerError

# A case takes milliseconds; in Triton's interpreter seconds. What takes a minute hangs.
TIME_LIMIT = 60.0
LACKS = "no such option: "
# What a law of each kind is given: see `optbench.trials.base.TrialBase`.
_TRIALS: dict[subjects.Kind, str] = {
    "optimizer": "optbench.trials.optimizers",
    "scheduler": "optbench.trials.schedulers",
    "averager": "optbench.trials.averagers",
}


@dataclass(frozen=True)
class Task:
    """One law on one case of one implementation, with all that a worker process needs to check it.

    `adopted` is the subject, where that is not the declared one of its name; see `optbench.subjects.adopt`. With a
    `space` to draw from, the case is a placeholder for all that are drawn.
    """

    law: str
    case: Case
    implementation: str
    judged: bool
    reproduce: str
    options: frozenset[str] | None = None
    state: Mapping[str, str] = field(default_factory=dict)
    named_dtypes: tuple[str, ...] = ()
    require_torch: bool = False
    spared: bool = False
    named: frozenset[str] = frozenset()
    adopted: subjects.Subject | None = None
    oracle: Oracle | None = None
    inherits: frozenset[str] = frozenset()
    space: Space | None = None

    @property
    def subject(self) -> subjects.Subject:
        """What the case is of."""
        return self.adopted or subjects.load(self.case.subject)


def check(task: Task, implementation: Implementation | None = None) -> Result:
    """Check one law on one case, here and now. Exceptions of the implementation become verdicts.

    Args:
        task: the law, the case, and the implementation's name.
        implementation: the implementation itself, where it is not the registry's.
    """
    if task.space is not None:
        return _drawn(task, partial(check, implementation=implementation), implementation)
    return attempt(task, implementation)[0]


def _drawn(task: Task, check_one: Callable[[Task], Result], implementation: Implementation | None) -> Result:
    """One result for all cases that are drawn for a task."""
    from optbench import generate

    item = implementation or registry.find(task.implementation)
    refused = _refusal(item, task)
    found = refused or generate.search(task, check_one, item.interpreted_on(task.case.device))
    return found if isinstance(found, Result) else result_of(task, "skip", found, item)


def attempt(
    task: Task, implementation: Implementation | None = None, watch: Callable[[Any], None] | None = None
) -> tuple[Result, Any]:
    """As `check`; and the law's trial, None where the case does not concern the implementation.

    Args:
        task: as for `check`.
        implementation: as for `check`.
        watch: called with the trial before the law is.
    """
    from optbench.trials.base import Unsupported
    from optbench.trials.checker import Checker

    subjects.adopt([task.adopted] if task.adopted else [])
    implementation = implementation or registry.find(task.implementation)
    entry = laws.entries()[task.law]
    started = time.perf_counter()
    checker = Checker()
    reason = _refusal(implementation, task)
    verdict: Verdict = "skip"
    message = reason or ""
    trial = None
    if reason is None:
        subject = subjects.load(task.case.subject)
        trial = _trial(subject.kind)(
            subject, implementation, task.case, checker, dict(task.state), task.options, task.named, task.oracle
        )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if watch:
                    watch(trial)
                entry.check(trial)
            verdict, message = checker.verdict, checker.message
            if entry.law.grade and verdict == "fail" and checker.comparisons:
                verdict = "precision"
        except Unsupported as unsupported:
            verdict, message = "skip", str(unsupported)
        except Exception as error:
            checker.raised = error
            verdict, message = "error", f"{type(error).__name__}: {one_line(error)}"
            if checker.failures:
                # What was wrong before it raised says more than how it raised.
                verdict, message = "fail", f"{checker.message}; then {message}"
    result = replace(
        result_of(task, verdict, message, implementation),
        comparisons=checker.comparisons,
        error_ulp=checker.error,
        cap_ulp=checker.cap,
        seconds=time.perf_counter() - started,
        finding=checker.first.finding if checker.first and verdict != "skip" else None,
    )
    return result, trial


def _trial(kind: subjects.Kind) -> Any:
    """The class of trials of a kind of subject."""
    return importlib.import_module(_TRIALS[kind]).Trial


def result_of(task: Task, verdict: Verdict, message: str, implementation: Implementation) -> Result:
    law = laws.entries()[task.law].law
    result = Result(
        law=law.id,
        level=law.level,
        subject=task.case.subject,
        implementation=task.implementation,
        backend=implementation.backend_on(task.case.device) if not implementation.target else "foreign",
        judged=task.judged,
        case=task.case.id,
        verdict=verdict,
        comparisons=0,
        message=message,
        reproduce=task.reproduce,
    )
    row = deviations.explain(result, task.inherits) if result.broken or verdict == "precision" else None
    if row is None:
        return result
    # What torch.optim.Optimizer does to whoever derives from it is nobody's fault but torch's.
    return replace(result, deviation=row.id, judged=result.judged and row.inherited not in task.inherits)


def _refusal(implementation: Implementation, task: Task) -> str | None:
    """Why a case does not concern an implementation, if it does not."""
    if task.spared:
        return f"left to the compiled path, which shares the host's code: --suite full or --impl {implementation.name}"
    device = laws.entries()[task.law].law.device
    if not task.case.device.startswith(device):
        return f"it is about {device} devices only: --device {device}"
    if not implementation.target:
        return implementation.refusal(task.case)
    case = task.case
    missing = [] if task.options is None else sorted(set(case.options) - task.options)
    if missing:
        return LACKS + ", ".join(missing)
    if task.require_torch:
        return None
    # How far it is a drop-in is told in any way.
    about_torch = laws.entries()[task.law].law.level == "torch"
    if any(isinstance(value, AsTensor) for value in case.options.values()) and not about_torch:
        return f"a tensor lr {WITH_TORCH}"
    if case.options.get("capturable") and not about_torch:
        return f"capturable {WITH_TORCH}"
    if case.dtype.startswith("complex") and case.dtype not in task.named_dtypes:
        return f"complex parameters {WITH_DTYPE}"
    return None


def check_isolated(task: Task, worker: Worker) -> Result:
    """As `check`, in a worker process; its death or silence is the verdict `crash`."""
    if task.space is not None:
        return _drawn(task, partial(check_isolated, worker=worker), None)
    try:
        result: Result = worker.call("optbench.checking:check", task, timeout=TIME_LIMIT)
    except WorkerCrash as crash:
        return result_of(task, "crash", one_line(crash), registry.find(task.implementation))
    except WorkerError as error:
        return result_of(task, "error", one_line(error), registry.find(task.implementation))
    return result


def one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:500]
