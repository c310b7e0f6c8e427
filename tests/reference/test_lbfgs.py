"""L-BFGS against the matrix that its pairs stand for, and against torch's trajectory, bit by bit."""

import copy
import math

import pytest
import torch
from optbench.reference.lbfgs import Trial, direction, flat, strong_wolfe, too_high

from optbench import reference
from tests.recurrences.lbfgs import bfgs_direction
from tests.reference.twins import assert_refused, assert_signature_and_groups

SHAPES = [(2, 3), (4,), ()]


def rosenbrock(x):
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def quartic(x):
    return (x**4).sum() + (x.sum() - 1) ** 2


def wavy(x):
    return torch.sin(5 * x).sum() + 0.1 * (x**2).sum() + torch.cos(3 * x.prod())


def parameters(seed, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    values = [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in SHAPES]
    return [value.requires_grad_() for value in values]


def minimize(optimizer, function, steps):
    """The losses of all evaluations."""
    params = optimizer.param_groups[0]["params"]
    losses = []

    def closure():
        assert torch.is_grad_enabled()
        optimizer.zero_grad()
        loss = function(torch.cat([param.reshape(-1) for param in params]))
        loss.backward()
        losses.append(loss.item())
        return loss

    for _ in range(steps):
        first = len(losses)
        returned = optimizer.step(closure)
        assert returned.item() == losses[first] or math.isnan(losses[first])
    return losses


def assert_same(ours, theirs):
    """Parameters and state, with its types, to the last bit; NaN equals NaN."""
    params, their_params = (optimizer.param_groups[0]["params"] for optimizer in (ours, theirs))
    for param, their_param in zip(params, their_params, strict=True):
        torch.testing.assert_close(param, their_param, rtol=0, atol=0, equal_nan=True)
    assert list(ours.state) == [params[0]]
    state, their_state = ours.state[params[0]], theirs.state[their_params[0]]
    assert set(state) == set(their_state)
    for key, value in state.items():
        assert type(value) is type(their_state[key]), key
        flat, their_flat = (entry if isinstance(entry, list) else [entry] for entry in (value, their_state[key]))
        assert [entry is None for entry in flat] == [entry is None for entry in their_flat]
        pairs = [pair for pair in zip(flat, their_flat, strict=True) if pair[0] is not None]
        for entry, their_entry in pairs:
            torch.testing.assert_close(entry, their_entry, rtol=0, atol=0, equal_nan=True)


OPTIONS = {
    "plain": {},
    "short history": {"lr": 1e-2, "history_size": 2, "max_iter": 5},
    "tolerant": {"lr": 1e-2, "tolerance_grad": 1.0, "tolerance_change": 1e-3},
    "strong Wolfe": {"line_search_fn": "strong_wolfe"},
    "strong Wolfe, short": {"line_search_fn": "strong_wolfe", "history_size": 3, "lr": 0.3, "max_iter": 7},
    "strong Wolfe, long": {"line_search_fn": "strong_wolfe", "lr": 10.0},
    "strong Wolfe, tiny": {"line_search_fn": "strong_wolfe", "lr": 1e-3, "max_iter": 30},
    "few evaluations": {"line_search_fn": "strong_wolfe", "max_eval": 4},
    "one evaluation": {"line_search_fn": "strong_wolfe", "max_iter": 1},
    "tolerant of gradients": {"line_search_fn": "strong_wolfe", "tolerance_grad": 1.0, "tolerance_change": 0.0},
    "tolerant strong Wolfe": {"line_search_fn": "strong_wolfe", "tolerance_change": 1e-2},
}


@pytest.mark.parametrize(
    ("function", "dtype"),
    [(rosenbrock, torch.float64), (quartic, torch.float32), (wavy, torch.float64), (wavy, torch.float32)],
)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_it_takes_torchs_way(function, options, dtype):
    ours, theirs = (module.LBFGS(parameters(1, dtype), **options) for module in (reference, torch.optim))
    losses = minimize(ours, function, 2)
    assert str(losses) == str(minimize(theirs, function, 2))
    assert ours.state[ours.param_groups[0]["params"][0]]["func_evals"] == len(losses)
    assert_same(ours, theirs)


@pytest.mark.parametrize("line_search_fn", [None, "strong_wolfe"])
@pytest.mark.parametrize("after", [0, 1, 4])
def test_a_loss_of_nan_ends_as_in_torch(line_search_fn, after):
    def broken(count):
        calls = iter(range(1000))
        return lambda x: rosenbrock(x) * (1.0 if next(calls) < count else math.nan)

    ours, theirs = (
        module.LBFGS(parameters(1), line_search_fn=line_search_fn) for module in (reference, torch.optim)
    )
    assert str(minimize(ours, broken(after), 2)) == str(minimize(theirs, broken(after), 2))
    assert_same(ours, theirs)


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_the_two_loops_multiply_by_the_matrix_of_bfgs(count):
    generator = torch.Generator().manual_seed(count)

    def draw():
        return torch.randn(6, generator=generator, dtype=torch.float64)

    grad, pairs = draw(), []
    while len(pairs) < count:
        s, y = draw(), draw()
        pairs += [(s, y)] if y.dot(s) > 0.1 else []
    changes, steps = [y for _, y in pairs], [s for s, _ in pairs]
    kept = grad.clone()
    found, _ = direction(grad, changes, steps, [1 / y.dot(s) for s, y in pairs], 0.3)
    expected = bfgs_direction(grad.tolist(), [(s.tolist(), y.tolist()) for s, y in pairs], 0.3)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-11, atol=1e-12)
    assert torch.equal(grad, kept)


