"""What the host compares at every step: each way of asking notices every change, and nothing else."""

import weakref

import numpy as np
import pytest
import torch
from optbench.impls.fused import peek, watch


@pytest.fixture(params=["native", "python"], autouse=True)
def way(request, monkeypatch):
    if request.param == "native":
        assert peek.places() is not None
        monkeypatch.setattr(watch, "FEW_TENSORS", 0)
    else:
        monkeypatch.setattr(peek, "places", lambda: None)


def parameters():
    params = [torch.randn(shape, requires_grad=True) for shape in ((3, 4), (5,), (), (2, 3, 4, 5, 1, 2))]
    for param in params:
        param.grad = torch.randn(param.shape)
    return params


def watched():
    params = parameters()
    addresses = np.array([param.grad.data_ptr() for param in params])
    return params, addresses, watch.gradients(params, addresses)


def test_objects_are_the_same_in_number_order_and_identity():
    items = [torch.ones(1) for _ in range(3)]
    same = watch.objects(items)
    assert same(iter(items))
    assert not same(reversed(items))
    assert not same(items[:2])
    assert not same([*items, items[0]])
    assert not same([*items[:2], torch.ones(1)])
    assert watch.objects(())(())


@pytest.mark.parametrize(
    "change",
    [
        lambda t: setattr(t, "data", t.data.clone()),
        lambda t: setattr(t, "data", t.data.t()),
        lambda t: t.resize_(2, 2),
        lambda t: t.t_(),
        lambda t: setattr(t, "data", torch._neg_view(t.data)),
    ],
)
def test_memory_and_layout_of_a_tensor(change):
    shaped, others = [torch.ones(3, 4), torch.ones(3, 4)], [torch.ones(())]
    same = watch.memory(shaped, others)
    assert same()
    change(shaped[1])
    assert not same()


def test_a_conj_bit_is_noticed_though_memory_stays():
    tensor = torch.ones(3, dtype=torch.complex64)
    same = watch.memory([tensor], [])
    assert same()
    tensor.data = tensor.data.conj()
    assert not same()


def test_the_place_of_other_tensors():
    number = torch.ones(())
    same = watch.memory([], [number])
    number.fill_(3.0)
    assert same()
    number.data = torch.ones(())
    assert not same()


def test_standing_gradients_are_where_they_were():
    _, _, grads = watched()
    assert grads() is False
    assert grads() is False


def test_new_gradients_give_their_addresses():
    params, addresses, grads = watched()
    held = [param.grad for param in params]
    for param in params:
        param.grad = torch.randn(param.shape)
    assert grads() is True
    assert addresses.tolist() == [param.grad.data_ptr() for param in params]
    assert grads() is False
    assert len(held) == len(params)


@pytest.mark.parametrize("place", [0, 3])
@pytest.mark.parametrize(
    "change",
    [
        lambda p: setattr(p, "grad", None),
        lambda p: setattr(p, "grad", p.grad.to_sparse()),
        lambda p: setattr(p, "grad", torch._neg_view(p.grad)),
        lambda p: setattr(p, "grad", p.grad.flatten()[:1].view((1,) * p.dim()).expand(p.shape)),
        lambda p: setattr(p.grad, "data", p.grad.data.transpose(0, 1)),
        lambda p: setattr(p.grad, "data", p.grad.data.double()),
        lambda p: p.grad.transpose_(0, 1),
    ],
)
def test_gradients_of_another_kind(place, change):
    params, _, grads = watched()
    change(params[place])
    assert grads() is None


def test_gradients_from_autograd():
    params, addresses, grads = watched()
    for param in params:
        param.grad = None
    sum((param * 2).sum() for param in params).backward()
    assert grads() in (True, False)
    assert addresses.tolist() == [param.grad.data_ptr() for param in params]


def test_gradients_are_not_kept_alive():
    params, _, grads = watched()
    gone = weakref.ref(params[0].grad)
    assert grads() is False
    params[0].grad = None
    assert gone() is None


def test_a_parameter_that_never_had_autograd():
    params = parameters()
    grads = watch.gradients(params, np.zeros(len(params), dtype=np.int64))
    params[0].grad = None
    params[0].requires_grad_(False)
    assert grads() is None


def test_parameters_of_other_classes_are_asked_by_python():
    class Own(torch.Tensor):
        pass

    param = torch.ones(3).as_subclass(Own).requires_grad_()
    param.grad = torch.ones(3).as_subclass(Own)
    assert isinstance(watch.gradients([param], np.zeros(1, dtype=np.int64)), watch._PlainGradients)
