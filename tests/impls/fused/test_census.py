"""What kernels launch and move, against what an algorithm has to move."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from optbench.impls import fused
from optbench.impls.fused import census, native

ELEMENTS = 7 * 33 + 5


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def counted(name: str, dtype: torch.dtype = torch.float32, **options: Any) -> census.Census:
    params = [torch.randn(shape).to(dtype).requires_grad_() for shape in ((7, 33), (5,))]
    for param in params:
        param.grad = torch.ones_like(param)
    optimizer = getattr(fused, name)(params, **options)
    for _ in range(3):
        optimizer.step()
    with census.taken() as found:
        optimizer.step()
    return found


@pytest.mark.parametrize(
    ("name", "options", "bytes_"),
    [
        ("SGD", {}, 12),
        ("SGD", {"momentum": 0.9}, 20),
        ("Adagrad", {}, 20),
        ("RMSprop", {"centered": True, "momentum": 0.9}, 36),
        ("Adam", {}, 28),
        ("Adam", {"amsgrad": True}, 36),
        ("NAdam", {}, 28),
        ("Rprop", {}, 28),
        # mu is 1 at first: the average is written and not read.
        ("ASGD", {}, 16),
    ],
)
def test_kernels_move_the_fewest_bytes(name: str, options: dict[str, Any], bytes_: int) -> None:
    found = counted(name, **options)
    assert found.moved_bytes == bytes_ * ELEMENTS
    assert found.launches == {"prepare": 1, "update": 1}


def test_bytes_follow_the_dtype() -> None:
    assert counted("Adam", torch.bfloat16).moved_bytes == 14 * ELEMENTS
    assert counted("Adam", torch.float64).moved_bytes == 56 * ELEMENTS


def test_counting_changes_nothing() -> None:
    def run(observe: bool) -> torch.Tensor:
        param = torch.linspace(-1, 1, 100).requires_grad_()
        param.grad = torch.ones(100)
        optimizer = fused.Adam([param])
        for _ in range(3):
            if observe:
                with census.taken():
                    optimizer.step()
            else:
                optimizer.step()
        return param.detach()

    assert torch.equal(run(True), run(False))


def test_nobody_observes_afterwards() -> None:
    with census.taken() as outer:
        with census.taken() as inner:
            counted("SGD")
        assert all(hasattr(loaded.function, "errcheck") for loaded in native._LOADED)
    # Both saw the three first steps and the one that was counted.
    assert outer.launches["update"] == inner.launches["update"] == 4
    assert not native._OBSERVERS
    assert not any(getattr(loaded.function, "errcheck", None) for loaded in native._LOADED)


def test_an_element_decides_nothing() -> None:
    with pytest.raises(TypeError, match="use where"):
        bool(census._ELEMENT > 0)
