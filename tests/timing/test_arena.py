"""The shared memory: values, gradients that stand still or move, and the way back."""

import itertools

import pytest
import torch

from optbench.timing.arena import RESET_AFTER, Arena
from optbench.timing.workloads import parse


def test_everyone_gets_the_same_values() -> None:
    one, two = (Arena(parse("3x100"), "float32", "cpu", seed=4) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.params, two.params, strict=True))
    assert not torch.equal(one.params[0], one.params[1]) and not torch.equal(one.params[0], one.grads[0])
    assert not torch.equal(one.params[0], Arena(parse("3x100"), "float32", "cpu", seed=5).params[0])


def test_large_tensors_are_filled_to_the_end() -> None:
    arena = Arena(parse("1x4M"), "float32", "cpu", seed=0)
    assert bool((arena.params[0] != 0).all()) and bool((arena.grads[0] != 0).all())
    assert arena.params[0].std().item() == pytest.approx(1, rel=0.01)
    # The pattern does not repeat at the length of any block.
    assert not torch.equal(arena.params[0][: 1 << 20], arena.params[0][1 << 20 : 2 << 20])


def test_standing_gradients_stand() -> None:
    arena = Arena(parse("3x100"), "bfloat16", "cpu", seed=0)
    places = [param.grad.data_ptr() for param in arena.params]  # type: ignore[union-attr]
    arena.renew()
    assert [param.grad.data_ptr() for param in arena.params] == places  # type: ignore[union-attr]
    assert arena.dtype is torch.bfloat16 and arena.bytes == 600


def test_moving_gradients_move_every_step_and_keep_their_values() -> None:
    arena = Arena(parse("50x64/autograd"), "float32", "cpu", seed=0)
    places: list[list[int]] = []
    for _ in range(6):
        arena.renew()
        grads = [param.grad for param in arena.params]
        assert all(torch.equal(grad, values) for grad, values in zip(grads, arena.grads, strict=True))  # type: ignore[arg-type]
        places.append([grad.data_ptr() for grad in grads])  # type: ignore[union-attr]
        with torch.no_grad():
            torch._foreach_mul_(list(arena.params), 0.5)
    for before, after in itertools.pairwise(places):
        assert not set(before) & set(after)


def test_moving_gradients_take_a_scale() -> None:
    arena = Arena(parse("2x8/autograd"), "float32", "cpu", seed=0)
    arena.scale = -0.5
    arena.renew()
    assert torch.equal(arena.params[1].grad, -0.5 * arena.grads[1])  # type: ignore[arg-type]


def test_values_return_before_they_run_away() -> None:
    arena = Arena(parse("2x8"), "float32", "cpu", seed=0)
    arena.state["exp_avg"] = [torch.ones(8), torch.ones(8)]
    arena.save()
    start = arena.params[0].detach().clone()
    with torch.no_grad():
        arena.params[0].mul_(2)
        arena.state["exp_avg"][1].mul_(3)
    arena.before_sample(RESET_AFTER)
    assert torch.equal(arena.params[0], 2 * start)
    arena.before_sample(1)
    assert torch.equal(arena.params[0], start) and bool((arena.state["exp_avg"][1] == 1).all())


def test_a_users_parameters_keep_dtype_strides_and_values() -> None:
    given = [torch.randn(4, 6).t(), torch.ones(3, dtype=torch.float64)]
    arena = Arena(parse("train.py:model"), "float32", "cpu", seed=0, given=given)
    assert [param.stride() for param in arena.params] == [(1, 6), (1,)]
    assert [param.dtype for param in arena.params] == [torch.float32, torch.float64]
    assert torch.equal(arena.params[0], given[0]) and arena.params[0].data_ptr() != given[0].data_ptr()
    assert arena.grads[0].stride() == (1, 6) and arena.elements == 27
