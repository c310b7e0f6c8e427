"""Functions whose gradients are theirs, and closures that miss nothing."""

from __future__ import annotations

import pytest
import torch

from optbench import registry, subjects
from optbench.case import Case
from optbench.trials.checker import Checker
from optbench.trials.optimizers import Trial
from optbench.trials.watched import FUNCTIONS, Watched, vector


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_are_the_slopes_of_the_values(name: str) -> None:
    x = torch.linspace(-1.5, 1.5, 12, dtype=torch.float64)
    _, grad = FUNCTIONS[name](x)
    for i in range(len(x)):
        ends = x.repeat(2, 1)
        ends[0, i] += 1e-6
        ends[1, i] -= 1e-6
        above, below = (FUNCTIONS[name](end)[0] for end in ends)
        assert float(above - below) / 2e-6 == pytest.approx(float(grad[i]), rel=1e-6, abs=1e-8)


def test_every_evaluation_is_kept_as_the_optimizer_had_it() -> None:
    subject = subjects.load("lbfgs")
    case = Case("lbfgs", {"max_iter": 3, "max_eval": 9}, shapes="pair", layout="transposed")
    watched = Watched(Trial(subject, registry.find("reference"), case, Checker(), {}), "quadratic")
    start = watched.at
    result, seen = watched.step()
    assert len(seen) == int(watched.state("func_evals")) == 3
    assert torch.equal(seen[0].at, start) and result is watched.returned[0]
    assert all(each.grad_enabled for each in seen)
    # The last iteration's move is not evaluated; the last gradient that was is the one that is kept.
    assert not torch.equal(seen[-1].at, watched.at)
    assert torch.equal(vector(watched.state("prev_flat_grad")), seen[-1].grad)
    assert watched.farthest >= float(start.abs().max()) and watched.largest >= float(seen[0].grad.abs().max())


def test_a_python_number_keeps_its_digits() -> None:
    assert float(vector(0.1)) == 0.1