@pytest.mark.parametrize("seed", range(20))
def test_a_line_search_ends_where_both_conditions_hold(seed):
    """Along a random line through a polynomial that grows without bound."""
    generator = torch.Generator().manual_seed(seed)
    a, b, c = torch.randn(3, generator=generator, dtype=torch.float64).tolist()
    evaluated = []

    def evaluate(t):
        t = torch.as_tensor(t, dtype=torch.float64)
        slope = 4 * t**3 + 3 * a * t**2 + 2 * b * t - abs(c) - 0.1
        loss = t**4 + a * t**3 + b * t**2 - (abs(c) + 0.1) * t
        evaluated.append(t)
        return Trial(t, loss.item(), slope[None], slope)

    start = evaluate(0.0)._replace(t=0)
    for length in (1e-3, 1.0, 30.0):
        evaluated.clear()
        trial, made = strong_wolfe(evaluate, start, length, torch.tensor(1.0), 25)
        assert made == len(evaluated)
        assert trial.loss <= start.loss + 1e-4 * trial.t * start.slope
        assert abs(trial.slope) <= -0.9 * start.slope


def test_the_conditions_have_the_books_constants():
    start = Trial(0, 1.0, torch.tensor([-2.0]), torch.tensor(-2.0))
    for loss, slope, expected in ((0.9999, 1.81, (True, False)), (0.9997, 1.79, (False, True))):
        trial = Trial(1.0, loss, torch.tensor([slope]), torch.tensor(slope))
        assert (too_high(trial, start), flat(trial, start)) == expected


@pytest.mark.parametrize(("size", "length"), [(4.0, 0.5 / 8), (0.125, 0.5)])
def test_the_first_step_is_short(size, length):
    """min(1, 1/|g|_1)*lr times the gradient, which has two elements of this size."""
    param = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    minimize(reference.LBFGS([param], lr=0.5, max_iter=1), lambda x: size * x.sum(), 1)
    assert param.tolist() == [-length * size] * 2


