"""Where torch keeps things is found by looking, and not used where it cannot be found."""

import pytest
import torch
from optbench.impls.fused import peek


@pytest.fixture
def fresh():
    peek.places.cache_clear()
    yield
    peek.places.cache_clear()


def test_places_tell_the_gradient_of_a_parameter():
    places = peek.places()
    assert places is not None
    for size in (1, 7):
        param = torch.ones(size, requires_grad=True)
        (param * 3).sum().backward()
        autograd = peek._word(peek.record(param), places.autograd)
        assert peek._word(autograd, places.grad) == peek.record(param.grad)
        assert peek._word(peek.record(param.grad), places.keys) == peek.keys(param.grad)


def test_places_tell_the_items_of_a_tuple():
    items = tuple(object() for _ in range(5))
    first = peek.places().items
    assert [peek._word(id(items), first + i) for i in range(5)] == list(map(id, items))


def test_looking_works_in_inference_mode(fresh):
    with torch.inference_mode():
        assert peek.places() is not None


@pytest.mark.parametrize("missing", ["_keys", "_autograd", "_grad", "_items"])
def test_without_one_place_python_is_asked(missing, monkeypatch, fresh):
    monkeypatch.setattr(peek, missing, lambda: None)
    assert peek.places() is None


def test_an_untried_torch_is_not_looked_into(monkeypatch, fresh):
    monkeypatch.setattr(peek, "TRIED_PRIVATE_TORCH", False)
    monkeypatch.setattr(peek, "_word", lambda *_: pytest.fail("looked"))
    assert peek.places() is None


def test_what_fits_at_two_places_is_not_taken():
    assert peek._only([3]) == 3
    assert peek._only([3, 5]) is None
    assert peek._only([]) is None
