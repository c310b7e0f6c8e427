"""The oracle is the formula, and its cap lets honest paths through and nothing else."""

from __future__ import annotations

import pytest
import torch

from optbench import subjects
from optbench.case import AsTensor, Case
from optbench.trials import oracle
from optbench.trials.checker import Checker
from optbench.trials.oracle import Before
from optbench.trials.problem import Problem

ADAM = subjects.load("adam")


def _tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("judge", [oracle.REFERENCE, oracle.TORCH])
def test_the_first_step_of_adam_by_hand(judge: str) -> None:
    before = Before(_tensor(1.0), _tensor(0.5))
    (after,) = oracle.step(ADAM, {"lr": 0.1, "eps": 0.0}, [before], torch.float64, judge)
    assert after is not None
    # m/c1 = g and v/c2 = g*g, so that the step is lr * sign(g).
    assert after.quantities["param"].expected.item() == pytest.approx(0.9, rel=1e-12)
    assert after.quantities["exp_avg"].expected.item() == pytest.approx(0.05, rel=1e-12)
    assert after.quantities["exp_avg_sq"].expected.item() == pytest.approx(0.00025, rel=1e-12)
    assert after.step == 1


def test_a_later_step_starts_from_the_given_state() -> None:
    before = Before(_tensor(1.0), _tensor(0.0), {"exp_avg": _tensor(1.0), "exp_avg_sq": _tensor(4.0)}, step=9)
    (after,) = oracle.step(ADAM, {"lr": 1.0, "eps": 0.0}, [before], torch.float32)
    assert after is not None and after.step == 10
    step = (0.9 / (1 - 0.9**10)) / ((0.999 * 4 / (1 - 0.999**10)) ** 0.5)
    assert after.quantities["param"].expected.item() == pytest.approx(1 - step, rel=1e-9)


def test_a_parameter_without_gradient_has_no_expectation() -> None:
    assert oracle.step(ADAM, {}, [Before(_tensor(1.0), None)], torch.float32) == [None]


def test_a_tensor_lr_counts_as_its_number() -> None:
    before = Before(_tensor(1.0), _tensor(0.5))
    results = [
        oracle.step(ADAM, {"lr": lr, "weight_decay": 0.1}, [before], torch.float64)[0]
        for lr in (0.0625, AsTensor(0.0625))
    ]
    one, other = (result.quantities["param"].expected for result in results if result)
    assert torch.equal(one, other)


# bfloat16 holds two digits and a half, so that only a coarser mistake shows in one step.
@pytest.mark.parametrize(("dtype", "wrong"), [(torch.float32, 0.1001), (torch.bfloat16, 0.2)])
def test_a_wrong_constant_breaks_the_cap_and_honest_rounding_does_not(dtype: torch.dtype, wrong: float) -> None:
    case = Case("sgd", {"weight_decay": 0.1, "lr": 1.0}, str(dtype).removeprefix("torch."), shapes="one")
    problem = Problem(case)
    before = Before(problem.start[0], problem.grad(0, 0))
    sgd = subjects.load("sgd")
    (after,) = oracle.step(sgd, case.options, [before], dtype)
    assert after is not None
    for decay, verdict in ((0.1, "pass"), (wrong, "fail")):
        param = problem.start[0].to(dtype).requires_grad_()
        grad = problem.grad(0, 0)
        assert grad is not None
        param.grad = grad.to(dtype)
        torch.optim.SGD([param], lr=1.0, weight_decay=decay, foreach=False).step()
        checker = Checker()
        checker.close("parameter", param, after.quantities["param"], dtype)
        assert checker.verdict == verdict, checker.message


def test_the_rollout_agrees_with_steps_one_by_one_at_first() -> None:
    problem = Problem(Case("adam", {"amsgrad": True}, shapes="pair"))
    (rolled,) = oracle.rollout(ADAM, problem, (0,), oracle.REFERENCE)
    befores = [Before(values, problem.grad(i, 0)) for i, values in enumerate(problem.start)]
    for one, after in zip(rolled, oracle.step(ADAM, {"amsgrad": True}, befores, torch.float32), strict=True):
        assert after is not None
        for name, judged in after.quantities.items():
            assert torch.allclose(one[0][name].expected, judged.expected, rtol=1e-14, atol=0)


def test_moved_inputs_leave_exact_zeros_alone() -> None:
    # A second moment of exactly zero must not become negative: the oracle would be NaN.
    before = Before(_tensor(1.0), _tensor(0.0), {"exp_avg": _tensor(0.0), "exp_avg_sq": _tensor(0.0)}, step=1)
    (after,) = oracle.step(ADAM, {}, [before], torch.float32)
    assert after is not None
    assert torch.isfinite(after.quantities["param"].unit).all()


def test_zero_dimensional_state_is_rounded_as_it_is_stored() -> None:
    nadam = subjects.load("nadam")
    (after,) = oracle.step(nadam, {}, [Before(_tensor(1.0), _tensor(0.5))], torch.float64)
    assert after is not None
    momentum = 0.9 * (1 - 0.5 * 0.96**0.004)
    stored = after.numbers["mu_product"]
    assert stored.dtype == torch.float32 and stored.item() == torch.tensor(momentum).item()
    # The next step starts from it.
    before = oracle.rounded(after, _tensor(0.25), torch.float64)
    (later,) = oracle.step(nadam, {}, [before], torch.float64)
    assert later is not None and later.numbers["mu_product"] < stored


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_default_that_depends_on_the_dtype_is_that_of_the_tested_one(dtype: torch.dtype) -> None:
    # A gradient far below eps: the update is g/eps1 at most.
    before = Before(_tensor(1.0), _tensor(1e-12))
    (after,) = oracle.step(subjects.load("adafactor"), {"lr": 1.0}, [before], dtype)
    assert after is not None
    moved = 1 - after.quantities["param"].expected.item()
    assert moved == pytest.approx(1e-12 / torch.finfo(dtype).eps, rel=1e-3)


def test_parameters_that_see_their_whole_tensor_are_not_packed() -> None:
    adafactor = subjects.load("adafactor")
    values = [torch.randn(3, 2, dtype=torch.float64) for _ in range(4)]
    befores = [Before(values[0], values[1]), Before(values[2] * 100, values[3])]
    together = oracle.step(adafactor, {}, befores, torch.float64)
    alone = [oracle.step(adafactor, {}, [before], torch.float64)[0] for before in befores]
    for one, other in zip(together, alone, strict=True):
        assert one is not None and other is not None
        assert torch.equal(one.quantities["param"].expected, other.quantities["param"].expected)


def test_the_judge_of_what_torch_lacks_is_another_tier() -> None:
    assert oracle.judge_for("reference", subjects.load("lion")) == "foreach"
    assert oracle.judge_for("reference", subjects.load("adam")) == oracle.TORCH
    assert oracle.judge_for("fused", subjects.load("lion")) == oracle.REFERENCE


def test_muons_parameter_is_judged_at_bfloat16_and_its_buffer_is_not() -> None:
    muon = subjects.load("muon")
    before = Before(torch.randn(4, 3, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64))
    (after,) = oracle.step(muon, {"lr": 1.0}, [before], torch.float32)
    assert after is not None
    unit = {name: float(quantity.unit.max()) for name, quantity in after.quantities.items()}
    assert unit["momentum_buffer"] < 1e-6 and 1e-4 < unit["param"] < 0.1