def test_the_history_of_a_quadratic_makes_newtons_step():
    """With exact line search in n dimensions, n pairs give the inverse of the matrix; here one dimension, one pair."""
    param = torch.tensor([5.0], dtype=torch.float64, requires_grad=True)
    optimizer = reference.LBFGS([param], lr=0.5, max_iter=1)
    minimize(optimizer, lambda x: 3 * (x - 2).square().sum(), 1)
    optimizer.param_groups[0]["lr"] = 1.0
    minimize(optimizer, lambda x: 3 * (x - 2).square().sum(), 1)
    assert param.item() == pytest.approx(2.0, rel=1e-15)


@pytest.mark.parametrize(("source", "target"), [(reference, torch.optim), (torch.optim, reference)])
@pytest.mark.parametrize("options", [OPTIONS["strong Wolfe, short"], OPTIONS["short history"]])
def test_a_checkpoint_goes_on_in_torch_and_from_torch(source, target, options):
    first = source.LBFGS(parameters(3), **options)
    minimize(first, rosenbrock, 2)
    params = [param.detach().clone().requires_grad_() for param in first.param_groups[0]["params"]]
    second = target.LBFGS(params, lr=0.5)
    saved = first.state_dict()
    before = copy.deepcopy(saved)
    second.load_state_dict(saved if target is reference else copy.deepcopy(saved))
    losses = minimize(second, rosenbrock, 2)
    # The loaded lists were not the saved ones.
    torch.testing.assert_close(saved["state"][0]["old_dirs"], before["state"][0]["old_dirs"], rtol=0, atol=0)
    assert set(second.param_groups[0]) == set(first.param_groups[0])
    assert losses == minimize(first, rosenbrock, 2)
    assert_same(second, first)


def test_a_copy_goes_on_by_itself():
    original = reference.LBFGS(parameters(4), line_search_fn="strong_wolfe", max_iter=6)
    minimize(original, rosenbrock, 2)
    copied = copy.deepcopy(original)
    assert minimize(copied, rosenbrock, 2) == minimize(original, rosenbrock, 2)
    assert_same(copied, original)


def test_a_lowered_history_size_forgets():
    optimizer = reference.LBFGS(parameters(5), line_search_fn="strong_wolfe")
    minimize(optimizer, rosenbrock, 1)
    (state,) = optimizer.state.values()
    assert len(state["old_dirs"]) > 3
    for size in (3, 0):
        optimizer.param_groups[0]["history_size"] = size
        minimize(optimizer, rosenbrock, 1)
        assert [len(state[key]) for key in ("old_dirs", "old_stps", "ro", "al")] == [size] * 4


def complex_loss(x):
    return ((x - (1 + 2j)).abs() ** 2).sum() + (x.real**4).sum()


def test_a_complex_parameter_is_pairs_as_in_torch():
    def run(module, dtypes):
        params = [value.detach().to(dtype).requires_grad_() for value, dtype in zip(parameters(6), dtypes, strict=True)]
        optimizer = module.LBFGS(params, line_search_fn="strong_wolfe", max_iter=5)
        return optimizer, minimize(optimizer, complex_loss, 2)

    for dtypes in ([torch.complex128] * 3, [torch.float64, torch.complex128, torch.complex128]):
        (ours, losses), (theirs, their_losses) = (run(module, dtypes) for module in (reference, torch.optim))
        assert losses == their_losses
        assert_same(ours, theirs)


