"""The reference in float64 is the oracle of the whole project: judge it by exact recurrences and by torch's for-loop.

Both are re-synchronised before every step, so that each step is judged alone. The recurrences run in 50 decimal digits;
what is left between them and the reference is the reference's own rounding, whose bound the tests compute.
"""

import math
from decimal import Decimal, localcontext

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from optbench import reference
from tests.recurrences.adam import adam
from tests.recurrences.adamw import adamw
from tests.recurrences.sgd import sgd
from tests.reference.judge import EPS, columns, exact, modes, parameters, seeds, steps, thorough, with_mode
from tests.reference.support import names, takes

adam_options = st.fixed_dictionaries(
    {
        "lr": st.sampled_from([1e-3, 0.1, 3.0, 1e-9, 0.0]),
        "betas": st.sampled_from([(0.9, 0.999), (0.5, 0.7), (0.0, 0.999), (0.9, 0.0), (0.999, 0.9), (0.95, 0.9999999)]),
        "eps": st.sampled_from([1e-8, 0.0, 1e-3, 1.0]),
        "weight_decay": st.sampled_from([0.0, 0.01, 0.3]),
        "amsgrad": st.booleans(),
        "maximize": st.booleans(),
    }
)
sgd_options = st.fixed_dictionaries(
    {
        "lr": st.sampled_from([1e-3, 0.1, 3.0, 0.0]),
        "momentum": st.sampled_from([0.0, 0.9, 0.5, 1.5]),
        "dampening": st.sampled_from([0.0, 0.3, 1.0]),
        "weight_decay": st.sampled_from([0.0, 0.01, 0.3]),
        "nesterov": st.booleans(),
        "maximize": st.booleans(),
    }
).map(
    lambda options: options | {"nesterov": options["nesterov"] and options["momentum"] > 0 and not options["dampening"]}
)


def adam_bounds(options, decoupled, t, before, after, power_error=0.0):
    """How far rounding may move (p, m, v, x): every operation by EPS of its operands, 1 - beta**t by power_error."""
    beta1, beta2 = options["betas"]
    (p, g, m, v, _), (new_p, new_m, new_v, new_x) = before, after
    scale = abs(g) + (0.0 if decoupled else abs(options["weight_decay"] * p))
    m_bound = 3 * EPS * (abs(m) + scale)
    v_bound = 4 * EPS * (v + (1 - beta2) * scale**2)
    correction1 = -math.expm1(t * math.log(beta1)) if beta1 else 1.0
    correction2 = -math.expm1(t * math.log(beta2)) if beta2 else 1.0
    second = new_x if options["amsgrad"] else new_v
    denom = math.sqrt(second / correction2) + options["eps"]
    least = math.sqrt(max(second - v_bound, 0.0) / correction2) + options["eps"]
    if least == 0.0:
        return math.inf, m_bound, v_bound, v_bound
    rate = options["lr"] / correction1
    step = rate * abs(new_m)
    relative = 6 * EPS + power_error / correction1 + power_error / correction2
    step_bound = rate * m_bound / least + step * (1 / least - 1 / denom) + relative * step / denom
    return 2 * EPS * (abs(p) + abs(new_p)) + step_bound, m_bound, v_bound, v_bound


def sgd_bounds(options, before, after):
    (p, g, b), (new_p, _) = before, after
    scale = abs(g) + abs(options["weight_decay"] * p)
    b_bound = 3 * EPS * (abs(options["momentum"] * (b or 0.0)) + scale)
    step_bound = options["lr"] * ((1 + options["momentum"]) * b_bound + 3 * EPS * scale)
    return 2 * EPS * (abs(p) + abs(new_p)) + step_bound, b_bound


def assert_close(found, expected, bounds, context):
    for actual, wanted, bound in zip(found, expected, bounds, strict=True):
        if wanted is not None and actual is not None:
            assert abs(actual - wanted) <= bound, (actual, wanted, abs(actual - wanted) / bound, context)


MOMENT_KEYS = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")


