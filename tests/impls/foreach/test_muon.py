"""Foreach Muon does what torch's for-loop does, one batch for each shape, and orthogonalizes."""

import copy
import itertools
import pickle

import pytest
import torch
from optbench.impls import foreach
from optbench.impls.foreach import muon

from .twins import (
    check,
    check_copy_goes_on_alone,
    check_interchange,
    check_versions,
    flat,
    normal,
    parameters,
    refusal,
    stream,
    train,
)

OPTIONS = {
    "lr": 0.3,
    "lr tensor": torch.tensor([0.02], dtype=torch.float64),
    "weight_decay": 0.0,
    "momentum": 0.3,
    "nesterov": False,
    "ns_coefficients": (2.0, -1.5, 0.5),
    "eps": 10.0,
    "ns_steps": 3,
    "adjust_lr_fn": "match_rms_adamw",
}
# tall, wide and square ones, each shape more than once, and vectors
SHAPES = [(6, 4), (4, 6), (5, 5), (6, 4), (1, 7), (7, 1), (4, 6), (6, 4), (5, 5)]
VALUES = [normal(*shape, seed=place) for place, shape in enumerate(SHAPES)]
# A batch may be summed in another order than one matrix. Iterating in bfloat16 with singular values that are not yet
# near 1 carries a rounding of 2**-8 to a few hundredths of the update, which lr scales.
TOLERANCE = 0.05


@pytest.mark.parametrize("chosen", [(), *itertools.combinations(OPTIONS, 2)])
def test_pairwise_options(chosen):
    config = {"lr": 0.01} | {key.split()[0]: OPTIONS[key] for key in chosen}
    ours = check("Muon", VALUES, stream(VALUES, steps=1), 0, TOLERANCE * float(config["lr"]), **config)
    theirs = train(torch.optim.Muon(parameters(VALUES), **config), stream(VALUES, steps=1))
    # nothing in bfloat16 enters the buffer
    for mine, its in zip(ours.state.values(), theirs.state.values(), strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-14, atol=1e-14)


def test_late_and_missing_gradients():
    rows = stream(VALUES, steps=5)
    for step, place in [(0, 0), (1, 0), (3, 2), *[(step, 3) for step in range(5)]]:
        rows[step][place] = None
    check("Muon", VALUES, rows, 0, TOLERANCE * 0.05, lr=0.01)


@pytest.mark.parametrize("shape", [(16, 16), (24, 8), (8, 24)])
def test_the_update_is_orthogonal(shape):
    updates = [normal(*shape, seed=seed, dtype=torch.float32) for seed in range(3)]
    for update, found in zip(updates, muon._orthogonalize(updates, (3.4445, -4.7750, 2.0315), 5, 1e-7), strict=True):
        assert found.shape == shape and found.dtype == torch.float32
        left, sizes, right = torch.linalg.svd(update, full_matrices=False)
        inner = left.T @ found @ right.T
        # the polynomial leaves singular values near 1, those that began near 0 excepted, and turns no vector
        assert (inner.diagonal()[sizes > 0.05 * sizes[0]] > 0.6).all() and (inner.diagonal() < 1.3).all()
        assert (inner - inner.diagonal().diag()).abs().max() < 0.05


def test_chunks_of_a_batch_are_as_good(monkeypatch):
    whole = train(foreach.Muon(parameters(VALUES)), stream(VALUES, steps=2))
    # two matrices of 6x4, then one
    monkeypatch.setattr(muon, "BATCH_ELEMENTS", 50)
    sizes, orthogonalize = [], muon._orthogonalize

    def spy(updates, *rest):
        sizes.append(len(updates))
        return orthogonalize(updates, *rest)

    monkeypatch.setattr(muon, "_orthogonalize", spy)
    parts = train(foreach.Muon(parameters(VALUES)), stream(VALUES, steps=2))
    assert sizes[:2] == [2, 1]
    for mine, its in zip(flat(parts), flat(whole), strict=True):
        torch.testing.assert_close(mine, its, rtol=0, atol=TOLERANCE * 2e-3)


