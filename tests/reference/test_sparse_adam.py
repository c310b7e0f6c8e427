"""SparseAdam against its recurrence, element by element, and against torch's."""

import copy
import inspect
import math
from decimal import Decimal, localcontext

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from optbench import reference
from tests.recurrences.sparse_adam import sparse_adam

EPS = torch.finfo(torch.float64).eps
# (shape of the parameter, how many of its dimensions are sparse): rows, single numbers, several sparse dimensions.
SHAPES = [((6, 3), 1), ((7,), 1), ((3, 4), 2), ((3, 2, 2), 2), ((4, 2, 2), 1)]


def sparse(shape, sparse_dims, generator, *, rows=4, dtype=torch.float64):
    """A gradient of `rows` rows at random places, which may coincide."""
    sizes = shape[:sparse_dims]
    indices = torch.stack([torch.randint(size, (rows,), generator=generator) for size in sizes])
    values = torch.randn((rows, *shape[sparse_dims:]), generator=generator, dtype=torch.float64).to(dtype)
    values[0] = 0.0
    return torch.sparse_coo_tensor(indices, values, shape, check_invariants=False)


def touched(grad):
    """Which elements a gradient holds, in full shape."""
    ones = torch.ones_like(grad._values())
    return torch.sparse_coo_tensor(grad._indices(), ones, grad.shape, check_invariants=False).to_dense() > 0


options = st.fixed_dictionaries(
    {
        "lr": st.sampled_from([1e-3, 0.1, 3.0]),
        "betas": st.sampled_from([(0.9, 0.999), (0.5, 0.7), (0.0, 0.999), (0.9, 0.0), (0.999, 0.9)]),
        "eps": st.sampled_from([1e-8, 1e-3, 1.0]),
        "maximize": st.booleans(),
    }
)
thorough = settings(max_examples=30, deadline=None, derandomize=True, database=None)


@thorough
@given(options, st.sampled_from(SHAPES), st.booleans(), st.integers(0, 2**31))
def test_sparse_adam_is_its_recurrence(options, shape, tensor_lr, seed):
    generator = torch.Generator().manual_seed(seed)
    param = torch.randn(shape[0], generator=generator, dtype=torch.float64)
    lr = torch.tensor([options["lr"]], dtype=torch.float64) if tensor_lr else options["lr"]
    optimizer = reference.SparseAdam([param], **options | {"lr": lr})
    numbers = {"lr": options["lr"], "eps": options["eps"], "beta1": options["betas"][0], "beta2": options["betas"][1]}
    numbers = {name: Decimal(value) for name, value in numbers.items()} | {"maximize": options["maximize"]}
    state = [torch.zeros_like(param), torch.zeros_like(param)]
    for t in (1, 2, 3):
        param.grad = sparse(*shape, generator)
        before = param.clone()
        optimizer.step()
        after = [optimizer.state[param][key].clone() for key in ("exp_avg", "exp_avg_sq")]
        held = touched(param.grad)
        for new, old in zip((param, *after), (before, *state), strict=True):
            assert torch.equal(new[~held], old[~held])
        inputs = [tensor[held].tolist() for tensor in (before, param.grad.to_dense(), *state)]
        found = [tensor[held].tolist() for tensor in (param, *after)]
        for column, results in zip(zip(*inputs, strict=True), zip(*found, strict=True), strict=True):
            with localcontext() as context:
                context.prec = 50
                exact = sparse_adam(*map(Decimal, column), t, **numbers, sqrt=Decimal.sqrt)
            check_close(results, [float(value) for value in exact], column, options)
        state = after


def check_close(found, expected, column, options):
    (new_p, new_m, new_v), (p, m, v) = found, expected
    old_p, g, old_m, old_v = column
    # Duplicate rows were summed in some order: the tests' own sum and the optimizer's are the same one.
    m_bound = 4 * EPS * (abs(old_m) + abs(g))
    v_bound = 4 * EPS * (old_v + g * g)
    root = math.sqrt(v)
    rate = abs(p - old_p) * (root + options["eps"]) / abs(m) if m else 0.0
    step_bound = rate * m_bound / (root + options["eps"]) + 8 * EPS * abs(p - old_p)
    assert abs(new_m - m) <= m_bound
    assert abs(new_v - v) <= v_bound
    assert abs(new_p - p) <= 2 * EPS * (abs(p) + abs(old_p)) + 2 * step_bound


