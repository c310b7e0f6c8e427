"""Whatever a parameter and its gradient are like: complex, strided, expanded, empty, mixed, sparse."""

import pytest
import torch

from optbench import reference
from tests.reference.support import (
    NAMES,
    SCALARS,
    assert_same,
    build,
    capturable_cases,
    cases,
    params_of,
    snapshot,
    tensors,
    train,
)


def complex_views():
    """Complex parameters of several layouts, each with a gradient of another: (param, grad)."""
    generator = torch.Generator().manual_seed(11)

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.complex64)

    return {
        "contiguous": (draw(3, 4), draw(3, 4)),
        "transposed": (draw(4, 3).t(), draw(3, 4)),
        "strided": (draw(6, 8)[::2, ::2], draw(4, 3).t()),
        "conjugate gradient": (draw(3, 4), draw(3, 4).conj()),
        "conjugate parameter": (draw(3, 4).conj(), draw(3, 4)),
        "expanded gradient": (draw(3, 4), draw(4).expand(3, 4)),
        "no dimensions": (draw(), draw()),
        "no elements": (draw(0, 4), draw(0, 4)),
        "imaginary part": (draw(3, 4).conj().imag, draw(3, 4).conj().imag),
    }


@capturable_cases
@pytest.mark.parametrize("view", complex_views())
def test_a_complex_parameter_is_two_real_ones(name, options, capturable, view):
    param, grad = complex_views()[view]
    flags = {"capturable": True} if capturable else {}
    optimizer = build(reference, name, [param], **options, **flags)
    parts = (lambda tensor: [tensor.real, tensor.imag]) if param.is_complex() else (lambda tensor: [tensor])
    reals = [part.clone(memory_format=torch.contiguous_format).resolve_neg() for part in parts(param)]
    twin = build(reference, name, reals, **options, **flags)
    for step in (1, 2, 3):
        param.grad = grad * step if step > 1 else grad
        for real, part in zip(reals, parts(param.grad), strict=True):
            real.grad = part.clone(memory_format=torch.contiguous_format).resolve_neg()
        optimizer.step()
        twin.step()
    for part, real in zip(parts(param), reals, strict=True):
        torch.testing.assert_close(part.resolve_neg(), real, rtol=1e-6, atol=1e-7)
    for key, value in optimizer.state.get(param, {}).items():
        assert value.dtype == (torch.float32 if key in SCALARS else param.dtype)
        if key not in SCALARS:
            for part, real in zip(parts(value), reals, strict=True):
                torch.testing.assert_close(part.resolve_neg(), twin.state[real][key], rtol=1e-6, atol=1e-7)


def layouts():
    """(base, view of it to be optimized, gradient): whatever the strides, elements pair by index."""
    generator = torch.Generator().manual_seed(12)

    def draw(*shape):
        return torch.randn(shape, generator=generator)

    canaried = draw(8, 10)
    offset = draw(30)
    transposed = draw(5, 4)
    images = draw(2, 3, 4, 5)
    return {
        "transposed": (transposed, transposed.t(), draw(4, 5)),
        "strided with canaries": (canaried, canaried[1:7:2, 2:9:3], draw(3, 3)),
        "unaligned": (offset, offset[1:20], draw(19)),
        "channels_last": (images, images.to(memory_format=torch.channels_last), draw(2, 3, 4, 5)),
        "channels_last gradient": (images, images, draw(2, 3, 4, 5).to(memory_format=torch.channels_last)),
        "expanded gradient": (images, images, draw(5).expand(2, 3, 4, 5)),
        "scalar expanded": (offset, offset, torch.ones(()).expand(30)),
        "strided gradient": (transposed, transposed, draw(10, 8)[::2, ::2]),
    }


@cases
@pytest.mark.parametrize("layout", layouts())
def test_strides_change_nothing(name, options, layout):
    base, param, grad = layouts()[layout]
    untouched = torch.ones_like(base, dtype=torch.bool)
    if param.data_ptr() >= base.data_ptr() and param.untyped_storage().data_ptr() == base.untyped_storage().data_ptr():
        untouched.as_strided(param.shape, param.stride(), param.storage_offset()).fill_(False)
    before = base.clone()
    plain = param.clone(memory_format=torch.contiguous_format)
    param.grad, plain.grad = grad, grad.clone(memory_format=torch.contiguous_format)
    optimizer, twin = (build(reference, name, [tensor], **options) for tensor in (param, plain))
    for _ in range(3):
        optimizer.step()
        twin.step()
    assert torch.equal(param, plain)
    assert torch.equal(base[untouched], before[untouched])
    for key, value in optimizer.state.get(param, {}).items():
        assert torch.equal(value, twin.state[plain][key])


