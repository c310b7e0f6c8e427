"""Every stride, every shape: elements are paired by index and not by memory, and nothing outside is touched."""

import pytest
import torch
from optbench.impls import fused

from .support import CONFIGS, Twins, layout_copy, random

configs = pytest.mark.parametrize("config", ["adam-amsgrad-decay", "adamw", "sgd-nesterov"])


def channels_last(seed):
    return random((2, 3, 4, 5), seed=seed).to(memory_format=torch.channels_last)


def gappy(seed):
    return random((6, 8), seed=seed)[:, ::2]


def gappy_rows(seed):
    return random((6, 8), seed=seed)[::2]


def transposed(seed):
    return random((4, 7), seed=seed).t()


def contiguous(seed):
    return random((3, 4), seed=seed)


PARAMS = [contiguous, transposed, channels_last, gappy, gappy_rows]
GRADS = {
    "same": layout_copy,
    "contiguous": lambda grad: grad.contiguous(),
    "reversed": lambda grad: grad.permute(*range(grad.dim())[::-1]).contiguous().permute(*range(grad.dim())[::-1]),
    "gappy": lambda grad: torch.stack([grad, grad], -1)[..., 0],
}


@configs
@pytest.mark.parametrize("grad", GRADS)
def test_parameter_and_gradient_strides(config, grad):
    name, options = CONFIGS[config]
    twins = Twins(name, [make(seed) for seed, make in enumerate(PARAMS)], **options)
    for seed in range(1, 4):
        twins.give(seed, GRADS[grad])
        before = [param.grad.clone() for param in twins.mine]
        twins.step()
        twins.check()
        assert all(torch.equal(a.grad, b) for a, b in zip(twins.mine, before, strict=True))


def test_expanded_gradients():
    twins = Twins("Adam", [random((3, 4)), random((5,), seed=1)], lr=0.1)
    for _ in range(3):
        for params in (twins.mine, twins.other):
            for param in params:
                param.grad = torch.tensor(0.5, dtype=torch.float64).expand(param.shape)
        twins.step()
        twins.check()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_nothing_outside_a_view_is_written(dtype):
    base = random((10, 10), dtype)
    kept = base.clone()
    views = [base[1:4, 2:5], base[5:8, 1:9:2], base[9, :3]]
    params = [view.detach().requires_grad_() for view in views]
    for param in params:
        param.grad = torch.ones_like(param)
    optimizer = fused.SGD(params, lr=1.0, momentum=0.9)
    optimizer.step()
    optimizer.step()
    inside = torch.zeros(10, 10, dtype=torch.bool)
    for region in (inside[1:4, 2:5], inside[5:8, 1:9:2], inside[9, :3]):
        region.fill_(True)
    assert torch.equal(base[~inside], kept[~inside])
    assert (base[inside] != kept[inside]).all()


@pytest.mark.parametrize("length", [1, 7, 8, 31, 64, 1000])
def test_nothing_beyond_the_ends_is_written(length):
    base = torch.zeros(length + 32)
    param = base[16 : 16 + length].detach().requires_grad_()
    param.grad = torch.ones(length)
    fused.Adam([param], lr=1.0).step()
    assert (base[:16] == 0).all()
    assert (base[16 + length :] == 0).all()
    assert (param != 0).all()


@pytest.mark.parametrize("place", [0, 1, 2])
@configs
def test_empty_tensors_in_any_place(config, place):
    name, options = CONFIGS[config]
    params = [random((4,)), random((), seed=1)]
    params.insert(place, torch.zeros(3, 0, dtype=torch.float64))
    Twins(name, params, **options).run(1, 2, 3)


def test_only_empty_tensors():
    Twins("Adam", [torch.zeros(0, dtype=torch.float64)]).run(1, 2)


@configs
def test_conjugated_and_negated_bits(config):
    name, options = CONFIGS[config]
    twins = Twins(name, [random((4,), torch.complex128), random((4,))], **options)
    for seed in range(1, 4):
        twins.give(seed)
        twins.mine[0].grad = twins.mine[0].grad.conj().resolve_conj().conj()
        twins.mine[1].grad = torch._neg_view(-twins.mine[1].grad)
        assert twins.mine[0].grad.is_conj()
        assert twins.mine[1].grad.is_neg()
        twins.step()
        twins.check()


def test_a_conjugated_parameter():
    value = random((4,), torch.complex128)
    twins = Twins("Adam", [value], lr=0.1)
    twins.mine[0] = value.conj().resolve_conj().conj().detach().requires_grad_()
    assert twins.mine[0].is_conj()
    twins.ours = fused.Adam(twins.mine, lr=0.1)
    twins.run(1, 2, 3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_state_wider_than_the_parameter_keeps_its_digits(dtype):
    param = torch.ones(8, dtype=dtype, requires_grad=True)
    param.grad = torch.full((8,), 0.375, dtype=dtype)
    optimizer = fused.Adam([param], lr=0.5)
    optimizer.step()
    state = optimizer.state[param]
    state["exp_avg"] = torch.full((8,), 1.0 + 2**-20)
    state["exp_avg_sq"] = torch.full((8,), 1.0 + 2**-20)
    optimizer.step()
    expected = torch.full((8,), 1.0 + 2**-20, dtype=torch.float64)
    torch.testing.assert_close(state["exp_avg"].double(), 0.9 * expected + 0.1 * 0.375, rtol=2e-7, atol=0)
    assert state["exp_avg"].dtype == torch.float32
    assert param.dtype == dtype


def test_a_mixture_of_dtypes_has_a_launch_each():
    params = [random((6,), dtype).requires_grad_() for dtype in (torch.float32, torch.float64, torch.bfloat16)]
    alone = [param.detach().clone().requires_grad_() for param in params]
    for a, b in zip(params, alone, strict=True):
        a.grad, b.grad = torch.ones_like(a), torch.ones_like(b)
    fused.AdamW(params).step()
    for param in alone:
        fused.AdamW([param]).step()
    assert all(torch.equal(a, b) for a, b in zip(params, alone, strict=True))


def test_overlapping_parameters_are_refused():
    param = torch.ones(1).expand(4).detach().requires_grad_()
    param.grad = torch.ones(4)
    with pytest.raises(RuntimeError, match="single memory location"):
        fused.SGD([param], lr=0.1).step()


def test_tensors_without_memory_are_refused():
    param = torch.ones(3, device="meta", requires_grad=True)
    param.grad = torch.ones(3, device="meta")
    with pytest.raises(TypeError, match="memory"):
        fused.SGD([param], lr=0.1).step()
