"""Foreach SparseAdam does what torch's does: touched rows only, whatever the gradient's indices look like."""

import copy
import itertools
import pickle
from fractions import Fraction

import pytest
import torch
from optbench.impls import foreach
from optbench.impls.foreach.sparse_adam import _correction

from .twins import (
    check,
    check_copy_goes_on_alone,
    check_interchange,
    check_versions,
    normal,
    parameters,
    refusal,
    train,
)

OPTIONS = {
    "lr": 0.03,
    "lr tensor": torch.tensor([0.02], dtype=torch.float64),
    "betas": (0.3, 0.4),
    "betas zero": (0.0, 0.0),
    "eps": 1e-2,
    "maximize": True,
}


def sparse(value, places, seed=0):
    """A gradient of `value`'s shape with one entry for each column of `places` [dimensions, entries]."""
    places = torch.tensor(places).reshape(len(places), -1)
    entries = normal(places.shape[1], *value.shape[len(places) :], dtype=torch.float64, seed=seed).to(value.dtype)
    return torch.sparse_coo_tensor(places, entries, value.shape, check_invariants=True)


def rows_of(values, steps=6):
    """Gradients that repeat indices, come late, are coalesced, name nothing, or are missing."""
    rows = []
    for step in range(steps):
        row = [sparse(value, [[step % 3, 4, 4, 1]], seed=10 * step + place) for place, value in enumerate(values)]
        row[0] = row[0].coalesce()
        if len(row) > 1 and step in (0, 3):
            row[1] = None
        if len(row) > 2 and step in (2, 5):
            row[2] = sparse(values[2], [[]])
        rows.append(row)
    return rows


VALUES = [normal(6, 3), normal(5), normal(7, 2, 2)]


@pytest.mark.parametrize("chosen", [(), *itertools.combinations(OPTIONS, 2)])
def test_pairwise_options(chosen):
    check("SparseAdam", VALUES, rows_of(VALUES), **{key.split()[0]: OPTIONS[key] for key in chosen})


def test_an_empty_gradient_counts_and_changes_nothing():
    (param,) = params = parameters(VALUES[:1])
    optimizer = foreach.SparseAdam(params)
    train(optimizer, [[sparse(param, [[]])]] * 2)
    assert torch.equal(param, VALUES[0]) and param._version == 0
    assert optimizer.state[param]["step"] == 2
    check("SparseAdam", VALUES[:1], [[sparse(VALUES[0], [[]])], *rows_of(VALUES[:1])])


@pytest.mark.parametrize("places", [[], [[3, 3, 0]], [[3, 3, 0], [1, 1, 2]], [[1, 1, 0], [2, 2, 0], [0, 0, 1]]])
def test_sparse_in_any_number_of_dimensions(places):
    value = normal(5, 3, 2)
    if places:
        grads = [sparse(value, places, seed=step) for step in range(4)]
    else:
        entries = normal(2, 5, 3, 2, seed=3)
        grads = [torch.sparse_coo_tensor(torch.empty(0, 2), entries, value.shape, check_invariants=True)] * 4
    check("SparseAdam", [value], [[grad] for grad in grads])


def test_a_number_is_a_parameter():
    grad = torch.sparse_coo_tensor(torch.empty(0, 1), normal(1), (), check_invariants=True)
    check("SparseAdam", [normal()], [[grad]] * 3)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.bfloat16, 2e-2), (torch.float16, 4e-3)]
)
def test_dtypes(dtype, tolerance):
    values = [value.to(dtype) for value in VALUES]
    check("SparseAdam", values, rows_of(values), tolerance, tolerance, eps=1e-3)


def test_rows_without_a_gradient_stay():
    (param,) = params = parameters([normal(6, 3)])
    optimizer = foreach.SparseAdam(params, lr=0.1)
    train(optimizer, [[sparse(param, [[1, 4]])]])
    before = [tensor.detach().clone() for tensor in (param, *list(optimizer.state[param].values())[1:])]
    train(optimizer, [[sparse(param, [[4, 2]], seed=5)]])
    for tensor, old in zip((param, *list(optimizer.state[param].values())[1:]), before, strict=True):
        assert (tensor != old).any(dim=1).tolist() == [False, False, True, False, True, False]


@pytest.mark.parametrize("layout", ["transposed", "strided", "negative"])
def test_layouts_of_the_parameter(layout):
    base = normal(12, 12, dtype=torch.complex128)
    storage = {"transposed": base.real.t(), "strided": base.real[::2, 1::3], "negative": base.conj().imag}[layout]
    assert storage.is_neg() == (layout == "negative")
    plain, before = storage.detach().clone().resolve_neg(), base.clone()
    params = [torch.nn.Parameter(storage), torch.nn.Parameter(plain)]
    optimizer = foreach.SparseAdam(params, lr=0.1)
    for step in range(3):
        grad = sparse(plain, [[0, 3, 3]], seed=step)
        train(optimizer, [[grad, grad]])
    torch.testing.assert_close(params[0].detach().resolve_neg(), params[1].detach(), rtol=0, atol=0)
    touched = torch.view_as_real(base) != torch.view_as_real(before)
    assert touched.sum() == 2 * plain.shape[1]


def test_gradients_of_another_dtype():
    value = normal(6, 3).to(torch.bfloat16)
    params, twin = parameters([value, value]), torch.nn.Parameter(value.float())
    params[1].grad_dtype = None
    grad = sparse(twin, [[1, 4, 4]])
    # beside a gradient of the parameter's dtype, which must not share its list
    train(foreach.SparseAdam(params, lr=0.1), [[grad.bfloat16(), grad]])
    train(foreach.SparseAdam([twin], lr=0.1), [[grad]])
    torch.testing.assert_close(params[1].detach(), twin.detach().bfloat16())
    torch.testing.assert_close(params[0].detach(), twin.detach().bfloat16(), rtol=2e-2, atol=1e-2)


@pytest.mark.parametrize("beta", [0.0, 0.9, 0.999, 0.99999])
@pytest.mark.parametrize("step", [1, 2, 7, 1000])
def test_bias_corrections_are_exact_in_double_precision(beta, step):
    expected = float(1 - Fraction(beta) ** step)
    assert abs(_correction(beta, step) - expected) <= 1e-15 * expected


def test_dense_gradients_are_refused():
    grad = torch.ones(3)
    found = refusal(foreach.SparseAdam, torch.ones(3), grad)
    assert found == refusal(torch.optim.SparseAdam, torch.ones(3), grad) and found[0] is RuntimeError


def test_groups_and_versions():
    groups = [{"params": parameters(VALUES[:1])}, {"params": parameters(VALUES[2:]), "lr": 0.5, "maximize": True}]
    rows = [[row[0], row[2]] for row in rows_of(VALUES)]
    train(foreach.SparseAdam(groups, lr=0.1), rows)
    alone = parameters(VALUES[2:])
    train(foreach.SparseAdam(alone, lr=0.5, maximize=True), [[row[1]] for row in rows])
    assert torch.equal(groups[1]["params"][0], alone[0])
    check_versions("SparseAdam", VALUES, rows_of(VALUES)[1])


def test_checkpoints_and_copies():
    check_interchange("SparseAdam", VALUES, rows_of(VALUES), lr=0.1)
    for duplicate in (copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))):
        check_copy_goes_on_alone("SparseAdam", VALUES, rows_of(VALUES), duplicate, lr=0.1)
