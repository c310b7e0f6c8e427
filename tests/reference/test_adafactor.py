"""Adafactor against its recurrence, and against torch's for-loop."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from optbench import reference
from tests.recurrences.adafactor import adafactor_matrix, adafactor_vector
from tests.reference.support import assert_bitwise, assert_same, params_of, snapshot, tensors, train
from tests.reference.twins import assert_goes_on, assert_laid_out_alike, assert_refused, assert_signature_and_groups

SHAPES = [(5, 4), (6,), (), (2, 3, 4), (1, 5), (5, 1)]

options = st.fixed_dictionaries(
    {
        "lr": st.sampled_from([1e-2, 0.5, 3.0, 0.0]),
        "beta2_decay": st.sampled_from([-0.8, -0.3, -2.0, 0.0]),
        "eps": st.sampled_from([(1e-30, 1e-3), (1e-8, 2.0), (0.5, 0.0)]),
        "d": st.sampled_from([1.0, 2.0]),
        "weight_decay": st.sampled_from([0.0, 0.01, 0.3]),
        "maximize": st.booleans(),
    }
)
thorough = settings(max_examples=40, deadline=None, derandomize=True, database=None)


def gradient(param, generator):
    """Elements over six orders of magnitude, so that some are clamped and others are clipped."""
    grad = torch.randn(param.shape, generator=generator, dtype=torch.float64)
    return grad * 10.0 ** torch.randint(-4, 3, param.shape, generator=generator)


def expected_step(value, grad, state, t, options):
    """The recurrence on nested lists; a stack of matrices has no recurrence of its own."""
    numbers = {key: options[key] for key in ("lr", "beta2_decay", "d", "weight_decay", "maximize")}
    numbers |= {"eps1": options["eps"][0], "eps2": options["eps"][1]}
    if value.dim() < 2:
        inputs = [tensor.reshape(-1).tolist() for tensor in (value, grad, state["variance"])]
        p, v = adafactor_vector(*inputs, t, **numbers)
        return torch.tensor(p).reshape(value.shape), {"variance": torch.tensor(v).reshape(value.shape)}
    r, c = state["row_var"][:, 0].tolist(), state["col_var"][0].tolist()
    p, r, c = adafactor_matrix(value.tolist(), grad.tolist(), r, c, t, **numbers)
    return torch.tensor(p), {"row_var": torch.tensor(r)[:, None], "col_var": torch.tensor(c)[None]}


@thorough
@given(options, st.booleans(), st.integers(0, 2**31))
def test_adafactor_is_its_recurrence(options, tensor_lr, seed):
    torch.set_default_dtype(torch.float64)
    try:
        generator = torch.Generator().manual_seed(seed)
        params = [torch.randn(shape, generator=generator) for shape in SHAPES if len(shape) < 3]
        lr = torch.tensor([options["lr"]]) if tensor_lr else options["lr"]
        optimizer = reference.Adafactor(params, **options | {"lr": lr})
        before = {}
        for param in params:
            if param.dim() > 1:
                rows, cols = param.shape
                before[param] = {"row_var": torch.zeros(rows, 1), "col_var": torch.zeros(1, cols)}
            else:
                before[param] = {"variance": torch.zeros_like(param)}
        for t in (1, 2, 3):
            values = [param.clone() for param in params]
            for param in params:
                param.grad = gradient(param, generator)
            optimizer.step()
            for param, value in zip(params, values, strict=True):
                expected, expected_state = expected_step(value, param.grad, before[param], t, options)
                torch.testing.assert_close(param, expected, rtol=1e-13, atol=1e-15)
                state = {key: entry.clone() for key, entry in optimizer.state[param].items()}
                assert state.pop("step").item() == t
                torch.testing.assert_close(state, expected_state, rtol=1e-14, atol=0)
                before[param] = state
    finally:
        torch.set_default_dtype(torch.float32)


@thorough
@given(options, st.booleans(), st.integers(0, 2**31))
def test_it_follows_torchs_for_loop(options, default_eps, seed):
    if default_eps:
        options = options | {"eps": (None, options["eps"][1])}
    generator = torch.Generator().manual_seed(seed)
    start = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in SHAPES]
    ours, theirs = (
        module.Adafactor([param.clone() for param in start], **options) for module in (reference, torch.optim)
    )
    for number in range(6):
        # The first parameter misses a step, the second comes late.
        grads = [gradient(param, generator) for param in start]
        for optimizer in (ours, theirs):
            for index, (param, grad) in enumerate(zip(params_of(optimizer), grads, strict=True)):
                param.grad = None if (index, number) in ((0, 2), (1, 0), (1, 1)) else grad
            optimizer.step()
    assert_laid_out_alike(ours, theirs)
    assert_same(ours, theirs, rtol=1e-13, atol=1e-15)


def test_a_stack_of_matrices_is_many_with_one_clipping():
    """R and C are those of each matrix; the two root mean squares are over the stack."""
    generator = torch.Generator().manual_seed(7)
    stack = torch.randn(2, 3, 4, generator=generator, dtype=torch.float64)
    stack.grad = torch.randn(2, 3, 4, generator=generator, dtype=torch.float64)
    alone = [stack[index].clone() for index in range(2)]
    for index, matrix in enumerate(alone):
        matrix.grad = stack.grad[index]
    before = stack.clone()
    together, apart = reference.Adafactor([stack]), reference.Adafactor(alone)
    together.step()
    apart.step()
    for index, matrix in enumerate(alone):
        for key in ("row_var", "col_var"):
            assert torch.equal(together.state[stack][key][index], apart.state[matrix][key])
        # The directions agree up to their length.
        ratio = (stack[index] - before[index]) / (matrix - before[index])
        torch.testing.assert_close(ratio, ratio[0, 0].expand(3, 4), rtol=1e-9, atol=0)
        assert ratio[0, 0] != 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_run_in_another_dtype_stays_with_torchs(dtype):
    ours, theirs = (
        module.Adafactor([tensor.to(dtype) for tensor in tensors(shapes=SHAPES)], weight_decay=0.1)
        for module in (reference, torch.optim)
    )
    train(ours)
    train(theirs)
    assert_laid_out_alike(ours, theirs)
    tolerance = 4 * torch.finfo(dtype).eps
    assert_same(ours, theirs, rtol=tolerance, atol=tolerance)


def test_each_parameter_has_the_epsilon_of_its_own_dtype():
    """In torch the first parameter's stands for all of its group."""
    steps = []
    for module in (reference, torch.optim):
        single, double = torch.ones(2), torch.ones(2, dtype=torch.float64)
        optimizer = module.Adafactor([single, double], lr=0.5)
        for param in (single, double):
            param.grad = torch.full_like(param, 1e-10)
        optimizer.step()
        steps.append(1 - double[0].item())
    assert steps[0] == pytest.approx(0.5, rel=1e-12)
    assert steps[1] == pytest.approx(0.5 * 1e-10 / torch.finfo(torch.float32).eps, rel=1e-6)


