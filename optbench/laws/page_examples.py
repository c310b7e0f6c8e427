"""page.examples: what torch.optim's page shows gives what it gives in torch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from optbench.case import Case
from optbench.law import Law, Scope
from optbench.subjects import Subject

if TYPE_CHECKING:
    from optbench.trials.averagers import Trial

LAW = Law(
    id="page.examples",
    level="torch",
    statement="every example of torch.optim's page runs under other imports and computes what torch computes",
    catches="names, arguments and ways of working together that the page promises and an implementation lacks",
    kind="averager",
    host=True,
)

# Averagers are what the page puts together with optimizers and schedulers; each example is asked once.
_OF_EMA = ("ema", "custom_averaging", "ema_together")
_OF_SWA = (
    "construct", "construct_from_variables", "construct_from_named_parameters", "per_parameter_options",
    "per_parameter_options_named", "no_decay_for_biases", "step", "step_with_closure", "one_scheduler",
    "chained_schedulers", "load_by_names", "swa", "swalr", "update_bn", "swa_together",
)  # fmt: skip
# Of float64 numbers after a few dozen steps: what rounding may add up to.
_TOLERANCE = 1e-10


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    for name in _OF_EMA if "decay" in subject.defaults else _OF_SWA:
        if "float64" in scope.dtypes and scope.device.startswith("cpu"):
            yield scope.case(subject, {}, "float64", variant=name)


def check(trial: Trial) -> None:
    from optbench.trials import page
    from optbench.trials.base import Unsupported

    if trial.implementation.target:
        raise Unsupported("the page's examples need a whole package of optimizers, schedulers and averagers")
    example = getattr(page, trial.case.variant)
    theirs = list(example(page.Names(page.torchs)))
    count = 0
    for count, actual in enumerate(example(page.names_of(trial.implementation)), 1):
        _compare(trial, f"result {count}", actual, theirs[count - 1])
    trial.checker.same("results", count, len(theirs))


def _compare(trial: Trial, what: str, actual: Any, wanted: Any) -> None:
    import torch

    if isinstance(wanted, (list, tuple)):
        trial.checker.same(f"{what}, entries", len(actual), len(wanted))
        for i, (one, other) in enumerate(zip(actual, wanted, strict=False)):
            _compare(trial, f"{what}, entry {i}", one, other)
    elif isinstance(wanted, (float, torch.Tensor)):
        ours, theirs = (torch.as_tensor(value).detach().to(torch.float64) for value in (actual, wanted))
        near = ours.shape == theirs.shape and bool(torch.isclose(ours, theirs, rtol=_TOLERANCE, atol=_TOLERANCE).all())
        trial.checker.true(what, near, f"got {ours.reshape(-1)[:4].tolist()}, want {theirs.reshape(-1)[:4].tolist()}")
    else:
        trial.checker.same(what, actual, wanted)
