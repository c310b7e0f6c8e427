"""Every element of every step against an exact recurrence and torch's for-loop, each step judged alone.

The bound on the rounding of a step is measured and not derived: what the recurrence's result moves when one of the
numbers that it starts from is changed in its last digit, summed over those numbers.
"""

import contextlib
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal, localcontext

import pytest
import torch
from hypothesis import given as examples
from hypothesis import settings
from hypothesis import strategies as st

from optbench import reference
from tests.recurrences.adadelta import adadelta
from tests.recurrences.adagrad import adagrad
from tests.recurrences.adamax import adamax
from tests.recurrences.asgd import asgd
from tests.recurrences.nadam import nadam
from tests.recurrences.radam import radam
from tests.recurrences.rmsprop import rmsprop
from tests.recurrences.rprop import rprop
from tests.reference.judge import EPS, digits, parameters, seeds, steps, thorough

# In units of the moves that single last digits make: every operation of a step may make one of its own.
CAP = 6.0
BETAS = [(0.9, 0.999), (0.5, 0.7), (0.0, 0.999), (0.9, 0.0), (0.999, 0.9), (0.95, 0.9999999)]


@dataclass(frozen=True)
class Algorithm:
    """How an optimizer's options and state enter its recurrence: (p, g, *state, t), with the options as keywords."""

    recurrence: Callable
    state: tuple[str, ...]
    options: dict
    counted: bool = True
    renamed: dict = field(default_factory=dict)
    # The state before the first step, where it is not 0: a number, or the name of an option.
    initial: dict = field(default_factory=dict)
    # By how many last digits the step's length may be off besides, where its formula cancels: (options, t) -> digits.
    cancelled: Callable = lambda options, t: 0.0


def lost_in_length(options, t):
    """RAdam: rho is the small difference of two numbers of about rho_inf, and its distance from 4 is what counts."""
    beta2 = options["betas"][1]
    limit = 2 / (1 - beta2) - 1
    # Not above 5 for long: as good as below the limit.
    rho = limit - 2 * t * beta2**t / -math.expm1(t * math.log(beta2)) if beta2 else limit
    return 2 * limit / (rho - 4) if rho > 4.9 else 0.0


def lost_in_momentum(options, t):
    """NAdam: 1 - mu(t + 1), where mu(t + 1) comes near to 1."""
    momentum = options["betas"][0] * (1 - 0.5 * 0.96 ** ((t + 1) * options["momentum_decay"]))
    return 2 / (1 - momentum)


def choices(**values):
    common = {
        "lr": [1e-3, 0.1, 3.0, 1e-9, 0.0],
        "eps": [1e-8, 0.0, 1e-3, 1.0],
        "weight_decay": [0.0, 0.01, 0.3],
        "maximize": [False, True],
    }
    return {name: value for name, value in (common | values).items() if value}


ALGORITHMS = {
    "Adadelta": Algorithm(
        adadelta, ("square_avg", "acc_delta"), choices(rho=[0.9, 0.5, 0.0, 1.0, 0.999]), counted=False
    ),
    "Adagrad": Algorithm(
        adagrad,
        ("sum",),
        choices(lr_decay=[0.0, 0.1, 2.0], initial_accumulator_value=[0.0, 0.1, 5.0]),
        renamed={"initial_accumulator_value": ()},
    ),
    "Adamax": Algorithm(adamax, ("exp_avg", "exp_inf"), choices(betas=BETAS)),
    "ASGD": Algorithm(
        asgd,
        ("ax", "eta", "mu"),
        choices(lambd=[1e-4, 0.1, 0.0], alpha=[0.75, 0.0, 1.0, 0.3], t0=[1e6, 0.0, 2.0, 49.0], eps=None),
        initial={"eta": "lr", "mu": 1.0},
    ),
    "NAdam": Algorithm(
        nadam,
        ("exp_avg", "exp_avg_sq", "mu_product"),
        choices(betas=BETAS, momentum_decay=[4e-3, 0.0, 0.5, 50.0], decoupled_weight_decay=[False, True]),
        initial={"mu_product": 1.0},
        cancelled=lost_in_momentum,
    ),
    "RAdam": Algorithm(
        radam,
        ("exp_avg", "exp_avg_sq"),
        choices(betas=[*BETAS, (0.9, 0.6), (0.8, 0.95)], decoupled_weight_decay=[False, True]),
        cancelled=lost_in_length,
    ),
    "RMSprop": Algorithm(
        rmsprop,
        ("square_avg", "grad_avg", "momentum_buffer"),
        choices(alpha=[0.99, 0.5, 0.9, 1.0], momentum=[0.0, 0.9, 0.5], centered=[False, True]),
        counted=False,
    ),
    "Rprop": Algorithm(
        rprop,
        ("prev", "step_size"),
        choices(
            etas=[(0.5, 1.2), (0.1, 3.0)], step_sizes=[(1e-6, 50.0), (0.01, 0.2), (0.5, 0.5)], eps=None,
            weight_decay=None,
        ),
        counted=False,
        renamed={"etas": ("etaminus", "etaplus"), "step_sizes": ("smallest", "largest"), "lr": ()},
        initial={"step_size": "lr"},
    ),
}  # fmt: skip
RENAMED = {"betas": ("beta1", "beta2"), "decoupled_weight_decay": ("decoupled",)}
ROOTED = {adadelta, adagrad, nadam, radam, rmsprop}
# Steps before the first that is judged: none; so many that RAdam is about to rectify; many.
warmups = st.sampled_from([0, 4, 47])
modes = st.sampled_from(["plain", "plain", "capturable", "differentiable", "tensor", "capturable tensor"])


