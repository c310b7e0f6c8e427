"""Sparse gradients: SparseAdam, and Adagrad and SGD through the same launcher, against torch."""

import warnings

import pytest
import torch
from optbench.impls import fused

from .support import random

CONFIGS = {
    "sparse_adam": ("SparseAdam", {"lr": 0.1}),
    "sparse_adam-maximize": ("SparseAdam", {"lr": 0.1, "betas": (0.5, 0.9), "eps": 1e-3, "maximize": True}),
    "adagrad": ("Adagrad", {"lr": 0.1, "lr_decay": 0.1}),
    "adagrad-maximize": ("Adagrad", {"lr": 0.1, "maximize": True, "initial_accumulator_value": 0.5}),
    "sgd": ("SGD", {"lr": 0.1, "maximize": True}),
    "sgd-momentum": ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.5, "maximize": True}),
    "sgd-nesterov": ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
}
configs = pytest.mark.parametrize("config", CONFIGS)
# shape, sparse dimensions, values
KINDS = [((30, 7), 1, 9), ((4, 3, 5), 2, 6), ((11,), 1, 20), ((6, 2), 1, 0), ((5, 0), 1, 3), ((3000, 40), 1, 5000)]


@pytest.fixture(autouse=True)
def no_reminder():
    # torch says once a process that it does not check the invariants of sparse tensors, and then makes some itself
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse invariant checks")
        yield


def rows(kind, dtype, seed):
    shape, sparse_dim, count = kind
    generator = torch.Generator().manual_seed(seed)
    places = torch.stack([torch.randint(0, size, (count,), generator=generator) for size in shape[:sparse_dim]])
    return torch.sparse_coo_tensor(places, random((count, *shape[sparse_dim:]), dtype, seed), shape)


def pair(config, params):
    """Our optimizer and torch's on equal parameters."""
    name, options = CONFIGS[config]
    twins = [param.detach().clone().requires_grad_() for param in params]
    mine = [param.requires_grad_() for param in params]
    plain = {"foreach": False} if name != "SparseAdam" else {}
    return (
        (mine, getattr(fused, name)(mine, **options)),
        (twins, getattr(torch.optim, name)(twins, **options, **plain)),
    )


def take(sides, kinds, dtype, seed):
    for params, optimizer in sides:
        for place, (param, kind) in enumerate(zip(params, kinds, strict=True)):
            param.grad = rows(kind, dtype, 100 * seed + place)
        optimizer.step()


def compare(sides, rtol=1e-12, atol=1e-14):
    (mine, ours), (twins, theirs) = sides
    for a, b in zip(mine, twins, strict=True):
        torch.testing.assert_close(a, b, rtol=rtol, atol=atol)
    state, expected = ours.state_dict()["state"], theirs.state_dict()["state"]
    assert state.keys() == expected.keys()
    for key, entries in expected.items():
        assert list(state[key]) == list(entries)
        for name, value in entries.items():
            if not isinstance(value, torch.Tensor):
                assert state[key][name] == value
                continue
            assert state[key][name].layout == value.layout
            torch.testing.assert_close(state[key][name].to_dense(), value.to_dense(), rtol=rtol, atol=atol)


@configs
def test_agrees_with_torch_in_double_precision(config):
    sides = pair(config, [random(kind[0], seed=seed) for seed, kind in enumerate(KINDS)])
    for seed in range(1, 5):
        take(sides, KINDS, torch.float64, seed)
        compare(sides)
    assert sides[0][1].backend == "numba"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("config", ["sparse_adam", "adagrad", "sgd"])
def test_storage_is_rounded_once(config, dtype):
    """A step in a narrow dtype is that in float64, rounded, up to float32's own rounding.

    Not so with momentum, which is sparse and torch's.
    """
    kind = ((50, 9), 1, 20)
    narrow = pair(config, [random(kind[0], dtype)])[0]
    wide = pair(config, [narrow[0][0].detach().double()])[0]
    gradient = rows(kind, dtype, 1).coalesce()
    for params, optimizer in (narrow, wide):
        params[0].grad = gradient.to(params[0].dtype)
        optimizer.step()
    result, exact = narrow[0][0].detach().double(), wide[0][0].detach()
    spacing = torch.finfo(dtype).eps * exact.abs().clamp(min=torch.finfo(dtype).tiny)
    assert ((result - exact).abs() <= 0.51 * spacing + 1e-6).all()
    assert not torch.equal(result, exact)


