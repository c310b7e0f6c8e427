"""Fused LBFGS follows torch's: the same trajectory, the same number of evaluations, the same state."""

import copy
import math

import pytest
import torch
from optbench.impls import fused
from optbench.impls.fused import vectors
from optbench.impls.fused.wolfe import Point, _cubic_minimum, strong_wolfe

from .support import random

CONFIGS = {
    "fixed": {"lr": 0.1, "max_iter": 5},
    "short history": {"lr": 1e-3, "history_size": 1},
    "wolfe": {"line_search_fn": "strong_wolfe", "history_size": 3, "max_iter": 7},
    "few evaluations": {"line_search_fn": "strong_wolfe", "max_eval": 3},
    "tensor rate": {"lr": torch.tensor(0.1, dtype=torch.float64), "tolerance_change": 1e-3},
}
configs = pytest.mark.parametrize("config", CONFIGS)
SHAPES = [(4,), (3, 2), (), (2, 0)]


def rosenbrock(params):
    """Curved enough for every branch of the line search."""
    real = [torch.view_as_real(param) if param.is_complex() else param for param in params]
    x = torch.cat([param.reshape(-1) for param in real]).double()
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def start(optimizer_class, dtype, **options):
    params = [random(shape, dtype, seed) for seed, shape in enumerate(SHAPES)]
    params.append(random((3, 2), dtype, 9).t())
    params = [param.requires_grad_() for param in params]
    optimizer = optimizer_class(params, **options)
    calls = []

    def closure():
        optimizer.zero_grad()
        loss = rosenbrock(params)
        loss.backward()
        # torch refuses to flatten any other gradient
        for param in params:
            param.grad = param.grad.contiguous()
        calls.append(loss.item())
        return loss

    return params, optimizer, closure, calls


def assert_same(ours, theirs, rtol):
    assert isinstance(ours, torch.Tensor) == isinstance(theirs, torch.Tensor)
    if isinstance(theirs, list):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            assert_same(a, b, rtol)
    elif isinstance(theirs, torch.Tensor):
        torch.testing.assert_close(ours, theirs, rtol=rtol, atol=rtol * theirs.abs().max().item())
    else:
        assert ours is theirs or ours == pytest.approx(theirs, rel=rtol)


@configs
@pytest.mark.parametrize(
    ("dtype", "rtol"), [(torch.float64, 1e-9), (torch.complex128, 1e-9), (torch.float32, 2e-3)], ids=str
)
def test_follows_torch(config, dtype, rtol):
    mine, ours, our_closure, our_calls = start(fused.LBFGS, dtype, **CONFIGS[config])
    other, theirs, their_closure, their_calls = start(torch.optim.LBFGS, dtype, **CONFIGS[config])
    for _ in range(2):
        torch.testing.assert_close(ours.step(our_closure), theirs.step(their_closure), rtol=rtol, atol=0)
        assert len(our_calls) == len(their_calls)
        for a, b in zip(mine, other, strict=True):
            torch.testing.assert_close(a, b, rtol=rtol, atol=rtol)
    state, expected = ours.state[mine[0]], theirs.state[other[0]]
    assert list(state) == list(expected)
    # torch keeps a rate that is a tensor as it is, and cuts it to the parameter's dtype when it loads a checkpoint
    if config == "tensor rate":
        assert isinstance(state["t"], float)
        state, expected = state | {"t": state["t"]}, expected | {"t": expected["t"].item()}
    for name, value in expected.items():
        # multiples of late vectors hang on differences of nearly equal numbers
        assert_same(state[name], value, rtol if name != "al" else 100 * rtol)
    assert ours.backend == "numba"


@pytest.mark.parametrize(
    ("dtype", "iterations"), [(torch.float32, 20), (torch.bfloat16, 20), (torch.float16, 6)], ids=str
)
def test_narrow_dtypes_reach_the_minimum(dtype, iterations):
    """In float16, 1/(y.s) overflows near the minimum, here as in torch."""
    weight = random((50,), dtype).requires_grad_()
    scales = torch.linspace(1, 4, 50).to(dtype)
    optimizer = fused.LBFGS([weight], lr=0.5, max_iter=iterations, tolerance_change=0.0)

    def closure():
        weight.grad = scales * weight.detach()
        return (0.5 * scales * weight.detach() ** 2).sum()

    begin = closure().item()
    optimizer.step(closure)
    assert closure().item() < 1e-2 * begin


@pytest.mark.parametrize("length", [5, (1 << 15) + 1, 100_000])
def test_recursion_is_the_inverse_hessian_of_the_textbook(length):
    """H = (I - ro*s*y')*H*(I - ro*y*s') + ro*s*s', applied as written to a vector."""
    grad = random((length,))
    pairs = [(random((length,), seed=1 + k), random((length,), seed=10 + k)) for k in range(3)]
    pairs = [(y, y + 0.1 * s) for y, s in pairs]
    ro = [1.0 / y.dot(s) for y, s in pairs]
    h_diag = torch.tensor(0.7, dtype=torch.float64)

    def apply(vector, known):
        if not known:
            return h_diag * vector
        (y, s), r = known[-1], ro[len(known) - 1]
        inner = apply(vector - r * s.dot(vector) * y, known[:-1])
        return inner - r * y.dot(inner) * s + r * s.dot(vector) * s

    al = list(torch.empty(3, dtype=torch.float64).unbind())
    history = vectors.History([y for y, _ in pairs], [s for _, s in pairs], ro, al, h_diag)
    direction, slope = vectors.recur(grad, history)
    torch.testing.assert_close(direction, -apply(grad, pairs), rtol=1e-11, atol=1e-12)
    assert slope.item() == pytest.approx(grad.dot(direction).item(), rel=1e-12)