def drawn(name):
    fields = {key: st.sampled_from(values) for key, values in ALGORITHMS[name].options.items()}
    return st.fixed_dictionaries(fields)


def with_mode(options, mode):
    """The options as an implementation takes them: numbers, or a tensor as lr, or under another flag."""
    extra = {flag: True for flag in ("capturable", "differentiable") if flag in mode}
    if "tensor" in mode:
        extra["lr"] = torch.tensor(options["lr"], dtype=torch.float64)
    return options | extra


def numbers(name, options):
    """The options under the recurrence's names."""
    algorithm = ALGORITHMS[name]
    found = {"sqrt": Decimal.sqrt} if algorithm.recurrence in ROOTED else {}
    if name == "NAdam":
        found["warmup"] = 0.96
    for key, value in options.items():
        names = (RENAMED | algorithm.renamed).get(key, (key,))
        found.update(zip(names, value if isinstance(value, tuple) else (value,) * len(names), strict=True))
    return found


@contextlib.contextmanager
def wide_scalars():
    """State without dimensions in float64, as everything else."""
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def filled(name, options, state, like):
    """State as lists of numbers, one for each element of the parameter; what is not there yet, as it begins."""
    lists = []
    for key in ALGORITHMS[name].state:
        entry = state.get(key)
        if entry is None:
            value = ALGORITHMS[name].initial.get(key, 0.0)
            entry = torch.tensor(options[value] if isinstance(value, str) else value, dtype=torch.float64)
        lists.append(entry.detach().expand_as(like).flatten().tolist())
    return lists


def bounds(recurrence, inputs, t, given, results, cancelled):
    """How far rounding may move each result: as far as a changed last digit of any input, or of the rate, moves it."""

    def moves(*numbers, **options):
        changed = digits(recurrence, *numbers, *t, **given | options)
        if changed is None:
            return [math.inf] * len(results)
        return [float(abs(result - wanted)) for result, wanted in zip(changed, results, strict=True)]

    changes = [[*inputs[:i], x + x * EPS, *inputs[i + 1 :]] for i, x in enumerate(inputs) if x]
    moved = [moves(*changed) for changed in changes]
    if "lr" in given:
        moved.append(moves(*inputs, lr=given["lr"] * (1 + 2 * EPS)))
    total = [sum(column) for column in zip([0.0] * len(results), *moved, strict=True)]
    total[0] *= 1 + cancelled
    total[0] += EPS * abs(inputs[0])
    total = [move + EPS * abs(float(wanted)) for move, wanted in zip(total, results, strict=True)]
    return [CAP * bound for bound in total]


def judge(name, options, mode, seed, warmup):
    """Compare every element of every step; return how many were compared."""
    algorithm, given = ALGORITHMS[name], numbers(name, options)
    compared = 0
    with wide_scalars():
        params = parameters(torch.Generator().manual_seed(seed))
        optimizer = getattr(reference, name)(params, **with_mode(options, mode))
        for t, param, value, state, after in steps(optimizer, seed, warmup):
            assert after["step"].item() == t
            counted = (t,) if algorithm.counted else ()
            before = [value.flatten().tolist(), param.grad.flatten().tolist(), *filled(name, options, state, param)]
            found = [param.flatten().tolist(), *filled(name, options, after, param)]
            kept = [True, *(key in after for key in algorithm.state)]
            for inputs, actual in zip(zip(*before, strict=True), zip(*found, strict=True), strict=True):
                if not all(map(math.isfinite, inputs)):
                    continue
                expected = digits(algorithm.recurrence, *inputs, *counted, **given)
                if expected is None:
                    # A variance may round to either side of 0.
                    assert not math.isfinite(actual[0]) or options.get("centered"), (options, mode, t, inputs, actual)
                    continue
                lost = algorithm.cancelled(options, t)
                allowed = bounds(algorithm.recurrence, inputs, counted, given, expected, lost)
                shares = [
                    abs(result - float(wanted)) / bound if bound else float(result != wanted)
                    for result, wanted, bound, there in zip(actual, expected, allowed, kept, strict=True)
                    if there and bound < math.inf
                ]
                assert max(shares, default=0.0) <= 1.0, (shares, options, mode, t, inputs, actual, expected)
                compared += 1
    return compared


