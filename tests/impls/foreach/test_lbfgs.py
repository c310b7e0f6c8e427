"""Foreach LBFGS takes torch's steps: the same closures, losses and state, and parameters laid out in any way."""

import copy
import pickle

import pytest
import torch
from optbench.impls import foreach

from .twins import assert_same, flat, normal, parameters

SEARCH = {"line_search_fn": "strong_wolfe"}
CONFIGS = [
    {},
    {"lr": 1e-3, "history_size": 2},
    {"lr": 0.01, "max_iter": 1},
    {"max_eval": 3},
    {"max_iter": 0},
    {"lr": torch.tensor([0.01], dtype=torch.float64)},
    {"tolerance_grad": 1e9},
    {"tolerance_change": 10.0},
    SEARCH,
    SEARCH | {"history_size": 3, "max_iter": 7, "max_eval": 9},
    SEARCH | {"lr": 3.0, "max_eval": 4},
    SEARCH | {"lr": torch.tensor(0.3, dtype=torch.float64)},
    SEARCH | {"max_eval": 1},
    SEARCH | {"tolerance_change": 1e-2},
    SEARCH | {"tolerance_grad": 1e-2, "max_iter": 40},
]
# a matrix, complex numbers, a number, one without a gradient, and one without elements
VALUES = [
    normal(3, 2),
    normal(2, dtype=torch.complex128),
    normal(),
    torch.ones(2, dtype=torch.float64),
    torch.empty(0, 3, dtype=torch.float64),
]


def valley(params):
    """Rosenbrock's function of all numbers but those of the fourth parameter."""
    used = params[:3] + params[4:]
    x = torch.cat([(torch.view_as_real(p) if p.is_complex() else p).reshape(-1) for p in used])
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def train(optimizer, steps=3, loss=valley):
    """Losses that the closure saw, and those that the steps returned."""
    seen = []

    def closure():
        optimizer.zero_grad()
        value = loss(flat(optimizer))
        value.backward()
        seen.append(value.item())
        return value

    return seen, [optimizer.step(closure).item() for _ in range(steps)]


def make(module, values=VALUES, **options):
    return module.LBFGS(parameters(values), **options)


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("seed", [0, 1])
def test_steps_are_torchs(config, seed):
    values = [value + 0.5 * normal(*value.shape, dtype=value.dtype, seed=seed) for value in VALUES]
    ours, theirs = (make(module, values, **config) for module in (foreach, torch.optim))
    (seen, returned), (expected_seen, expected_returned) = train(ours), train(theirs)
    # the two round alike; a hundred evaluations in the valley let nothing else pass
    assert len(seen) == len(expected_seen)
    torch.testing.assert_close(torch.tensor(seen), torch.tensor(expected_seen), rtol=1e-9, atol=1e-12, equal_nan=True)
    torch.testing.assert_close(returned, expected_returned, rtol=1e-9, atol=1e-12, equal_nan=True)
    assert_same(ours, theirs, 1e-7, 1e-9)


@pytest.mark.parametrize("config", [{"lr": 1e-3}, SEARCH])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dtypes(config, dtype):
    values = [normal(3, 2, dtype=dtype), normal(4, dtype=dtype)]

    def bowl(params):
        return sum((scale * (p.float() - 1) ** 2).sum() for scale, p in zip((1.0, 3.0), params, strict=True))

    ours, theirs = (make(module, values, **config) for module in (foreach, torch.optim))
    assert train(ours, loss=bowl) == train(theirs, loss=bowl)
    assert_same(ours, theirs, 1e-6, 1e-6)


@pytest.mark.parametrize("config", [{}, SEARCH])
def test_the_first_step_from_a_small_gradient(config):
    # the sum of its magnitudes is below 1: the step is no longer than lr all the same
    def shallow(params):
        return 1e-6 * valley(params)

    ours, theirs = (make(module, **config) for module in (foreach, torch.optim))
    assert train(ours, 1, shallow) == train(theirs, 1, shallow)
    assert not torch.equal(flat(ours)[0], VALUES[0])
    assert_same(ours, theirs)