def test_the_buffer_of_bfloat16_stays_as_it_is():
    # without nesterov, torch normalizes the buffer itself
    value, grad = normal(4, 4).bfloat16(), (100 * normal(4, 4, seed=2)).bfloat16()
    (param,) = params = parameters([value])
    optimizer = train(foreach.Muon(params, nesterov=False, momentum=0.5), [[grad]])
    torch.testing.assert_close(optimizer.state[param]["momentum_buffer"], grad / 2, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_dtypes(dtype):
    values = [value.to(dtype) for value in VALUES]
    tolerance = 2e-2 if dtype is torch.bfloat16 else 4e-3
    check("Muon", values, stream(values, steps=2), tolerance, tolerance, lr=0.01)


def test_layouts_and_zero_elements():
    values = [normal(6, 4).t(), normal(8, 12)[::2, ::3], normal(4, 4)]
    grads = [normal(4, 6), normal(4, 1).expand(4, 4), normal(4, 4, seed=3).t()]
    check("Muon", values, [grads] * 2, 0, TOLERANCE * 0.02, lr=0.01)
    empty = [torch.empty(shape) for shape in ((0, 3), (3, 0), (0, 0))]
    optimizer = train(foreach.Muon(parameters(empty)), [empty])
    assert all(optimizer.state[param]["momentum_buffer"].shape == param.shape for param in flat(optimizer))


def test_negative_bits():
    lazy = normal(3, 4, dtype=torch.complex128).conj().imag
    assert lazy.is_neg()
    plain = lazy.detach().clone().resolve_neg()
    params = [torch.nn.Parameter(lazy), torch.nn.Parameter(plain)]
    train(foreach.Muon(params, lr=0.1), [stream([plain], steps=1)[0] * 2])
    torch.testing.assert_close(params[0].detach().resolve_neg(), params[1].detach(), rtol=0, atol=0)


def test_gradients_of_another_dtype():
    values, grads = [normal(4, 3).bfloat16(), normal(4, 3, seed=2).float()], stream([normal(4, 3).float()] * 2, steps=2)

    def run(places):
        params = parameters([values[place] for place in places])
        for param in params:
            param.grad_dtype = None
        return flat(train(foreach.Muon(params, lr=0.1), [[row[place] for place in places] for row in grads]))

    torch.testing.assert_close(run([0, 1]), run([0]) + run([1]), rtol=0, atol=1e-3)
    assert [param.dtype for param in run([0, 1])] == [torch.bfloat16, torch.float32]


@pytest.mark.parametrize(
    ("value", "options"),
    [
        (torch.ones(3, 2).to_sparse(), {}),
        (torch.ones(3, 2, dtype=torch.complex64), {}),
        (torch.ones(3, 2), {"ns_steps": 100}),
        (torch.ones(3, 2), {"ns_coefficients": (1.0, 2.0)}),
    ],
)
def test_refusals_are_torchs(value, options):
    param = torch.ones(3, 2, dtype=value.dtype)
    (kind, message), (expected_kind, expected) = (
        refusal(module.Muon, param, value, **options) for module in (foreach, torch.optim)
    )
    assert kind is expected_kind and message.startswith(expected)


def test_a_group_added_later_must_hold_matrices():
    optimizer = foreach.Muon(parameters([normal(3, 3)]))
    (vector,) = parameters([normal(3)])
    with pytest.raises(ValueError, match=r"only supports 2D parameters .*\[3\]"):
        optimizer.add_param_group({"params": [vector]})
    assert len(optimizer.param_groups) == 1


def test_versions_checkpoints_and_copies():
    check_versions("Muon", VALUES, stream(VALUES)[0])
    check_interchange("Muon", VALUES, stream(VALUES, steps=2), 0, TOLERANCE * 1e-3)
    for duplicate in (copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))):
        check_copy_goes_on_alone("Muon", VALUES, stream(VALUES, steps=2), duplicate)