def check_adam(name, options, mode, seed):
    """Compare every element of every step; return how many comparisons were made."""
    decoupled = name == "AdamW" or options.get("decoupled_weight_decay", False)
    numbers = {key: options[key] for key in ("lr", "eps", "weight_decay", "amsgrad", "maximize")}
    numbers |= {"beta1": options["betas"][0], "beta2": options["betas"][1], "sqrt": Decimal.sqrt}
    optimizer = getattr(reference, name)(parameters(torch.Generator().manual_seed(seed)), **with_mode(options, mode))
    compared = 0
    for t, param, value, state, after in steps(optimizer, seed):
        assert after["step"].item() == t
        before = columns(param, ({0: value}, 0), ({0: param.grad}, 0), *((state, key) for key in MOMENT_KEYS))
        found = columns(param, ({0: param}, 0), *((after, key) for key in MOMENT_KEYS))
        for column, results in zip(zip(*before, strict=True), zip(*found, strict=True), strict=True):
            p, g, m, v, x = (number or 0.0 for number in column)
            if math.isnan(p):
                continue
            if name == "AdamW":
                expected = exact(adamw, p, g, m, v, x, t, **numbers)
            else:
                expected = exact(adam, p, g, m, v, x, t, **numbers, decoupled=decoupled)
            if expected is None:
                assert not math.isfinite(results[0])
                continue
            bounds = adam_bounds(options, decoupled, t, (p, g, m, v, x), expected)
            assert_close(results, expected, bounds, (options, mode, t, column))
            compared += 1
    return compared


def check_sgd(options, mode, seed):
    optimizer = reference.SGD(parameters(torch.Generator().manual_seed(seed)), **with_mode(options, mode))
    compared = 0
    for t, param, value, state, after in steps(optimizer, seed):
        assert ("momentum_buffer" in after) == (options["momentum"] != 0)
        before = columns(param, ({0: value}, 0), ({0: param.grad}, 0), (state, "momentum_buffer"))
        found = columns(param, ({0: param}, 0), (after, "momentum_buffer"))
        for column, results in zip(zip(*before, strict=True), zip(*found, strict=True), strict=True):
            expected = exact(sgd, *column, **options)
            assert_close(results, expected, sgd_bounds(options, column, expected), (options, mode, t, column))
            compared += 1
    return compared


@thorough
@given(adam_options, st.booleans(), modes, seeds)
def test_adam_is_its_recurrence(options, decoupled, mode, seed):
    assert check_adam("Adam", options | {"decoupled_weight_decay": decoupled}, mode, seed) > 0


@thorough
@given(adam_options, modes, seeds)
def test_adamw_is_its_recurrence(options, mode, seed):
    assert check_adam("AdamW", options, mode, seed) > 0


@thorough
@given(sgd_options, modes.filter(lambda mode: "capturable" not in mode), seeds)
def test_sgd_is_its_recurrence(options, mode, seed):
    assert check_sgd(options, mode, seed) == 6 * 4 + 6 * 3 + 1 * 2


def torch_step(name, options, value, grad, state):
    """One step of torch's for-loop from the given state, which it leaves alone."""
    param = value.clone()
    param.grad = grad.clone()
    optimizer = getattr(torch.optim, name)([param], foreach=False, fused=False, **options)
    if state:
        optimizer.state[param].update({key: entry.clone() for key, entry in state.items()})
    optimizer.step()
    return param, optimizer.state.get(param, {})


@thorough
@given(st.sampled_from(["Adam", "AdamW"]), adam_options, modes.filter(lambda mode: "capturable" not in mode), seeds)
def test_adam_and_adamw_agree_with_torchs_for_loop(name, options, mode, seed):
    optimizer = getattr(reference, name)(parameters(torch.Generator().manual_seed(seed)), **with_mode(options, mode))
    # torch's 1 - beta**t cancels, and in differentiable mode it does so in float32. Ours does not.
    power_error = torch.finfo(torch.float32).eps if mode == "differentiable" else EPS
    for t, param, value, state, after in steps(optimizer, seed):
        theirs, their_state = torch_step(name, with_mode(options, mode), value, param.grad, state)
        assert set(after) == set(their_state)
        assert torch.equal(after["step"], their_state["step"])
        keys = [key for key in MOMENT_KEYS if key in after]
        # The moments are the same operations, to the last bit.
        assert all(torch.allclose(after[key], their_state[key], rtol=0, atol=0, equal_nan=True) for key in keys)
        before = columns(param, ({0: value}, 0), ({0: param.grad}, 0), *((state, key) for key in MOMENT_KEYS))
        found = columns(param, ({0: param}, 0), *((after, key) for key in MOMENT_KEYS))
        wanted = columns(param, ({0: theirs}, 0), *((their_state, key) for key in MOMENT_KEYS))
        for column, results, expected in zip(
            *(zip(*side, strict=True) for side in (before, found, wanted)), strict=True
        ):
            if math.isfinite(expected[0]):
                numbers = tuple(number or 0.0 for number in column)
                bounds = adam_bounds(options, name == "AdamW", t, numbers, expected, power_error)
                assert_close(results, expected, bounds, (options, mode, t, column))
            elif options["lr"] > 0.0 or mode != "differentiable":
                # torch divides by lr in differentiable mode: 0/0 where neither lr nor gradient is other than 0.
                assert math.isnan(results[0]) == math.isnan(expected[0])


