"""Operations whose number may be a tensor: the same result either way, and what autograd saved is never overwritten."""

import math
from decimal import Decimal, localcontext

import pytest
import torch
from optbench.reference import _ops


@pytest.mark.parametrize("base", [0.999, 0.9, 0.5, 1e-3, 0.9999999, 1 - 2**-53])
@pytest.mark.parametrize("exponent", [1, 2, 3, 10, 1000, 10**6])
def test_one_minus_power_keeps_its_digits(base, exponent):
    with localcontext() as context:
        context.prec = 60
        exact = float(1 - Decimal(base) ** exponent)
    for power in (
        _ops.one_minus_power(base, float(exponent)),
        _ops.one_minus_power(
            torch.tensor(base, dtype=torch.float64), torch.tensor(float(exponent), dtype=torch.float64)
        ),
        _ops.one_minus_power(base, torch.tensor(float(exponent), dtype=torch.float64)),
    ):
        assert abs(float(power) - exact) <= 2 * math.ulp(exact)


def test_one_minus_power_of_zero_is_one():
    assert _ops.one_minus_power(0.0, 3.0) == 1.0
    assert _ops.one_minus_power(0.0, torch.tensor(3.0)).item() == 1.0
    assert _ops.one_minus_power(torch.tensor(0.0), torch.tensor(3.0)).item() == 1.0


def test_one_minus_power_is_exact_where_the_plain_form_is_not():
    exact = 0.001999
    assert _ops.one_minus_power(0.999, 2.0) == pytest.approx(exact, rel=1e-15, abs=0)
    assert pytest.approx(exact, rel=1e-15, abs=0) != 1 - 0.999**2


OPERATIONS = {
    "add": lambda value, a, b, c: _ops.add(a, b, value),
    "add_": lambda value, a, b, c: _ops.add_(a, b, value),
    "lerp_": lambda value, a, b, c: _ops.lerp_(a, b, value),
    "addcmul_": lambda value, a, b, c: _ops.addcmul_(a, b, c, value),
    "addcdiv_": lambda value, a, b, c: _ops.addcdiv_(a, b, c, value),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("shape", [(5,), (), (0,)])
@pytest.mark.parametrize("name", OPERATIONS)
def test_a_tensor_in_a_numbers_place_gives_the_same(name, shape, dtype):
    generator = torch.Generator().manual_seed(1)
    tensors = [(torch.rand(shape, generator=generator) + 0.5).to(dtype) for _ in range(3)]
    with torch.no_grad():
        number = OPERATIONS[name](0.25, *(tensor.clone() for tensor in tensors))
        tensor = OPERATIONS[name](torch.tensor(0.25, dtype=torch.float64), *(tensor.clone() for tensor in tensors))
    assert tensor.dtype == dtype
    torch.testing.assert_close(tensor, number, rtol=4 * torch.finfo(dtype).eps, atol=0)


@pytest.mark.parametrize("name", OPERATIONS)
def test_gradients_flow_though_every_operand_is_overwritten(name):
    def function(value, a, b, c):
        a, b, c = a.clone(), b.clone(), c.clone()
        result = OPERATIONS[name](value, a, b, c)
        kept = result.clone()
        # The next step writes to its state; gradients and denominators are made anew and stay.
        result.mul_(2)
        if name not in ("lerp_", "addcmul_"):
            b.mul_(3)
        return kept

    generator = torch.Generator().manual_seed(2)
    operands = [torch.rand(4, generator=generator, dtype=torch.float64) + 0.5 for _ in range(3)]
    value = torch.tensor(0.25, dtype=torch.float64)
    assert torch.autograd.gradcheck(function, [tensor.requires_grad_() for tensor in (value, *operands)])


def test_maximum_keeps_nan_and_gradients():
    tensor = torch.tensor([1.0, math.nan, 3.0, 4.0])
    other = torch.tensor([2.0, 1.0, math.nan, 1.0])
    with torch.no_grad():
        result = _ops.maximum_(tensor, other)
    assert result is tensor
    assert str(result.tolist()) == "[2.0, nan, nan, 4.0]"

    def function(first, second):
        first, second = first.clone(), second.clone()
        kept = _ops.maximum_(first, second).clone()
        first.mul_(2)
        second.mul_(2)
        return kept

    operands = [torch.tensor([1.0, 5.0], dtype=torch.float64), torch.tensor([2.0, 3.0], dtype=torch.float64)]
    assert torch.autograd.gradcheck(function, [tensor.requires_grad_() for tensor in operands])


@pytest.mark.parametrize("name", ["sqrt", "sqrt_"])
def test_a_root_may_be_overwritten_though_gradients_flow(name):
    values = torch.tensor([1.0, 4.0], dtype=torch.float64)
    with torch.no_grad():
        owned = values.clone()
        assert getattr(_ops, name)(owned).tolist() == [1.0, 2.0]
        assert (owned.tolist() == [1.0, 2.0]) == (name == "sqrt_")
    assert torch.autograd.gradcheck(
        lambda tensor: getattr(_ops, name)(tensor.clone()).add_(1).mul_(2), [values.requires_grad_()]
    )


def test_a_running_product_is_rounded_as_torch_rounds_it():
    """The factor first, whether it is a number or a tensor."""
    state = torch.tensor(0.3)
    expected = state * torch.tensor(0.7, dtype=torch.float32)
    for factor in (0.7, torch.tensor(0.7, dtype=torch.float64)):
        kept = state.clone()
        product = _ops.multiply_(kept, factor)
        assert torch.equal(kept, expected)
        assert float(product) == kept.item()
    assert product.dtype == torch.float64


@pytest.mark.parametrize("value", [-3.0, 1.0, 2.5])
def test_at_least(value):
    assert _ops.at_least(1.0, value) == max(1.0, value)
    assert _ops.at_least(1.0, torch.tensor(value)).item() == max(1.0, value)
