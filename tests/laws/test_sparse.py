"""opt.sparse holds for every tier, and its own forms are what they say."""

from __future__ import annotations

import pytest
import torch

from optbench import conformance
from optbench.laws import opt_sparse
from optbench.planning import Plan
from optbench.trials import sparse
from optbench.trials.problem import generator

TIERS = ("reference", "foreach", "fused")


@pytest.mark.parametrize("subject", ["sgd", "adagrad", "sparse_adam", "adamw"])
def test_every_tier_takes_or_refuses(subject: str) -> None:
    results = list(conformance.run(Plan(subject, TIERS, laws=("opt.sparse",))))
    assert [result.message for result in results if result.verdict != "pass"] == []
    assert {result.implementation for result in results} == set(TIERS)


@pytest.mark.parametrize("form", [name for name in opt_sparse._FORMS if name != "no rows"])
def test_a_form_holds_the_same_numbers(form: str) -> None:
    rows = sparse.some_rows(torch.randn(6, 3, generator=generator("form")), generator("rows"))
    made = opt_sparse._FORMS[form](rows, 1, 1)
    assert torch.equal(made.to_dense(), rows.to_dense())
    assert ("dense" in form) or made.is_sparse
    assert made._nnz() > rows._nnz() if made.is_sparse and "twice" in form else True
