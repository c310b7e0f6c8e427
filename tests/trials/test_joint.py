"""Algorithms that see all parameters at once are judged by a crowd of the judge's own."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from optbench import laws, planning, subjects
from optbench.case import Case
from optbench.checking import Task, check
from optbench.planning import Plan
from optbench.registry import Implementation
from optbench.trials import joint
from optbench.trials.problem import Problem

LBFGS = subjects.load("lbfgs")


class WrongScale(torch.optim.LBFGS):
    """H_diag is a hundredth too large."""

    def step(self, closure: Any) -> Any:  # type: ignore[override]
        state = self.state[self._params[0]]
        if isinstance(state.get("H_diag"), torch.Tensor):
            state["H_diag"] = state["H_diag"] * 1.01
        result = super().step(closure)
        if isinstance(state.get("H_diag"), torch.Tensor):
            state["H_diag"] = state["H_diag"] * 1.01
        return result


class LongerSteps(torch.optim.LBFGS):
    """Every step is a thousandth too long."""

    def _add_grad(self, step_size: Any, update: torch.Tensor) -> None:
        super()._add_grad(step_size * 1.001, update)


def _verdicts(cls: type) -> set[str]:
    item = Implementation("planted", "planted", made=lambda name, submodule: cls)
    cases = planning.cases(laws.entries()["opt.shapes"], LBFGS, Plan("lbfgs", dtypes=("float32",)))
    return {check(Task("opt.shapes", case, "planted", True, ""), item).verdict for case in cases[3:7]}


def test_torchs_own_class_passes() -> None:
    assert "fail" not in _verdicts(torch.optim.LBFGS)


@pytest.mark.parametrize("cls", [WrongScale, LongerSteps])
def test_a_planted_fault_is_caught(cls: type) -> None:
    assert "fail" in _verdicts(cls)


def test_state_is_flattened_by_path_without_scratch() -> None:
    state = {"t": 0.5, "old_dirs": [torch.ones(2), torch.zeros(2)], "al": [torch.ones(())], "prev_loss": None}
    flat = joint.flat(LBFGS, state)
    assert sorted(flat) == ["old_dirs.0", "old_dirs.1", "t"]
    assert all(value.dtype == torch.float64 for value in flat.values())


def test_what_rounding_decides_is_left_alone() -> None:
    # A threshold in the middle of the gradients' rounding: some copies stop there, others do not.
    problem = Problem(Case("lbfgs", dtype="bfloat16", shapes="one"))
    grad = problem.grad(0, 0)
    assert grad is not None
    options = {"max_iter": 2, "tolerance_grad": float(grad.abs().max())}
    outcome = joint.Crowd(LBFGS, options, problem, "reference", problem.start, {}).step(0)
    assert not outcome.decided and not outcome.state


@pytest.mark.parametrize("seed", [0, 2])
@pytest.mark.parametrize("tier", ["reference", "foreach", "fused"])
def test_what_iterations_round_is_allowed_for(tier: str, seed: int) -> None:
    # In bfloat16 the later iterations of a step stand on what the first ones have rounded.
    options = {"history_size": 2, "max_iter": 4}
    case = Case("lbfgs", options, "bfloat16", moment="late", shapes="pair", steps=3, seed=seed,
                variant="from reference")  # fmt: skip
    result = check(Task("opt.interchange", case, tier, True, ""))
    assert result.verdict == "pass"
    assert result.cap_ulp is not None and result.cap_ulp < 16


def test_the_objectives_gradient_is_its_derivative() -> None:
    problem = Problem(Case("lbfgs", dtype="float64", shapes="pair"))
    params = [values.clone() + 0.5 for values in problem.start]
    grads: dict[int, torch.Tensor] = {}
    closure = problem.objective(params, 1, grads.__setitem__)
    before = closure()
    slope = grads[0].flatten()[3].item()
    params[0].view(-1)[3] += 1e-6
    assert (closure() - before).item() / 1e-6 == pytest.approx(slope, rel=1e-4)