def test_it_finds_the_minimum():
    optimizer = make(foreach, **SEARCH, tolerance_change=1e-14, tolerance_grad=1e-12)
    seen, _ = train(optimizer, steps=6)
    assert seen[-1] < 1e-15
    torch.testing.assert_close(flat(optimizer)[0].detach(), torch.ones(3, 2, dtype=torch.float64), rtol=0, atol=1e-6)


@pytest.mark.parametrize("config", [{"lr": 1e-3}, SEARCH])
def test_layouts(config):
    base, pairs = normal(8, 12), normal(4, dtype=torch.complex128)
    lazy = normal(4, dtype=torch.complex128, seed=3).conj().imag
    assert lazy.is_neg()
    values = [base[::2, 1::3], normal(4, 3).t(), pairs.conj(), lazy]
    before, touched = base.clone(), torch.zeros(8, 12, dtype=torch.bool)
    touched[::2, 1::3] = True
    plain = [value.detach().clone().resolve_conj().resolve_neg().contiguous() for value in values]

    def bowl(params):
        # the gradient of the first is not contiguous, which torch refuses; that of the third is a lazy conjugate
        first = (params[0].t().contiguous() ** 2).sum()
        return first + sum((scale * p * p.conj()).real.sum() for scale, p in zip((2, 3, 4), params[1:], strict=True))

    params = [torch.nn.Parameter(value) for value in values]
    assert params[2].is_conj() and params[3].is_neg()
    ours, expected = foreach.LBFGS(params, **config), make(foreach, plain, **config)
    seen, expected_seen = train(ours, loss=bowl)[0], train(expected, loss=bowl)[0]
    assert seen == pytest.approx(expected_seen, rel=1e-9)
    for param, other in zip(params, flat(expected), strict=True):
        torch.testing.assert_close(param.detach().resolve_conj().resolve_neg(), other.detach())
    assert torch.equal(base != before, touched)


def test_gradients_that_are_not_contiguous_or_are_sparse():
    values = [normal(4, 3), normal(6, 2)]
    scale = normal(3, 4)

    def closure(optimizer, *, odd):
        def evaluate():
            first, second = flat(optimizer)
            grads = [((scale.t() * first.detach()).t().contiguous()).t(), second.detach().clone()]
            first.grad, second.grad = (grads[0], grads[1].to_sparse()) if odd else [grad.contiguous() for grad in grads]
            return (first.detach() ** 2).sum() + (second.detach() ** 2).sum()

        return evaluate

    odd, even = make(foreach, values, lr=0.01), make(torch.optim, values, lr=0.01)
    odd.step(closure(odd, odd=True))
    even.step(closure(even, odd=False))
    assert not flat(odd)[0].grad.is_contiguous()
    assert_same(odd, even)


def test_parameters_of_two_dtypes():
    values = [normal(3).float(), normal(4)]

    def bowl(params):
        return ((params[0] - 1) ** 2).sum() + (params[1] ** 2).sum()

    ours, theirs = (make(module, values, **SEARCH) for module in (foreach, torch.optim))
    assert train(ours, loss=bowl) == train(theirs, loss=bowl)
    assert_same(ours, theirs)


def test_at_a_minimum_only_the_counts_are_kept():
    optimizer = make(foreach, [torch.ones(3, 2), torch.ones(2, dtype=torch.complex64), torch.ones(()), torch.ones(2)])
    train(optimizer, 1, loss=lambda params: sum(((p.abs() - p.detach().abs()) ** 2).sum() for p in params))
    assert dict(optimizer.state[flat(optimizer)[0]]) == {"func_evals": 1, "n_iter": 0}


def test_no_elements_at_all():
    optimizer = make(foreach, [torch.empty(0), torch.empty(2, 0)])
    assert train(optimizer, 2, loss=lambda params: sum(p.sum() for p in params))[1] == [0.0, 0.0]


@pytest.mark.parametrize("config", [{}, SEARCH])
def test_a_rate_of_zero_stands_still(config):
    optimizer = make(foreach, lr=0.0, **config)
    train(optimizer)
    assert all(torch.equal(param, value) for param, value in zip(flat(optimizer), VALUES, strict=True))


def test_a_budget_that_is_spent_at_the_start_leaves_one_trial():
    # torch fails there: its bracket is never made
    optimizer = make(foreach, **SEARCH, max_eval=0)
    seen, _ = train(optimizer, 1)
    assert len(seen) == optimizer.state[flat(optimizer)[0]]["func_evals"] == 2


