"""Bytes and calls of steps that can be counted by hand."""

from collections.abc import Callable

import pytest
import torch

from optbench.timing.traffic import Traffic, calls

TEN = 10 * 4


@pytest.mark.parametrize(
    ("operation", "bytes_", "passes"),
    [
        (lambda a, b: a + b, 3 * TEN, 1),
        (lambda a, b: a.add_(b), 3 * TEN, 1),
        (lambda a, b: a.copy_(b), 2 * TEN, 1),
        (lambda a, b: a.zero_(), TEN, 1),
        (lambda a, b: torch.add(a, b, out=b), 3 * TEN, 1),
        (lambda a, b: torch._foreach_add_([a, b], [b, a]), 6 * TEN, 1),
        (lambda a, b: torch._foreach_mul([a, b], 2.0), 4 * TEN, 1),
        (lambda a, b: a.norm(), TEN + 4, 1),
        (lambda a, b: a[2:].view(2, 4).t(), 0, 0),
        (lambda a, b: torch.empty(10), 0, 0),
        (lambda a, b: a.double(), 3 * TEN, 1),
        (lambda a, b: a.mul_(2).add_(1), 4 * TEN, 2),
    ],
)
def test_bytes_of_operations(operation: Callable[..., object], bytes_: int, passes: int) -> None:
    a, b = torch.ones(10), torch.ones(10)
    with Traffic() as traffic:
        operation(a, b)
    assert (traffic.moved_bytes, traffic.passes) == (bytes_, passes)


def test_sparse_gradients_count_their_rows() -> None:
    sparse = torch.eye(4).to_sparse(1)
    with Traffic() as traffic:
        _ = sparse._values() + 1.0
    assert traffic.moved_bytes == 2 * 16 * 4


def test_calls_are_those_of_the_step() -> None:
    def inner() -> int:
        return len("")

    assert calls(lambda: None) == 1
    assert calls(lambda: inner()) == 3
    assert calls(lambda: [inner() for _ in range(10)]) == 1 + 1 + 20


def test_counting_calls_ends_with_an_error() -> None:
    import sys

    with pytest.raises(ZeroDivisionError):
        calls(lambda: 1 / 0)
    assert sys.getprofile() is None
