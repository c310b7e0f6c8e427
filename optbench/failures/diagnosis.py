"""What a failure likely is: the oracle is asked which known mistake would give the observed numbers.

A class of mistake is named where what it would have given agrees with what was observed, in every wrong step that was
kept, and what the true oracle gives does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatch
from typing import Any

import torch

from optbench.failures.mistakes import CLASSES
from optbench.failures.mistakes_of_memory import Explanations
from optbench.failures.scene import Expectation, Scene

# Facts that are their own class: a law, words of what it says, the class.
FACTS: tuple[tuple[str, str, str], ...] = (
    ("*", "memory around", "written outside a view"),
    ("avg.*", "which is copied", "buffer not copied"),
    ("avg.*", "n_averaged", "updates miscounted"),
    ("opt.pure", "gradient of parameter", "gradient mutated"),
    ("opt.pure", "is not its gradient", "state shares memory"),
    ("opt.pure", "group[", "option mutated"),
    ("opt.version", "version", "version counter not raised"),
    ("opt.version", "autograd", "version counter not raised"),
    ("opt.sparse_in_time", "which has no gradient", "parameter without gradient moved"),
    ("opt.sparse_in_time", "has no state", "state of what never had a gradient"),
    ("*", "no longer the tensor that was loaded", "state shares memory with what was loaded"),
    ("*.errors", "is refused with", "illegal argument accepted"),
)


def likely(law: str, trials: Sequence[Any]) -> str:
    """The class of mistake that explains why a law failed; "" where none does.

    Args:
        law: its id.
        trials: the law's work on failing cases.
    """
    failed = [trial for trial in trials if trial and trial.checker.first]
    facts = [_fact(law, trial.checker.first.what) or _another_run(trial) for trial in failed]
    if facts and all(facts):
        return facts[0]
    return explain([scene for trial in failed for scene in trial.scenes])


def explain(scenes: Sequence[Scene]) -> str:
    """The first class that explains every wrong scene of which it has something to say, and one at least."""
    wrong = [scene for scene in scenes if not scene.explained_by(scene.truth)]
    for name, function in wrong[0].classes or CLASSES if wrong else ():
        common: dict[int, str] | None = None
        for scene in wrong:
            told = _explaining(function, scene)
            if told is not None:
                common = told if common is None else {i: detail for i, detail in common.items() if i in told}
            if common == {}:
                break
        if common:
            details = " or ".join(dict.fromkeys(filter(None, common.values())))
            return f"{name} ({details})" if details else name
    off = {abs(scene.counted - scene.expected.step) for scene in scenes if scene.counted is not None}
    return "step counter off by one" if not wrong and off == {1.0} else ""


def _explaining(function: Callable[[Scene], Explanations], scene: Scene) -> dict[int, str] | None:
    """What explains a scene, by its place among the explanations; None where there is nothing to say."""
    tried, found = False, {}
    for number, (detail, expectation) in enumerate(function(scene)):
        outcome = _at_the_end(function, number, scene, expectation)
        tried = tried or outcome is not None
        if scene.explained_by(outcome):
            found[number] = detail
    return found if tried else None


def _at_the_end(
    function: Callable[[Scene], Explanations], number: int, scene: Scene, expectation: Expectation | None
) -> Expectation | None:
    """What the same mistake gives once it is made in all steps of a scene."""
    for grad in scene.then:
        following = None if expectation is None else scene.following(expectation, grad)
        if following is None:
            return None
        scene = following
        expectation = next((found for i, (_, found) in enumerate(function(scene)) if i == number), None)
    return expectation


def _fact(law: str, what: str) -> str:
    return next((name for laws, words, name in FACTS if fnmatch(law, laws) and words in what), "")


def _another_run(trial: Any) -> str:
    """Parameters of a group that became those of a run under other options, and not those of one under the same."""
    runs = [run for run in getattr(trial, "runs", ()) if hasattr(run, "params")]
    for run in runs:
        others = [other for other in runs if other is not run]
        unlike_its_own = any(other.options == run.options and not _alike(run, other) for other in others)
        if unlike_its_own and any(other.options != run.options and _alike(run, other) for other in others):
            return "wrong group's option"
    return ""


def _alike(run: Any, other: Any) -> bool:
    pairs = zip(run.params, other.params, strict=False)
    return all(a.dtype == b.dtype and torch.equal(a.detach(), b.detach()) for a, b in pairs)