def test_the_host_waits_for_nothing_inside_the_recursion(monkeypatch):
    history = vectors.History([torch.ones(5)], [torch.ones(5)], [torch.ones(())], [torch.ones(())], torch.ones(()))
    read = []
    for name in ("item", "__float__", "__bool__", "__int__", "tolist", "numpy"):
        monkeypatch.setattr(torch.Tensor, name, lambda *_, name=name: read.append(name))
    vectors.recur(torch.ones(5), history)
    assert read == []


def test_result_does_not_depend_on_threads():
    results, threads = [], torch.get_num_threads()
    grad, previous, direction = (random((200_000,), torch.float32, seed) for seed in range(3))
    for used in (1, 2):
        torch.set_num_threads(used)
        try:
            change, move, sums = vectors.remember(grad, previous.clone(), direction, 0.3)
            al = [torch.empty(()), torch.empty(())]
            history = vectors.History([change, grad], [move, previous], [torch.tensor(1e-3)] * 2, al, torch.tensor(0.5))
            results.append([change, move, sums, *vectors.recur(grad, history)])
        finally:
            torch.set_num_threads(threads)
    assert all(map(torch.equal, *results))


def test_a_checkpoint_moves_from_torch_and_back():
    other, theirs, their_closure, _ = start(torch.optim.LBFGS, torch.float64, **CONFIGS["wolfe"])
    theirs.step(their_closure)
    mine, ours, our_closure, _ = start(fused.LBFGS, torch.float64, **CONFIGS["wolfe"])
    with torch.no_grad():
        for a, b in zip(mine, other, strict=True):
            a.copy_(b)
    ours.load_state_dict(theirs.state_dict())
    ours.step(our_closure)
    theirs.step(their_closure)
    again = torch.optim.LBFGS(mine, **CONFIGS["wolfe"])
    again.load_state_dict(copy.deepcopy(ours.state_dict()))
    again.step(our_closure)
    theirs.step(their_closure)
    for a, b in zip(mine, other, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-8)


def test_missing_and_sparse_gradients():
    params = [torch.ones(2, 2, requires_grad=True), torch.ones(3, requires_grad=True)]
    optimizer = fused.LBFGS(params, lr=0.1, max_iter=1)

    def closure():
        params[0].grad = torch.eye(2).to_sparse()
        return torch.tensor(1.0)

    optimizer.step(closure)
    assert torch.equal(params[1].detach(), torch.ones(3))
    torch.testing.assert_close(params[0].detach(), 1 - 0.05 * torch.eye(2))


def test_refusals_and_early_ends():
    weight = torch.ones(3, requires_grad=True)
    optimizer = fused.LBFGS([weight])
    optimizer.param_groups[0]["line_search_fn"] = "armijo"

    def closure(factor=1.0):
        weight.grad = factor * weight.detach()
        return 0.5 * factor * (weight.detach() ** 2).sum()

    with pytest.raises(RuntimeError, match="only 'strong_wolfe' is supported, got 'armijo'"):
        optimizer.step(closure)
    optimizer = fused.LBFGS([weight])
    assert optimizer.step(lambda: closure(1e-9)).item() > 0
    assert optimizer.state[weight] == {"func_evals": 1, "n_iter": 0}


def line(function, slope):
    return lambda t: Point(t, function(t), torch.zeros(1), slope(t))


@pytest.mark.parametrize("t", [1e-3, 0.3, 1.0, 40.0])
def test_the_line_search_ends_where_both_conditions_hold(t):
    evaluate = line(lambda t: -t / (t**2 + 2), lambda t: (t**2 - 2) / (t**2 + 2) ** 2)
    begin = evaluate(0.0)
    point, count = strong_wolfe(evaluate, begin, t, 1.0, 25)
    assert point.loss <= begin.loss + 1e-4 * point.t * begin.slope
    assert abs(point.slope) <= 0.9 * abs(begin.slope)
    assert 1 <= count <= 26


def test_a_cubic_is_minimized_exactly():
    first, second = (line(lambda t: t**3 - 3 * t, lambda t: 3 * t**2 - 3)(t) for t in (0.2, 2.0))
    assert _cubic_minimum(first, second) == pytest.approx(1.0, rel=1e-12)
    assert _cubic_minimum(second, first) == pytest.approx(1.0, rel=1e-12)
    assert _cubic_minimum(first, second, (1.5, 3.0)) == 1.5
    lost = Point(1.0, math.nan, torch.zeros(1), math.nan)
    assert _cubic_minimum(Point(0.0, 0.0, torch.zeros(1), -1.0), lost) == 0.5


def test_without_elements_a_step_is_one_call_of_the_closure():
    params = [torch.zeros(0, requires_grad=True), torch.zeros(2, 0, requires_grad=True)]
    optimizer = fused.LBFGS(params, line_search_fn="strong_wolfe", tolerance_grad=-1.0)
    calls = []

    def closure():
        for param in params:
            param.grad = torch.zeros_like(param)
        calls.append(1)
        return torch.tensor(2.0)

    assert optimizer.step(closure).item() == 2.0 and len(calls) == 1
    assert optimizer.state[params[0]] == {"func_evals": 1, "n_iter": 0}
