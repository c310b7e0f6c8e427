"""Fused Muon against torch's: momentum to the last digits, the orthogonal factor up to bfloat16's rounding."""

import pytest
import torch
from optbench.impls import fused
from optbench.impls.fused import launch, muon

from .support import random

CONFIGS = {
    "default": {},
    "plain": {"nesterov": False, "momentum": 0.5, "weight_decay": 0.0},
    "rms": {"adjust_lr_fn": "match_rms_adamw", "ns_steps": 3, "ns_coefficients": (2.0, -1.5, 0.5)},
}
configs = pytest.mark.parametrize("config", CONFIGS)
SHAPES = [(3, 7), (7, 3), (7, 3), (1, 5), (5, 1), (16, 16), (33, 20), (0, 3)]


def sides(params, **options):
    mine = [param.detach().requires_grad_() for param in params]
    other = [param.detach().clone().requires_grad_() for param in params]
    return (mine, fused.Muon(mine, **options)), (other, torch.optim.Muon(other, **options))


def take(pairs, seed):
    for params, optimizer in pairs:
        for place, param in enumerate(params):
            param.grad = random(param.shape, param.dtype, 1000 * seed + place)
        optimizer.step()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@configs
def test_agrees_with_torch(config, dtype):
    """Equal inputs of the products give equal bits; an input on the edge of rounding may fall the other way."""
    pairs = sides([random(shape, dtype, seed) for seed, shape in enumerate(SHAPES)], lr=0.1, **CONFIGS[config])
    (mine, ours), (other, theirs) = pairs
    for seed in (1, 2, 3):
        take(pairs, seed)
        state, expected = ours.state_dict()["state"], theirs.state_dict()["state"]
        assert state.keys() == expected.keys()
        for key, entries in expected.items():
            assert list(state[key]) == list(entries)
            exact = 4 * torch.finfo(dtype).eps
            torch.testing.assert_close(
                state[key]["momentum_buffer"], entries["momentum_buffer"], rtol=exact, atol=exact
            )
        for a, b in zip(mine, other, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=0.1 * 2**-7)
    assert ours.backend == "numba"


def test_products_are_those_of_bfloat16():
    """Held in float32 and rounded after each product, they are what torch's bfloat16 products are."""
    batch = random((4, 24, 40), torch.float32)
    ours = muon.orthogonalize(batch, 3.4445, -4.7750, 2.0315, 5, 1e-7)
    for matrix, result in zip(batch, ours, strict=True):
        expected = torch.optim._muon._zeropower_via_newtonschulz(matrix, (3.4445, -4.7750, 2.0315), 5, 1e-7)
        torch.testing.assert_close(result, expected.float(), rtol=0, atol=0.02)
    values = torch.linalg.svdvals(ours)
    assert ((values > 0.5) & (values < 1.4)).all()


def test_tall_matrices_are_not_transposed_but_mean_the_same():
    batch = random((2, 40, 24), torch.float32)
    arguments = (3.4445, -4.7750, 2.0315, 5, 1e-7)
    tall, wide = muon.orthogonalize(batch, *arguments), muon.orthogonalize(batch.mT, *arguments)
    torch.testing.assert_close(tall, wide.mT, rtol=0, atol=0.02)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_narrow_dtypes(dtype):
    pairs = sides([random(shape, dtype, seed) for seed, shape in enumerate(SHAPES[:5])], lr=0.1)
    for seed in (1, 2):
        take(pairs, seed)
    for a, b in zip(pairs[0][0], pairs[1][0], strict=True):
        torch.testing.assert_close(a, b, rtol=2 * torch.finfo(dtype).eps, atol=0.02)


def test_without_nesterov_the_buffer_stays_the_momentum_in_bfloat16():
    """torch's own step overwrites it: a bfloat16 tensor converted to bfloat16 is the tensor itself."""
    param = torch.zeros(3, 4, dtype=torch.bfloat16, requires_grad=True)
    param.grad = torch.ones_like(param)
    optimizer = fused.Muon([param], nesterov=False, momentum=0.5)
    optimizer.step()
    assert (optimizer.state[param]["momentum_buffer"] == 0.5).all()


@pytest.mark.parametrize("make", [lambda x: x.t(), lambda x: torch.stack([x, x], -1)[..., 0]], ids=["t", "gappy"])
def test_strides(make):
    params = [make(random((6, 4)))]
    stride = params[0].stride()
    (mine, _), (other, _) = pairs = sides(params, lr=0.1)
    for seed in (1, 2):
        take(pairs, seed)
    torch.testing.assert_close(mine[0], other[0], rtol=0, atol=0.1 * 2**-7)
    assert mine[0].stride() == stride


def test_two_launches_for_all_matrices(monkeypatch):
    launches, original = [], launch.launch
    monkeypatch.setattr(muon, "launch", lambda rule, rows: launches.append(rule.name) or original(rule, rows))
    params = [random((3 + place % 2, 5), seed=place).requires_grad_() for place in range(20)]
    for param in params:
        param.grad = torch.ones_like(param)
    fused.Muon(params).step()
    assert launches == ["muon_direction", "muon_step"]


def test_groups_have_options_of_their_own():
    results = []
    for optimizer_class in (fused.Muon, torch.optim.Muon):
        params = [random((4, 3), seed=seed).requires_grad_() for seed in range(3)]
        groups = [{"params": params[:1]}, {"params": params[1:], "lr": 0.5, "momentum": 0.1, "nesterov": False}]
        optimizer = optimizer_class(groups, lr=torch.tensor(0.1))
        for step in range(2):
            for place, param in enumerate(params):
                param.grad = random((4, 3), seed=10 * step + place)
            optimizer.step()
        results.append(params)
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0.5 * 2**-6)


def test_refusals():
    weight = torch.ones(3, 2, requires_grad=True)
    weight.grad = torch.ones(3, 2)
    with pytest.raises(ValueError, match=r"less than 100.*got 100"):
        fused.Muon([weight], ns_steps=100)
    weight.grad = torch.ones(3, 2).to_sparse()
    with pytest.raises(RuntimeError, match="sparse"):
        fused.Muon([weight]).step()
    optimizer = fused.Muon([weight])
    vector = torch.ones(3, requires_grad=True)
    with pytest.raises(ValueError, match=r"only supports 2D parameters .*\[3\]"):
        optimizer.add_param_group({"params": [vector]})


def test_the_gradient_is_not_written_and_the_version_rises():
    param = random((6, 3)).requires_grad_()
    param.grad = random((6, 3), seed=1)
    before, version = param.grad.clone(), param._version
    fused.Muon([param]).step()
    assert torch.equal(param.grad, before)
    assert param._version > version