@configs
def test_strides_and_gaps(config):
    """Rows that do not lie in one piece; and what is not touched keeps its bits."""
    kind = ((12, 5), 1, 4)
    base = random((12, 10))
    kept = base.clone()
    strided = [random((5, 12)).t(), base[:, ::2]]
    (mine, ours), theirs = pair(config, [strided[0], strided[1].detach()])
    for seed in (1, 2):
        take(((mine, ours), theirs), [kind, kind], torch.float64, seed)
    compare(((mine, ours), theirs))
    assert mine[0].stride() == (1, 12)
    assert torch.equal(base[:, 1::2], kept[:, 1::2])
    assert not torch.equal(base, kept)


def test_only_touched_rows_move():
    table = torch.nn.Embedding(1000, 16, sparse=True)
    before = table.weight.detach().clone()
    optimizer = fused.SparseAdam(table.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        table(torch.tensor([5, 900, 5])).sum().backward()
        optimizer.step()
    touched = (table.weight != before).any(dim=1)
    assert touched.nonzero().flatten().tolist() == [5, 900]
    state = optimizer.state[table.weight]
    assert state["step"] == 2
    assert isinstance(state["step"], int)
    assert (state["exp_avg_sq"].sum(dim=1) != 0).nonzero().flatten().tolist() == [5, 900]


def test_the_gradient_is_not_written_and_the_version_rises():
    param = random((6, 3)).requires_grad_()
    param.grad = rows(((6, 3), 1, 9), torch.float64, 1)
    before, version = param.grad.clone(), param._version
    fused.SparseAdam([param]).step()
    assert torch.equal(param.grad._values(), before._values())
    assert torch.equal(param.grad._indices(), before._indices())
    assert param._version > version


@pytest.mark.parametrize("config", ["adagrad", "sgd", "sgd-momentum"])
def test_dense_and_sparse_gradients_together(config):
    """Also where the one becomes the other, and the plan of the dense ones is kept."""
    sides = pair(config, [random((6, 3), seed=seed) for seed in range(3)])
    plans = []
    for seed in range(6):
        for params, optimizer in sides:
            for place, param in enumerate(params):
                dense = place == 0 or (place == 1 and seed > 2 and "momentum" not in config)
                param.grad = random((6, 3), seed=seed) if dense else rows(((6, 3), 1, 4), torch.float64, seed)
            optimizer.step()
        plans.append(sides[0][1]._plan)
    compare(sides)
    assert plans[1] is plans[2]
    assert plans[4] is plans[5]


@pytest.mark.parametrize("name", ["SGD", "Adagrad"])
def test_weight_decay_is_refused(name):
    param = random((4, 2)).requires_grad_()
    optimizer = getattr(fused, name)([param], weight_decay=0.1)
    param.grad = rows(((4, 2), 1, 2), torch.float64, 0)
    with pytest.raises(RuntimeError, match="weight_decay option is not compatible with sparse gradients"):
        optimizer.step()


def test_dense_gradients_are_refused():
    param = random((4, 2)).requires_grad_()
    optimizer = fused.SparseAdam([param])
    param.grad = torch.ones_like(param)
    with pytest.raises(RuntimeError, match="does not support dense gradients"):
        optimizer.step()
    assert not optimizer.state


def test_scaled_gradients_are_unscaled_in_float32():
    param = torch.zeros(4, 2, dtype=torch.float16, requires_grad=True)
    # Unscaled in float16, this gradient would be zero.
    values = torch.full((2, 2), 1e-3, dtype=torch.float16)
    param.grad = torch.sparse_coo_tensor(torch.tensor([[1, 3]]), values, (4, 2))
    optimizer = fused.SGD([param], lr=2.0**20)
    optimizer.grad_scale, optimizer.found_inf = torch.tensor(2.0**20), torch.tensor(1.0)
    optimizer.step()
    assert (param == 0).all()
    optimizer.found_inf = torch.tensor(0.0)
    optimizer.step()
    assert torch.equal(param.detach()[1::2], -values)
    assert (param[::2] == 0).all()


def test_result_does_not_depend_on_threads():
    kind, results, threads = ((5000, 64), 1, 6000), [], torch.get_num_threads()
    for used in (1, 2):
        param = random(kind[0], torch.float32).requires_grad_()
        optimizer = fused.SparseAdam([param], lr=0.1)
        torch.set_num_threads(used)
        try:
            for seed in (1, 2):
                param.grad = rows(kind, torch.float32, seed).coalesce()
                optimizer.step()
        finally:
            torch.set_num_threads(threads)
        results.append(param.detach())
    assert torch.equal(*results)


def test_a_checkpoint_moves_from_torch_and_back():
    kind = ((20, 3), 1, 6)
    sides = pair("sparse_adam", [random(kind[0])])
    (mine, ours), (twins, theirs) = sides
    take(sides[1:], [kind], torch.float64, 1)
    with torch.no_grad():
        mine[0].copy_(twins[0])
    ours.load_state_dict(theirs.state_dict())
    take(sides, [kind], torch.float64, 2)
    compare(sides)
