"""Runs that have to agree: to the last bit, or as far as the rounding of their inputs reaches, and no farther."""

from __future__ import annotations

import pytest
import torch

from optbench import registry, subjects
from optbench.case import Case
from optbench.trials.checker import Checker
from optbench.trials.likeness import Outcome, agree, differ, followed, outcome, remade
from optbench.trials.optimizers import Trial
from optbench.trials.problem import Joined, Paired


def _trial(subject: str, **rest: str) -> Trial:
    case = Case(subject, shapes="pair", options=subjects.load(subject).base, **rest)  # type: ignore[arg-type]
    return Trial(subjects.load(subject), registry.find("reference"), case, Checker(), {})


def _plain(trial: Trial) -> dict[str, torch.Tensor]:
    return outcome(followed(trial))


def _off(found: Outcome, name: str, by: float) -> dict[str, torch.Tensor]:
    return {**found, name: found[name] * (1 + by)}


@pytest.mark.parametrize("subject", ["adam", "muon", "lbfgs"])
def test_equal_runs_agree_with_an_error_of_zero(subject: str) -> None:
    trial = _trial(subject)
    agree(trial, _plain, _plain(trial))
    assert trial.checker.verdict == "pass" and trial.checker.error is None


@pytest.mark.parametrize("subject", ["adam", "muon", "lbfgs"])
def test_the_last_digit_may_differ_and_the_fourth_may_not(subject: str) -> None:
    for by, verdict in ((2**-23, "pass"), (1e-2 if subject == "muon" else 1e-4, "fail")):
        trial = _trial(subject)
        agree(trial, _plain, _off(_plain(trial), "parameter 0", by))
        assert trial.checker.verdict == verdict
        assert trial.checker.error


def test_what_is_missing_is_named() -> None:
    trial = _trial("adam")
    found = _plain(trial)
    del found["exp_avg of parameter 1"]
    agree(trial, _plain, found)
    assert "exp_avg of parameter 1 is there" in trial.checker.message


def test_nan_equals_nan_and_nothing_else() -> None:
    nan, one = {"a": torch.tensor([torch.nan])}, {"a": torch.tensor([1.0])}
    assert not differ(nan, nan)
    assert differ(nan, one) and differ(one, nan)


@pytest.mark.parametrize("subject", ["adam", "rprop", "lbfgs"])
def test_pairs_of_a_complex_problem_start_and_end_where_it_does(subject: str) -> None:
    trial = _trial(subject, dtype="complex64", layout="grad_unlike")
    found = remade(trial, Paired)
    assert found["parameter 1"].shape == (3, 5, 2) and found["parameter 1"].dtype is torch.float32
    assert not differ(found, _plain(trial))


def test_a_joined_problem_is_one_vector_in_which_missing_gradients_are_zero() -> None:
    whole = _trial("lbfgs", moment="never", layout="transposed").problem
    joined = Joined(whole)
    assert joined.shapes == [(39,)]
    grad = joined.grad(0, 0)
    assert grad is not None and not grad[:24].any() and grad[24:].all()
    assert torch.equal(joined.start[0], torch.cat([values.reshape(-1) for values in whole.start]))