def test_small_gradients_do_not_underflow():
    """Of R*C as of R/mean(R)*C, with gradients whose fourth power is no float32."""
    param = torch.ones(2, 2)
    optimizer = reference.Adafactor([param], lr=0.5, eps=(1e-30, 1e-3))
    param.grad = torch.full_like(param, 1e-13)
    optimizer.step()
    torch.testing.assert_close(param, torch.full((2, 2), 0.5))


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 3)])
def test_a_parameter_without_elements_is_left_alone(shape):
    param, other = torch.ones(shape), torch.ones(2)
    optimizer = reference.Adafactor([param, other])
    for tensor in (param, other):
        tensor.grad = torch.ones_like(tensor)
    optimizer.step()
    assert all(entry.isfinite().all() for entry in optimizer.state[param].values())
    assert optimizer.state[param]["step"].item() == 1
    assert (other < 1).all()
    theirs = torch.optim.Adafactor([param])
    with pytest.raises(ZeroDivisionError):
        theirs.step()


def test_zeros_leave_zero_and_have_no_direction():
    param = torch.zeros(3, 3)
    optimizer = reference.Adafactor([param])
    param.grad = torch.zeros(3, 3)
    optimizer.step()
    assert not param.any()
    param.grad = torch.eye(3)
    optimizer.step()
    # From zero it escapes by eps2 * min(lr, 1/sqrt(t)).
    assert torch.linalg.vector_norm(param).item() == pytest.approx(3 * 1e-3 * 1e-2, rel=1e-6)