@cases
@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_parameter_without_elements_or_dimensions_may_stand_anywhere(name, options, position):
    shapes = [(2, 3), (7,)]
    shapes.insert(position, (0, 3))
    shapes.insert(position, ())
    ours, theirs = (
        train(build(module, name, tensors(shapes=shapes), **options)) for module in (reference, torch.optim)
    )
    assert_same(ours, theirs)
    empty = params_of(ours)[position + 1]
    assert empty.shape == (0, 3)
    assert set(ours.state.get(empty, {})) == set(theirs.state.get(params_of(theirs)[position + 1], {}))


@cases
def test_dtypes_may_be_mixed(name, options):
    def mixed(module):
        dtypes = (torch.float64, torch.bfloat16, torch.complex64)
        params = [tensor.to(dtype) for tensor, dtype in zip(tensors(), dtypes, strict=True)]
        return train(build(module, name, params, foreach=False, **options))

    assert_same(mixed(reference), mixed(torch.optim))


def sparse(seed, *, coalesced):
    generator = torch.Generator().manual_seed(seed)
    indices = torch.tensor([[0, 2, 4]]) if coalesced else torch.tensor([[4, 0, 4]])
    grad = torch.sparse_coo_tensor(indices, torch.randn(3, 2, generator=generator), (5, 2), check_invariants=False)
    return grad.coalesce() if coalesced else grad


@pytest.mark.parametrize("coalesced", [True, False])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"maximize": True},
        {"momentum": 0.9},
        {"momentum": 0.9, "nesterov": True},
        {"momentum": 0.9, "dampening": 0.5},
    ],
)
def test_sgd_takes_sparse_gradients_as_dense_ones(options, coalesced):
    sparsely, densely = (build(reference, "SGD", tensors(shapes=[(5, 2)]), **options) for _ in range(2))
    for seed in (1, 2, 3):
        grad = sparse(seed, coalesced=coalesced)
        params_of(sparsely)[0].grad = grad
        params_of(densely)[0].grad = grad.to_dense()
        sparsely.step()
        densely.step()
        assert torch.equal(params_of(sparsely)[0].grad.to_dense(), grad.to_dense())
    torch.testing.assert_close(params_of(sparsely)[0], params_of(densely)[0])


@pytest.mark.parametrize("options", [{}, {"momentum": 0.9, "nesterov": True}])
def test_sgd_takes_a_sparse_complex_gradient_as_a_dense_one(options):
    sparsely, densely = (
        build(reference, "SGD", tensors(shapes=[(5, 2)], dtype=torch.complex64), **options) for _ in range(2)
    )
    for seed in (1, 2, 3):
        grad = sparse(seed, coalesced=False).to(torch.complex64) * (1 - 2j)
        params_of(sparsely)[0].grad, params_of(densely)[0].grad = grad, grad.to_dense()
        sparsely.step()
        densely.step()
    torch.testing.assert_close(params_of(sparsely)[0], params_of(densely)[0])


@pytest.mark.parametrize("options", [{}, {"maximize": True, "lr_decay": 0.1, "initial_accumulator_value": 0.25}])
@pytest.mark.parametrize("coalesced", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64])
def test_adagrad_takes_sparse_gradients_as_dense_ones(options, coalesced, dtype):
    """An element that the gradient does not name has a gradient of 0, which changes neither sum nor parameter."""
    sparsely, densely = (
        build(reference, "Adagrad", tensors(shapes=[(5, 2)], dtype=dtype), **options) for _ in range(2)
    )
    for seed in (1, 2, 3):
        grad = sparse(seed, coalesced=coalesced).to(dtype) * (1 - 2j if dtype.is_complex else 1)
        params_of(sparsely)[0].grad = grad
        params_of(densely)[0].grad = grad.to_dense()
        before = grad._values().clone()
        sparsely.step()
        densely.step()
        assert torch.equal(grad._values(), before)
    assert_same(sparsely, densely)


@pytest.mark.parametrize("options", [{}, {"maximize": True, "lr_decay": 0.1, "initial_accumulator_value": 0.25}])
def test_adagrads_sparse_steps_are_torchs(options):
    ours, theirs = (
        build(module, "Adagrad", tensors(shapes=[(5, 2)]), **options) for module in (reference, torch.optim)
    )
    # torch makes sparse tensors without saying whether they are to be checked, and warns of that.
    with torch.sparse.check_sparse_tensor_invariants(False):
        for seed in (1, 2, 3):
            for optimizer in (ours, theirs):
                params_of(optimizer)[0].grad = sparse(seed, coalesced=False)
                optimizer.step()
    assert_same(ours, theirs)


@pytest.mark.parametrize("name", NAMES)
def test_a_refused_sparse_gradient_leaves_everything_as_it_was(name):
    options = {"weight_decay": 0.1} if name in ("SGD", "Adagrad") else {}
    optimizer = train(build(reference, name, tensors(shapes=[(3,), (5, 2)]), **options))
    params_of(optimizer)[1].grad = sparse(1, coalesced=True)
    before = snapshot(optimizer)
    with pytest.raises(RuntimeError, match="sparse gradients"):
        optimizer.step()
    torch.testing.assert_close(snapshot(optimizer), before, rtol=0, atol=0)
