"""What the oracle makes of a case, kept for all who are asked the same case."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from torch import Tensor

from optbench.case import Case
from optbench.subjects import load
from optbench.trials import oracle
from optbench.trials.error import Quantity
from optbench.trials.oracle import After, Before
from optbench.trials.problem import Problem


@dataclass(frozen=True)
class Key:
    """A case that can be a dictionary key: equal where parameters, gradients and formula are."""

    case: Case
    text: str

    def __hash__(self) -> int:
        return hash(self.text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and self.text == other.text


def key(case: Case) -> Key:
    plain = replace(case, device="cpu", variant="")
    return Key(plain, f"{plain.subject} {plain.id} {plain.steps} {plain.seed}")


# Every implementation follows the same trajectory of a case, and every fault of the self-test too.
@lru_cache(maxsize=256)
def trajectory(key: Key, judge: str) -> list[tuple[list[Before], list[After | None]]]:
    """Inputs and outputs of each step of a case, the outputs rounded to be the next step's inputs."""
    problem = Problem(key.case)
    subject = load(key.case.subject)
    befores = [Before(values, problem.grad(i, 0)) for i, values in enumerate(problem.start)]
    steps = []
    for k in range(key.case.steps):
        afters = oracle.step(subject, key.case.options, befores, problem.dtype, judge, key.case.seed)
        steps.append((befores, afters))
        befores = [
            replace(before, grad=problem.grad(i, k + 1))
            if after is None
            else oracle.rounded(after, problem.grad(i, k + 1), problem.dtype)
            for i, (before, after) in enumerate(zip(befores, afters, strict=True))
        ]
    return steps


@lru_cache(maxsize=64)
def rollout(
    key: Key, judged: tuple[int, ...], judge: str
) -> list[list[tuple[dict[str, Quantity], dict[str, Tensor]]]]:
    """Quantities and 0-d state of an unsynchronised run after the judged steps."""
    return list(oracle.rollout(load(key.case.subject), Problem(key.case), judged, judge))