fewer = settings(thorough, max_examples=25)


@pytest.mark.parametrize("name", ALGORITHMS)
@fewer
@examples(st.data())
def test_an_optimizer_is_its_recurrence(name, data):
    mode = data.draw(modes if "capturable" in options_of(name) else modes.filter(lambda mode: "capturable" not in mode))
    assert judge(name, data.draw(drawn(name)), mode, data.draw(seeds), data.draw(warmups)) > 0


def options_of(name):
    return inspect.signature(getattr(reference, name)).parameters


def torch_step(name, options, value, grad, state):
    """One step of torch's for-loop from the given state, which it leaves alone."""
    param = value.clone()
    param.grad = grad.clone()
    optimizer = getattr(torch.optim, name)([param], foreach=False, **options)
    if state:
        optimizer.state[param].update({key: entry.clone() for key, entry in state.items()})
    optimizer.step()
    return param, optimizer.state[param]


@pytest.mark.parametrize("name", ALGORITHMS)
@fewer
@examples(st.data())
def test_a_step_is_torchs(name, data):
    """In float64, with state without dimensions in float32 as in float64."""
    options = with_mode(data.draw(drawn(name)), data.draw(st.sampled_from(["plain", "tensor", "differentiable"])))
    seed, warmup = data.draw(seeds), data.draw(warmups)
    with wide_scalars() if data.draw(st.booleans()) else contextlib.nullcontext():
        optimizer = getattr(reference, name)(parameters(torch.Generator().manual_seed(seed)), **options)
        for t, param, value, state, after in steps(optimizer, seed, warmup):
            theirs, their_state = torch_step(name, options, value, param.grad, state)
            assert list(after) == list(their_state)
            for key in after:
                torch.testing.assert_close(after[key], their_state[key], rtol=8 * EPS, atol=0, equal_nan=True)
            # torch's 1 - beta**t cancels, and its rho even more. At a rate of 0 it may take 0/0 for 0.
            worst = 1e-14 if name not in ("RAdam", "NAdam", "Adamax") else 1e-6 if t < 60 else 1e-9
            torch.testing.assert_close(param, theirs, rtol=worst, atol=1e-14 * options["lr"], equal_nan=True)


LONG = {
    "Adadelta": {"rho": 0.95, "weight_decay": 0.01},
    "Adagrad": {"lr_decay": 0.01, "initial_accumulator_value": 0.5, "weight_decay": 0.01},
    "Adamax": {"betas": (0.9, 0.99), "weight_decay": 0.01},
    "ASGD": {"lambd": 0.01, "alpha": 0.75, "t0": 20.0, "weight_decay": 0.01},
    "NAdam": {"betas": (0.9, 0.99), "weight_decay": 0.01, "momentum_decay": 4e-3, "decoupled_weight_decay": True},
    "RAdam": {"betas": (0.9, 0.99), "weight_decay": 0.01, "decoupled_weight_decay": False},
    "RMSprop": {"alpha": 0.9, "momentum": 0.9, "centered": True, "weight_decay": 0.01},
    "Rprop": {"etas": (0.5, 1.2), "step_sizes": (1e-6, 50.0)},
}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_long_run_stays_with_the_recurrence(name):
    """A hundred steps without re-synchronisation, in exact arithmetic against double precision."""
    algorithm = ALGORITHMS[name]
    grads = torch.randn(100, generator=torch.Generator().manual_seed(3), dtype=torch.float64) + 0.3
    options = LONG[name] | {"lr": 0.01, "maximize": False} | ({"eps": 1e-6} if "eps" in algorithm.options else {})
    given = {key: Decimal(x) if isinstance(x, float) else x for key, x in numbers(name, options).items()}
    param = torch.tensor([2.0], dtype=torch.float64)
    with wide_scalars(), localcontext(prec=50):
        optimizer = getattr(reference, name)([param], **options)
        state = [Decimal(values[0]) for values in filled(name, options, optimizer.state[param], param)]
        p = Decimal(2)
        for t, grad in enumerate(grads, start=1):
            param.grad = grad.reshape(1)
            optimizer.step()
            counted = (t,) if algorithm.counted else ()
            p, *state = algorithm.recurrence(p, Decimal(grad.item()), *state, *counted, **given)
    found = [param.item(), *(values[0] for values in filled(name, options, optimizer.state[param], param))]
    assert found == pytest.approx(list(map(float, (p, *state))), rel=1e-12, abs=0)
