"""Muon against its recurrence and an exact decomposition, as far as bfloat16 reaches; against torch's, to the bit."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from optbench.reference.muon import orthogonalize

from optbench import reference
from tests.recurrences.muon import muon
from tests.reference.support import assert_bitwise, params_of, snapshot, tensors, train
from tests.reference.twins import assert_goes_on, assert_laid_out_alike, assert_refused, assert_signature_and_groups

SHAPES = [(4, 6), (7, 3), (5, 5), (1, 8), (6, 1), (1, 1)]
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
# What five iterations in bfloat16 leave of a number near 1.
BFLOAT16 = 0.05

options = st.fixed_dictionaries(
    {
        "lr": st.sampled_from([1e-3, 0.5, 3.0, 0.0]),
        "weight_decay": st.sampled_from([0.0, 0.1, 0.5]),
        "momentum": st.sampled_from([0.95, 0.5, 0.0]),
        "nesterov": st.booleans(),
        "ns_coefficients": st.sampled_from([COEFFICIENTS, (2.0, -1.5, 0.5), (1.5, -0.5, 0.0)]),
        "eps": st.sampled_from([1e-7, 1.0, 100.0]),
        "ns_steps": st.sampled_from([5, 1, 0]),
        "adjust_lr_fn": st.sampled_from([None, "original", "match_rms_adamw"]),
    }
)
thorough = settings(max_examples=40, deadline=None, derandomize=True, database=None)


def diagonal(numbers, shape):
    matrix = torch.zeros(shape, dtype=torch.float64)
    matrix.diagonal().copy_(torch.tensor(numbers, dtype=torch.float64))
    return matrix


@thorough
@given(options, st.sampled_from([(4, 4), (9, 4), (4, 9)]), st.integers(0, 2**31))
def test_muon_is_its_recurrence(options, shape, seed):
    generator = torch.Generator().manual_seed(seed)

    def draw():
        return torch.randn(4, generator=generator, dtype=torch.float64).tolist()

    ratio = 1.5 if shape == (9, 4) else 1.0
    if options["adjust_lr_fn"] == "match_rms_adamw":
        ratio = 0.6 if max(shape) == 9 else 0.4
    numbers = {key: value for key, value in options.items() if key != "adjust_lr_fn"} | {"ratio": ratio}
    param = diagonal(draw(), shape)
    optimizer = reference.Muon([param], **options)
    buffer = [0.0] * 4
    for _ in range(3):
        grad, before = draw(), param.diagonal().tolist()
        param.grad = diagonal(grad, shape)
        optimizer.step()
        expected, expected_buffer, update = muon(before, grad, buffer, **numbers)
        buffer = optimizer.state[param]["momentum_buffer"].diagonal().tolist()
        assert buffer == pytest.approx(expected_buffer, rel=1e-14, abs=1e-16)
        allowed = options["lr"] * ratio * BFLOAT16
        for found, wanted, size in zip(param.diagonal().tolist(), expected, update, strict=True):
            assert abs(found - wanted) <= allowed * max(1.0, abs(size)) + 1e-14 * abs(wanted)
        assert torch.count_nonzero(param) <= 4


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_the_singular_vectors_stay_and_the_singular_values_go_to_one(shape, scale):
    generator = torch.Generator().manual_seed(1)
    matrix = torch.randn(shape, generator=generator, dtype=torch.float64) * scale
    kept = matrix.clone()
    found = orthogonalize(matrix, COEFFICIENTS, 5, 1e-7)
    assert found.dtype == torch.bfloat16
    assert torch.equal(matrix, kept)
    u, s, vt = torch.linalg.svd(matrix, full_matrices=False)
    s = s / torch.linalg.vector_norm(s)
    a, b, c = COEFFICIENTS
    for _ in range(5):
        s = a * s + b * s**3 + c * s**5
    assert s.min() > 0.65
    assert s.max() < 1.25
    residual = torch.linalg.matrix_norm(found.double() - u * s @ vt) / torch.linalg.matrix_norm(u * s @ vt)
    assert residual < BFLOAT16


@thorough
@given(options, st.sampled_from([torch.float32, torch.float64, torch.float16, torch.bfloat16]), st.integers(0, 2**31))
def test_it_is_torchs_to_the_last_bit(options, dtype, seed):
    generator = torch.Generator().manual_seed(seed)
    # See the next test but one.
    options = options | ({"nesterov": True} if dtype == torch.bfloat16 else {})
    start = [torch.randn(shape, generator=generator).to(dtype) for shape in SHAPES]
    ours, theirs = (
        module.Muon([param.clone() for param in start], **options) for module in (reference, torch.optim)
    )
    for number in range(4):
        grads = [torch.randn(param.shape, generator=generator).to(dtype) for param in start]
        for optimizer in (ours, theirs):
            for index, (param, grad) in enumerate(zip(params_of(optimizer), grads, strict=True)):
                param.grad = None if (index, number) in ((0, 2), (1, 0), (1, 1)) else grad.clone()
            optimizer.step()
    assert_laid_out_alike(ours, theirs)
    assert_bitwise(ours, theirs)


@pytest.mark.parametrize("lr", [0.0, 0.25])
def test_a_tensor_rate_is_a_number(lr):
    numbers, tensor = (
        train(reference.Muon(tensors(shapes=SHAPES), lr=value)) for value in (lr, torch.tensor([lr]))
    )
    assert_bitwise(numbers, tensor)


def test_the_buffer_of_a_bfloat16_parameter_keeps_its_length():
    """In torch Newton-Schulz divides it by its norm, because nothing is copied on the way."""
    lengths = []
    for module in (reference, torch.optim):
        param = torch.ones(3, 3, dtype=torch.bfloat16)
        param.grad = torch.full_like(param, 64.0)
        optimizer = module.Muon([param], momentum=0.5, nesterov=False)
        optimizer.step()
        lengths.append(optimizer.state[param]["momentum_buffer"].float().norm().item())
    assert lengths[0] == 96.0
    assert lengths[1] == pytest.approx(1.0, rel=0.01)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
def test_a_parameter_without_elements_is_left_alone(shape):
    param, other = torch.ones(shape), torch.ones(2, 2)
    optimizer = reference.Muon([param, other])
    for tensor in (param, other):
        tensor.grad = torch.ones_like(tensor)
    optimizer.step()
    assert optimizer.state[param]["momentum_buffer"].shape == shape
    assert (other < 1).all()


def test_zeros_have_no_direction():
    param = torch.ones(2, 3)
    param.grad = torch.zeros(2, 3)
    reference.Muon([param], weight_decay=0.0).step()
    assert torch.equal(param, torch.ones(2, 3))


def layouts():
    generator = torch.Generator().manual_seed(12)

    def draw(*shape):
        return torch.randn(shape, generator=generator)

    return {
        "transposed": (draw(5, 4).t(), draw(4, 5)),
        "strided": (draw(8, 10)[1:7:2, 2:9:3], draw(3, 3)),
        "expanded gradient": (draw(3, 5), draw(5).expand(3, 5)),
        "transposed gradient": (draw(4, 5), draw(5, 4).t()),
    }


@pytest.mark.parametrize("layout", layouts())
def test_strides_change_nothing(layout):
    param, grad = layouts()[layout]
    plain = param.clone(memory_format=torch.contiguous_format)
    param.grad, plain.grad = grad, grad.clone(memory_format=torch.contiguous_format)
    kept = grad.clone()
    for tensor in (param, plain):
        optimizer = reference.Muon([tensor], lr=0.1)
        for _ in range(3):
            version = tensor._version
            optimizer.step()
            assert tensor._version > version
    torch.testing.assert_close(param, plain, rtol=0, atol=0.1 * 3 * BFLOAT16)
    assert torch.equal(grad, kept)


@pytest.mark.parametrize(("source", "target"), [(reference, torch.optim), (torch.optim, reference)])
def test_a_checkpoint_goes_on_in_torch_and_from_torch(source, target):
    options = {"momentum": 0.8, "adjust_lr_fn": "match_rms_adamw", "ns_steps": 3}
    assert_goes_on("Muon", source, target, tensors(shapes=SHAPES), options, {"lr": 0.5}, rtol=0, atol=0)


def test_a_copy_goes_on_bitwise():
    original = train(reference.Muon(tensors(shapes=SHAPES)))
    copied = copy.deepcopy(original)
    before = snapshot(original)
    train(copied, seeds=[8])
    torch.testing.assert_close(snapshot(original), before, rtol=0, atol=0)
    assert_bitwise(train(original, seeds=[8]), copied)


def test_signature_and_groups_are_torchs():
    assert_signature_and_groups("Muon", torch.zeros(2, 2), {"lr": torch.tensor([0.5]), "adjust_lr_fn": "original"})


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"lr": -0.25}, "-0.25"),
        ({"lr": math.nan}, "nan"),
        ({"lr": torch.tensor([0.1, 0.2])}, "(2,)"),
        ({"momentum": -0.5}, "-0.5"),
        ({"momentum": math.nan}, "nan"),
        ({"weight_decay": -0.5}, "-0.5"),
        ({"adjust_lr_fn": "arbitrary"}, "arbitrary"),
    ],
)
def test_refuses_what_torch_refuses(options, text):
    assert_refused("Muon", [torch.zeros(2, 2)], options, text)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 4)])
def test_only_matrices_are_taken(shape):
    assert_refused("Muon", [torch.zeros(2, 2), torch.zeros(shape)], {}, str(shape))
    optimizer = reference.Muon([torch.zeros(2, 2)])
    with pytest.raises(ValueError, match="only supports 2D"):
        optimizer.add_param_group({"params": [torch.zeros(shape)]})
    assert len(optimizer.param_groups) == 1


@pytest.mark.parametrize(
    ("options", "text"), [({"ns_steps": 100}, "100"), ({"ns_coefficients": (1.0, 2.0)}, r"\(1.0, 2.0\)")]
)
def test_iterations_that_torch_refuses_at_the_step_are_refused_at_once_and_there(options, text):
    param = torch.ones(2, 2)
    param.grad = torch.ones(2, 2)
    with pytest.raises(ValueError):
        torch.optim.Muon([param], **options).step()
    with pytest.raises(ValueError, match=text):
        reference.Muon([param], **options)
    optimizer = reference.Muon([param])
    optimizer.param_groups[0].update(options)
    with pytest.raises(ValueError, match=text):
        optimizer.step()
    assert torch.equal(param, torch.ones(2, 2))


@pytest.mark.parametrize("kind", ["complex", "sparse"])
@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
def test_a_parameter_that_it_cannot_take_is_refused_before_anything_is_written(kind):
    first, second = torch.ones(3, 3), torch.ones(3, 3, dtype=torch.complex64 if kind == "complex" else torch.float32)
    first.grad, second.grad = torch.ones_like(first), torch.ones_like(second)
    if kind == "sparse":
        second.grad = second.grad.to_sparse()
    with pytest.raises(RuntimeError, match=f"Muon does not support {kind}"):
        torch.optim.Muon([second]).step()
    with pytest.raises(RuntimeError, match=f"Muon does not support {kind}"):
        reference.Muon([first, second]).step()
    assert torch.equal(first, torch.ones(3, 3))
