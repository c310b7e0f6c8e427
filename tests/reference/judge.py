"""Seeded runs of an optimizer on float64 numbers, and exact arithmetic to judge them by."""

from decimal import Decimal, DivisionByZero, InvalidOperation, localcontext

import torch
from hypothesis import settings
from hypothesis import strategies as st

EPS = torch.finfo(torch.float64).eps
STEPS = 4
# Steps at which each parameter has a gradient: always, late, with a gap.
MOMENTS = [(0, 1, 2, 3), (1, 2, 3), (0, 3)]

# Derandomized: the same examples on every run.
thorough = settings(max_examples=80, deadline=None, derandomize=True, database=None)
seeds = st.integers(0, 2**31)
modes = st.sampled_from(["plain", "capturable", "differentiable", "tensors", "capturable tensors"])


def with_mode(options, mode):
    """The options as an implementation takes them: numbers, or float64 tensors, or under another flag."""
    extra = {flag: True for flag in ("capturable", "differentiable") if flag in mode}
    if "tensors" in mode:
        extra["lr"] = torch.tensor(options["lr"], dtype=torch.float64)
        if "betas" in options:
            extra["betas"] = tuple(torch.tensor(beta, dtype=torch.float64) for beta in options["betas"])
    return options | extra


def parameters(generator):
    """Parameters of several shapes, one with a zero."""
    params = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((6,), (2, 3), ())]
    params[0][0] = 0.0
    return params


def gradient(param, generator):
    """Elements over twelve orders of magnitude, one of them zero."""
    grad = torch.randn(param.shape, generator=generator, dtype=torch.float64)
    grad *= 10.0 ** torch.randint(-9, 4, param.shape, generator=generator)
    if grad.numel() > 1:
        grad.view(-1)[torch.randint(grad.numel(), (), generator=generator)] = 0.0
    return grad


def steps(optimizer, seed, warmup=0):
    """Step along a seeded stream, past the warm-up; yield (t, param, value before, state before, state after)."""
    generator = torch.Generator().manual_seed(seed)
    params = optimizer.param_groups[0]["params"]
    taken = dict.fromkeys(params, warmup)
    for _ in range(warmup):
        for param in params:
            param.grad = gradient(param, generator)
        optimizer.step()
    for number in range(STEPS):
        before = []
        for param, moments in zip(params, MOMENTS, strict=True):
            param.grad = gradient(param, generator) if number in moments else None
            state = {key: entry.clone() for key, entry in optimizer.state.get(param, {}).items()}
            before.append((param, param.clone(), state))
        optimizer.step()
        for param, value, state in before:
            after = optimizer.state.get(param, {})
            if param.grad is None:
                assert same(param, value)
                assert all(same(after[key], state[key]) for key in state)
            else:
                taken[param] += 1
                yield taken[param], param, value, state, after


def same(first, second):
    return torch.allclose(first, second, rtol=0, atol=0, equal_nan=True)


def columns(param, *states_and_keys):
    return [
        state[key].flatten().tolist() if state.get(key) is not None else [None] * param.numel()
        for state, key in states_and_keys
    ]


def digits(function, *numbers, **options):
    """Evaluate a recurrence in 50 digits; None where it divides by zero or takes the root of a negative number."""

    def to_decimal(value):
        return Decimal(value) if isinstance(value, float) else value

    with localcontext() as context:
        context.prec = 50
        try:
            return function(*map(to_decimal, numbers), **{key: to_decimal(v) for key, v in options.items()})
        except (InvalidOperation, DivisionByZero):
            return None


def exact(function, *numbers, **options):
    """The same, rounded to float64."""
    results = digits(function, *numbers, **options)
    return results and [None if result is None else float(result) for result in results]