def test_a_tensor_rate_is_not_part_of_the_state():
    rate = torch.tensor([0.01])
    optimizer = make(foreach, lr=rate)
    train(optimizer, 1)
    kept = optimizer.state[flat(optimizer)[0]]["t"]
    rate.fill_(7.0)
    assert kept == torch.tensor(0.01) and optimizer.param_groups[0]["lr"] is rate


def test_the_search_moves_from_one_place():
    """Coming back by subtraction would leave a rounding at each trial."""
    optimizer = make(foreach, [torch.full((3,), 1e8, dtype=torch.float64)], **SEARCH, lr=1e-3, max_iter=1, max_eval=25)
    (param,) = flat(optimizer)
    train(optimizer, 1, loss=lambda params: ((params[0] - 1e8 - 0.3) ** 2).sum())
    state = optimizer.state[param]
    assert state["func_evals"] > 2
    assert torch.equal(param.detach(), torch.full((3,), 1e8, dtype=torch.float64).add(state["d"], alpha=state["t"]))


@pytest.mark.parametrize("size", [0, 1])
def test_a_shorter_history(size):
    optimizer = make(foreach, lr=1e-3)
    train(optimizer, 1)
    optimizer.param_groups[0]["history_size"] = size
    seen, _ = train(optimizer, 1)
    state = optimizer.state[flat(optimizer)[0]]
    assert [len(state[key]) for key in ("old_dirs", "old_stps", "ro")] == [size] * 3
    assert seen[-1] < seen[0]


def test_a_longer_history():
    optimizer = make(foreach, lr=1e-3, history_size=2)
    train(optimizer, 1)
    optimizer.param_groups[0]["history_size"] = 5
    train(optimizer, 1)
    assert len(optimizer.state[flat(optimizer)[0]]["ro"]) == 5


@pytest.mark.parametrize("config", [{"lr": 1e-3}, SEARCH | {"max_iter": 3}])
def test_checkpoints_go_both_ways(config):
    for first, second in ((torch.optim, foreach), (foreach, torch.optim), (foreach, foreach)):
        begun = make(first, **config)
        train(begun, 2)
        resumed = make(second, [param.detach() for param in flat(begun)], **config)
        resumed.load_state_dict(copy.deepcopy(begun.state_dict()))
        seen, expected = train(resumed, 2), train(begun, 2)
        assert seen == (pytest.approx(expected[0], rel=1e-9), pytest.approx(expected[1], rel=1e-9))
        assert_same(resumed, begun, 1e-7, 1e-9)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_copies_go_on_alone(duplicate):
    original = make(foreach, **SEARCH, max_iter=3)
    train(original, 2)
    twin = duplicate(original)
    before = [param.detach().clone() for param in flat(original)]
    seen, _ = train(twin, 2)
    assert all(torch.equal(param, value) for param, value in zip(flat(original), before, strict=True))
    assert train(original, 2)[0] == seen


def test_hooks_versions_and_gradients():
    optimizer = make(foreach, **SEARCH)
    calls = []
    optimizer.register_step_pre_hook(lambda *_: calls.append("pre"))
    optimizer.register_step_post_hook(lambda *_: calls.append("post"))
    versions = [param._version for param in flat(optimizer)]
    grads = [torch.ones_like(param) for param in flat(optimizer)]
    losses = iter(range(100, 0, -1))

    def closure():
        for param, grad in zip(flat(optimizer), grads, strict=True):
            param.grad = grad
        return next(losses)

    assert optimizer.step(closure) == 100
    assert calls == ["pre", "post"] and next(losses) < 97
    assert all(param._version > version for param, version in zip(flat(optimizer), versions, strict=True))
    assert all(grad._version == 0 for grad in grads)


def test_another_line_search_is_refused():
    with pytest.raises(ValueError, match=r"only 'strong_wolfe' is supported .* 'armijo'"):
        make(foreach, line_search_fn="armijo")
    optimizer = make(foreach)
    optimizer.param_groups[0]["line_search_fn"] = "armijo"
    with pytest.raises(RuntimeError, match=r"only 'strong_wolfe' is supported, or None, got 'armijo'"):
        train(optimizer)