def layouts():
    generator = torch.Generator().manual_seed(12)

    def draw(*shape):
        return torch.randn(shape, generator=generator)

    return {
        "transposed": (draw(5, 4).t(), draw(4, 5)),
        "strided": (draw(8, 10)[1:7:2, 2:9:3], draw(3, 3)),
        "channels_last": (draw(2, 3, 4, 5).to(memory_format=torch.channels_last), draw(2, 3, 4, 5)),
        "expanded gradient": (draw(3, 5), draw(5).expand(3, 5)),
        "expanded vector": (draw(5), torch.ones(()).expand(5)),
        "strided gradient": (draw(4, 5), draw(8, 10)[::2, ::2]),
    }


@pytest.mark.parametrize("layout", layouts())
def test_strides_change_nothing(layout):
    param, grad = layouts()[layout]
    plain = param.clone(memory_format=torch.contiguous_format)
    param.grad, plain.grad = grad, grad.clone(memory_format=torch.contiguous_format)
    kept = grad.clone()
    for tensor in (param, plain):
        optimizer = reference.Adafactor([tensor], maximize=True)
        for _ in range(3):
            version = tensor._version
            optimizer.step()
            assert tensor._version > version
    torch.testing.assert_close(param, plain)
    assert torch.equal(grad, kept)


@pytest.mark.parametrize(("source", "target"), [(reference, torch.optim), (torch.optim, reference)])
def test_a_checkpoint_goes_on_in_torch_and_from_torch(source, target):
    start = tensors(dtype=torch.float64, shapes=SHAPES)
    options = {"eps": (None, 1e-2), "weight_decay": 0.1, "beta2_decay": -0.5, "d": 1.5}
    assert_goes_on("Adafactor", source, target, start, options, {"lr": 0.5}, rtol=1e-13, atol=1e-15)


def test_an_old_checkpoint_is_taken():
    optimizer = train(reference.Adafactor(tensors()))
    saved = copy.deepcopy(optimizer.state_dict())
    del saved["param_groups"][0]["foreach"]
    for entries in saved["state"].values():
        entries["step"] = int(entries["step"])
    loaded = reference.Adafactor(snapshot(optimizer)[0])
    loaded.load_state_dict(saved)
    assert loaded.param_groups[0]["foreach"] is None
    assert_bitwise(train(loaded, seeds=[4]), train(optimizer, seeds=[4]))


def test_foreach_selects_nothing():
    assert_bitwise(train(reference.Adafactor(tensors(), foreach=True)), train(reference.Adafactor(tensors())))


def test_signature_and_groups_are_torchs():
    assert_signature_and_groups("Adafactor", torch.zeros(2), {"lr": torch.tensor([0.5]), "foreach": True})


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"lr": -0.25}, "-0.25"),
        ({"lr": math.nan}, "nan"),
        ({"lr": torch.tensor([0.1, 0.2])}, "(2,)"),
        ({"beta2_decay": 0.5}, "0.5"),
        ({"beta2_decay": math.nan}, "nan"),
        ({"eps": (-1e-3, 1e-3)}, "epsilon1 should be >= 0 but is: -0.001"),
        ({"eps": (None, -1e-3)}, "epsilon2 should be >= 0 but is: -0.001"),
        ({"d": 0.5}, "0.5"),
        ({"weight_decay": -0.5}, "-0.5"),
        ({"weight_decay": math.nan}, "nan"),
    ],
)
def test_refuses_what_torch_refuses(options, text):
    assert_refused("Adafactor", [torch.zeros(2)], options, text)


@pytest.mark.parametrize("kind", ["complex", "sparse"])
@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
def test_a_parameter_that_it_cannot_take_is_refused_before_anything_is_written(kind):
    first, second = torch.ones(3), torch.ones(3, dtype=torch.complex64 if kind == "complex" else torch.float32)
    first.grad, second.grad = torch.ones(3), torch.ones_like(second)
    if kind == "sparse":
        second.grad = second.grad.to_sparse()
    with pytest.raises(RuntimeError, match=f"Adafactor does not support {kind}"):
        torch.optim.Adafactor([second]).step()
    with pytest.raises(RuntimeError, match=f"Adafactor does not support {kind}"):
        reference.Adafactor([first, second]).step()
    assert torch.equal(first, torch.ones(3))
