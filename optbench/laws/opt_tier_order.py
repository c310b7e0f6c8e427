"""opt.tier_order: the page's claim that fused is faster than foreach, and foreach than a for loop, counted.

A clock would tell of the machine and of who else uses it, so none is read here; `optbench bench` reads one, on a
machine that does nothing else. What is compared is why the claim should hold for many tensors: foreach takes fewer
passes than a loop, because each goes over all of them; fused takes no more, and moves fewer bytes, because an element
is loaded once for all operations. A path that does not is not wrong, so this is a grade.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from optbench.case import Case
from optbench.law import Law, Scope
from optbench.subjects import Subject

if TYPE_CHECKING:
    from optbench.registry import Implementation
    from optbench.timing.passes import Passes
    from optbench.trials.optimizers import Trial

LAW = Law(
    id="opt.tier_order",
    level="math",
    statement="a grade: foreach takes fewer passes than a for loop; fused takes no more and moves fewer bytes",
    catches="nothing that is wrong: a path that promises to be faster and does more",
    grade=True,
    host=True,
)

# The next slower path of the same maker.
_SLOWER = {
    "fused": "foreach",
    "foreach": "reference",
    "torch-fused": "torch-foreach",
    "torch-foreach": "torch-forloop",
}


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    for options in ({}, subject.fullest):
        yield scope.case(subject, options, scope.some("float32")[0], shapes="many")


def check(trial: Trial) -> None:
    import torch

    from optbench import registry
    from optbench.trials.base import Unsupported

    slower = registry.IMPLEMENTATIONS.get(_SLOWER.get(trial.implementation.name, ""))
    refusal = slower.refusal(trial.case) if slower else "the page claims nothing of it"
    if slower is None or refusal:
        raise Unsupported(f"there is no slower path to compare it with: {refusal}")
    threads = torch.get_num_threads()
    # What a team of threads launches is not seen.
    torch.set_num_threads(1)
    try:
        own, other = (_counted(trial, each) for each in (trial.implementation, slower))
    finally:
        torch.set_num_threads(threads)
    trial.checker.true("passes", own.total <= other.total, f"{own.total}, and {slower.name} takes {other.total}")
    if trial.implementation.path == "fused":
        moved = f"{own.moved_bytes}, and {slower.name} moves {other.moved_bytes}"
        trial.checker.true("bytes moved", own.moved_bytes <= other.moved_bytes, moved)


def _counted(trial: Trial, implementation: Implementation) -> Passes:
    from dataclasses import replace

    from optbench.timing.passes import passes
    from optbench.trials.counted import together

    of = replace(trial, implementation=implementation)
    work = together(of, [of.run()]).warm()
    # The first one under observation arranges anew what is kept from step to step.
    return [passes(implementation, work.step, trial.case.device) for _ in range(2)][-1]