@thorough
@given(options, st.sampled_from(SHAPES), st.sampled_from([torch.float32, torch.float64]), st.integers(0, 2**31))
def test_it_follows_torchs(options, shape, dtype, seed):
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(shape[0], generator=generator, dtype=torch.float64).to(dtype)
    params = [start.clone(), start.clone()]
    ours, theirs = (
        module.SparseAdam([param], **options)
        for module, param in zip((reference, torch.optim), params, strict=True)
    )
    for number in range(6):
        # The fourth gradient holds nothing; its step counts all the same.
        grad = sparse(*shape, generator, rows=4, dtype=dtype)
        grad = torch.zeros_like(grad) if number == 3 else grad
        for optimizer, param in zip((ours, theirs), params, strict=True):
            param.grad = grad if number != 1 else None
            optimizer.step()
    tolerance = 64 * torch.finfo(dtype).eps
    torch.testing.assert_close(*params, rtol=tolerance, atol=tolerance * options["lr"])
    state, their_state = ours.state[params[0]], theirs.state[params[1]]
    assert list(state) == list(their_state)
    assert state["step"] == their_state["step"] == 5
    assert type(state["step"]) is int
    for key in ("exp_avg", "exp_avg_sq"):
        torch.testing.assert_close(state[key], their_state[key], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_with_torchs(dtype):
    shape = ((6, 3), 1)
    runs = []
    for module in (reference, torch.optim):
        generator = torch.Generator().manual_seed(1)
        param = torch.linspace(-1, 1, 18).reshape(6, 3).to(dtype)
        optimizer = module.SparseAdam([param], lr=0.01, eps=1e-3)
        for _ in range(5):
            param.grad = sparse(*shape, generator, dtype=dtype)
            optimizer.step()
        runs.append((param, dict(optimizer.state[param])))
    tolerance = 4 * torch.finfo(dtype).eps
    torch.testing.assert_close(*runs, rtol=tolerance, atol=tolerance)


def test_a_late_row_may_take_a_long_first_step():
    for steps_before, length in ((0, 1.0), (100_000, 0.1 / math.sqrt(0.001))):
        param = torch.zeros(2, 1, dtype=torch.float64)
        optimizer = reference.SparseAdam([param], lr=1.0, eps=1e-300)
        zeros = {key: torch.zeros_like(param) for key in ("exp_avg", "exp_avg_sq")}
        optimizer.state[param].update(step=steps_before, **zeros)
        one = torch.ones(1, 1, dtype=torch.float64)
        param.grad = torch.sparse_coo_tensor([[1]], one, (2, 1), check_invariants=False)
        optimizer.step()
        assert param.flatten().tolist() == pytest.approx([0.0, -length], rel=1e-13)


def test_stored_zeros_are_gradients_and_duplicates_are_summed():
    generator = torch.Generator().manual_seed(3)
    values = torch.randn(3, 2, generator=generator, dtype=torch.float64)
    twice = torch.sparse_coo_tensor([[4, 0, 4]], values, (5, 2), check_invariants=False)
    summed = torch.stack([values[1], values[0] + values[2]])
    once = torch.sparse_coo_tensor([[0, 4]], summed, (5, 2), check_invariants=False).coalesce()
    zero = torch.sparse_coo_tensor([[0]], torch.zeros(1, 2, dtype=torch.float64), (5, 2), check_invariants=False)
    runs = []
    for grad in (twice, once):
        param = torch.zeros(5, 2, dtype=torch.float64)
        optimizer = reference.SparseAdam([param], lr=0.1)
        param.grad = grad
        optimizer.step()
        runs.append(param.clone())
        moment = optimizer.state[param]["exp_avg"].clone()
        param.grad = zero
        optimizer.step()
        assert torch.equal(optimizer.state[param]["exp_avg"][1:], moment[1:])
        torch.testing.assert_close(optimizer.state[param]["exp_avg"][0], 0.9 * moment[0])
        assert not torch.equal(param[0], runs[-1][0])
    assert torch.equal(*runs)
    assert not twice.is_coalesced()
    assert torch.equal(twice._values(), values)


def odd_gradients():
    return {
        "no dimensions": torch.tensor(3.0).to_sparse(),
        "no sparse dimension": torch.sparse_coo_tensor(
            torch.zeros(0, 1, dtype=torch.long), torch.ones(1, 3), (3,), check_invariants=False
        ),
        "no rows": torch.zeros(3).to_sparse(),
        "nothing at all": torch.zeros(()).to_sparse(),
        "no elements": torch.zeros(0, 3).to_sparse(1),
        "rows without elements": torch.sparse_coo_tensor([[1]], torch.zeros(1, 0), (3, 0), check_invariants=False),
    }


@pytest.mark.parametrize("kind", odd_gradients())
@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
def test_odd_gradients_do_as_in_torch(kind):
    runs = []
    for module in (reference, torch.optim):
        grad = odd_gradients()[kind]
        param = torch.ones(grad.shape)
        optimizer = module.SparseAdam([param], maximize=True)
        for _ in range(2):
            param.grad = grad
            optimizer.step()
        runs.append((param, dict(optimizer.state[param])))
    torch.testing.assert_close(*runs)


def layouts():
    return {"transposed": torch.ones(3, 6).t(), "strided": torch.ones(6, 7)[:, 1:7:2], "unaligned": torch.ones(19)[1:]}


@pytest.mark.parametrize("layout", layouts())
def test_strides_change_nothing(layout):
    param = layouts()[layout].reshape(6, 3) if layout == "unaligned" else layouts()[layout]
    plain = param.clone(memory_format=torch.contiguous_format)
    optimizers = [reference.SparseAdam([tensor], lr=0.1) for tensor in (param, plain)]
    for seed in (1, 2):
        for optimizer, tensor in zip(optimizers, (param, plain), strict=True):
            tensor.grad = sparse((6, 3), 1, torch.Generator().manual_seed(seed), dtype=torch.float32)
            version = tensor._version
            optimizer.step()
            assert tensor._version > version
    assert torch.equal(param, plain)
    assert optimizers[0].state[param]["exp_avg"].stride() == torch.zeros_like(param).stride()


@pytest.mark.parametrize(("source", "target"), [(reference, torch.optim), (torch.optim, reference)])
@pytest.mark.parametrize("step", [int, lambda step: torch.tensor(float(step), dtype=torch.float64)])
def test_a_checkpoint_goes_on_in_torch_and_from_torch(source, target, step):
    def trained(optimizer, seeds):
        (param,) = optimizer.param_groups[0]["params"]
        for seed in seeds:
            param.grad = sparse((6, 3), 1, torch.Generator().manual_seed(seed))
            optimizer.step()
        return param

    first = source.SparseAdam([torch.ones(6, 3, dtype=torch.float64)], lr=0.1, maximize=True)
    start = trained(first, (1, 2)).clone()
    saved = first.state_dict()
    for entries in saved["state"].values():
        entries["step"] = step(entries["step"])
    second = target.SparseAdam([start], lr=0.5)
    second.load_state_dict(copy.deepcopy(saved))
    torch.testing.assert_close(trained(second, (3, 4)), trained(first, (3, 4)), rtol=1e-13, atol=0)


def test_a_loaded_checkpoint_is_not_shared():
    param = torch.ones(6, 3)
    optimizer = torch.optim.SparseAdam([param])
    param.grad = sparse((6, 3), 1, torch.Generator().manual_seed(1), dtype=torch.float32)
    optimizer.step()
    saved = optimizer.state_dict()
    before = copy.deepcopy(saved["state"])
    loaded = reference.SparseAdam([param])
    loaded.load_state_dict(saved)
    loaded.step()
    assert type(loaded.state[param]["step"]) is int
    torch.testing.assert_close(saved["state"], before, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("params", "options", "text"),
    [
        (None, {"lr": 0.0}, "0.0"),
        (None, {"lr": -0.25}, "-0.25"),
        (None, {"lr": math.nan}, "nan"),
        (None, {"lr": torch.tensor([0.1, 0.2])}, "(2,)"),
        (None, {"eps": 0.0}, "0.0"),
        (None, {"eps": math.nan}, "nan"),
        (None, {"betas": (1.0, 0.5)}, "index 0: 1.0"),
        (None, {"betas": (0.5, -0.5)}, "index 1: -0.5"),
        ([torch.zeros(2), torch.zeros(2).to_sparse()], {}, "dense parameter tensors"),
        ([torch.zeros(2), torch.zeros(2, dtype=torch.complex64)], {}, "complex parameters"),
    ],
)
@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
def test_refuses_what_torch_refuses(params, options, text):
    for module in (torch.optim, reference):
        with pytest.raises(ValueError) as raised:
            module.SparseAdam(params or [torch.zeros(2)], **options)
    assert text in str(raised.value)


def test_a_dense_gradient_is_refused_before_anything_is_written():
    first, second = torch.ones(6, 3), torch.ones(3)
    first.grad = sparse((6, 3), 1, torch.Generator().manual_seed(1), dtype=torch.float32)
    second.grad = torch.ones(3)
    for module in (torch.optim, reference):
        optimizer = module.SparseAdam([first, second])
        with pytest.raises(RuntimeError, match="please consider Adam"):
            optimizer.step()
    assert torch.equal(first, torch.ones(6, 3))
    assert not optimizer.state


def test_signature_and_groups_are_torchs():
    def described(module):
        parameters = inspect.signature(module.SparseAdam).parameters.values()
        return [(parameter.name, parameter.kind, parameter.default) for parameter in parameters]

    assert described(reference) == described(torch.optim)
    ours, theirs = (module.SparseAdam([torch.zeros(2)], lr=0.5, maximize=True) for module in (reference, torch.optim))
    assert list(ours.param_groups[0]) == list(theirs.param_groups[0])
    assert repr(ours) == repr(theirs)


def test_an_old_checkpoint_has_no_maximize():
    optimizer = reference.SparseAdam([torch.zeros(6, 3)])
    saved = optimizer.state_dict()
    del saved["param_groups"][0]["maximize"]
    optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0]["maximize"] is False


def test_an_embedding_learns():
    torch.manual_seed(0)
    embedding = torch.nn.Embedding(10, 4, sparse=True)
    target = torch.randn(10, 4)
    optimizer = reference.SparseAdam(embedding.parameters(), lr=0.05)

    def closure():
        optimizer.zero_grad()
        loss = ((embedding(torch.tensor([1, 1, 7])) - target[[1, 1, 7]]) ** 2).sum()
        loss.backward()
        return loss

    losses = [optimizer.step(closure).item() for _ in range(200)]
    assert losses[-1] < 1e-3 * losses[0]