def test_a_conjugate_parameter_is_written():
    value = torch.full((3,), 2 - 1j, dtype=torch.complex128)
    param = value.conj().requires_grad_()
    assert param.is_conj()
    optimizer = reference.LBFGS([param], line_search_fn="strong_wolfe")
    minimize(optimizer, lambda x: ((x - (1 + 2j)).abs() ** 2).sum(), 1)
    torch.testing.assert_close(value, torch.full_like(value, 1 - 2j))


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
def test_gradients_may_be_missing_sparse_or_strided():
    def run(grads):
        params = [torch.ones(2, 3, dtype=torch.float64) for _ in grads]
        optimizer = reference.LBFGS(params, lr=0.25, max_iter=3)

        def closure():
            for param, grad in zip(params, grads, strict=True):
                param.grad = grad
            return sum(param.sum() for param in params)

        for _ in range(2):
            optimizer.step(closure)
        return params

    values = torch.arange(6.0, dtype=torch.float64).reshape(2, 3) + 1
    dense = run([values, values, torch.zeros_like(values), values[:1].expand(2, 3).contiguous()])
    others = run([values.to_sparse(), values.t().contiguous().t(), None, values[:1].expand(2, 3)])
    for param, other in zip(dense, others, strict=True):
        assert torch.equal(param, other)
    assert torch.equal(dense[2], torch.ones_like(values))


def test_strided_parameters_are_moved_in_place():
    base = torch.zeros(8, 10, dtype=torch.float64)
    param = base[1:7:2, 2:9:3].requires_grad_()
    version = base._version
    optimizer = reference.LBFGS([param], line_search_fn="strong_wolfe")
    minimize(optimizer, lambda x: (x - 1).square().sum(), 1)
    assert base.sum().item() == pytest.approx(9.0)
    assert base._version > version


def test_nothing_to_move_is_no_error():
    optimizer = reference.LBFGS([torch.zeros(0, requires_grad=True)])
    assert optimizer.step(lambda: torch.tensor(2.0)).item() == 2.0


def test_a_gradient_below_tolerance_stops_at_once():
    param = torch.ones(2, requires_grad=True)
    optimizer = reference.LBFGS([param], tolerance_grad=10.0)
    minimize(optimizer, quartic, 1)
    assert dict(optimizer.state[param]) == {"func_evals": 1, "n_iter": 0}
    assert torch.equal(param, torch.ones(2))


def test_a_tensor_rate_is_a_number():
    options = {"line_search_fn": "strong_wolfe", "max_iter": 6}
    number, tensor = (reference.LBFGS(parameters(7), lr=lr, **options) for lr in (0.5, torch.tensor([0.5])))
    assert minimize(number, rosenbrock, 2) == minimize(tensor, rosenbrock, 2)


def test_signature_and_groups_are_torchs():
    assert_signature_and_groups("LBFGS", torch.zeros(2), {"lr": torch.tensor([0.5]), "max_iter": 7})


@pytest.mark.parametrize(
    ("options", "text"), [({"lr": -0.25}, "-0.25"), ({"lr": math.nan}, "nan"), ({"lr": torch.ones(2)}, "(2,)")]
)
def test_refuses_what_torch_refuses(options, text):
    assert_refused("LBFGS", [torch.zeros(2)], options, text)


def test_there_is_one_group():
    assert_refused("LBFGS", [{"params": [torch.zeros(2)]}, {"params": [torch.zeros(2)]}], {}, "one group")
    optimizer = reference.LBFGS([torch.zeros(2)])
    with pytest.raises(ValueError, match="one group"):
        optimizer.add_param_group({"params": [torch.zeros(2)]})


def test_what_no_step_could_take_is_refused_at_once():
    for options, text in (({"line_search_fn": "weak_wolfe"}, "'weak_wolfe'"), ({"history_size": 0}, "least 1: 0")):
        with pytest.raises(ValueError, match=text):
            reference.LBFGS(parameters(8), **options)


def test_an_unknown_line_search_and_a_missing_closure_are_refused_at_the_step():
    for module in (torch.optim, reference):
        optimizer = module.LBFGS(parameters(8))
        optimizer.param_groups[0]["line_search_fn"] = "weak_wolfe"
        with pytest.raises(RuntimeError, match="only 'strong_wolfe' is supported"):
            minimize(optimizer, quartic, 1)
        with pytest.raises(TypeError):
            module.LBFGS(parameters(8)).step()
        with pytest.raises(TypeError):
            module.LBFGS(parameters(8)).step(None)