@thorough
@given(sgd_options, st.sampled_from(["plain", "differentiable", "tensors"]), seeds)
def test_sgd_agrees_with_torchs_for_loop_to_the_last_bit(options, mode, seed):
    optimizer = reference.SGD(parameters(torch.Generator().manual_seed(seed)), **with_mode(options, mode))
    for _, param, value, state, after in steps(optimizer, seed):
        theirs, their_state = torch_step("SGD", with_mode(options, mode), value, param.grad, state)
        assert torch.equal(param, theirs)
        assert set(after) == set(their_state)
        assert all(torch.equal(after[key], their_state[key]) for key in after)


@names
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.complex64])
def test_a_run_in_another_dtype_follows_torchs_for_loop(name, dtype):
    all_options = {
        "momentum": 0.9, "nesterov": True, "amsgrad": True, "eps": 1e-4, "lr_decay": 0.1, "t0": 10.0,
        "weight_decay": 0.1,
    }  # fmt: skip
    options = {option: value for option, value in all_options.items() if takes(name, option)}
    ours, theirs = (
        cls([torch.linspace(-1, 1, 30).to(dtype)], lr=0.01, **options, **flags)
        for cls, flags in ((getattr(reference, name), {}), (getattr(torch.optim, name), {"foreach": False}))
    )
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        grad = torch.randn(30, generator=generator, dtype=torch.float64).to(dtype)
        for optimizer in (ours, theirs):
            optimizer.param_groups[0]["params"][0].grad = grad.clone()
            optimizer.step()
    (param,), (expected,) = (optimizer.param_groups[0]["params"] for optimizer in (ours, theirs))
    if dtype.is_complex and name in ("RMSprop", "SGD"):
        # torch multiplies complex numbers here, and rounds otherwise.
        torch.testing.assert_close(param, expected, rtol=1e-6, atol=1e-6)
    elif name == "RAdam":
        # torch rounds the step after each of its five factors.
        eps = torch.finfo(dtype).eps
        torch.testing.assert_close(param, expected, rtol=4 * eps, atol=2 * eps)
    else:
        assert torch.equal(param, expected)


@pytest.mark.parametrize("name", ["Adam", "AdamW", "SGD"])
def test_a_long_run_stays_with_the_recurrence(name):
    """Two hundred steps without re-synchronisation, in exact arithmetic against double precision."""
    grads = torch.randn(200, generator=torch.Generator().manual_seed(3), dtype=torch.float64) + 0.3
    param = torch.tensor([2.0], dtype=torch.float64)
    p, state = Decimal(2), (Decimal(0),) * 3
    if name == "SGD":
        options = {"lr": 0.01, "momentum": 0.9, "dampening": 0.1, "weight_decay": 0.01}
        state = (None,)
    else:
        options = {"lr": 0.01, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01, "amsgrad": True}
    optimizer = getattr(reference, name)([param], **options)
    with localcontext() as context:
        context.prec = 50
        numbers = {key: Decimal(value) for key, value in options.items() if isinstance(value, float)}
        for t, grad in enumerate(grads, start=1):
            param.grad = grad.reshape(1)
            optimizer.step()
            g = Decimal(grad.item())
            if name == "SGD":
                p, *state = sgd(p, g, *state, **numbers, nesterov=False, maximize=False)
                continue
            beta1, beta2 = map(Decimal, options["betas"])
            flags = {"beta1": beta1, "beta2": beta2, "amsgrad": True, "maximize": False, "sqrt": Decimal.sqrt}
            if name == "Adam":
                p, *state = adam(p, g, *state, t, **numbers, **flags, decoupled=False)
            else:
                p, *state = adamw(p, g, *state, t, **numbers, **flags)
    assert param.item() == pytest.approx(float(p), rel=1e-14, abs=0)
