"""Foreach Adafactor computes what torch's for-loop computes, and holds where that overflows or divides by zero."""

import copy
import itertools
import pickle

import pytest
import torch
from optbench.impls import foreach

from .twins import (
    check,
    check_copy_goes_on_alone,
    check_interchange,
    check_versions,
    flat,
    normal,
    parameters,
    refusal,
    stream,
    train,
)

OPTIONS = {
    "lr": 0.3,
    "lr tensor": torch.tensor([0.02], dtype=torch.float64),
    "beta2_decay": -0.3,
    "eps": (1e-2, 0.5),
    "d": 1.5,
    "weight_decay": 0.2,
    "foreach": True,
    "maximize": True,
}
VALUES = [normal(3, 4), normal(7), normal(), normal(2, 3, 4), normal(1, 5), normal(5, 1), normal(3, 4, seed=5)]


@pytest.mark.parametrize("chosen", [(), *itertools.combinations(OPTIONS, 2)])
def test_pairwise_options(chosen):
    check("Adafactor", VALUES, stream(VALUES), **{key.split()[0]: OPTIONS[key] for key in chosen})


def test_late_and_missing_gradients():
    rows = stream(VALUES, steps=6)
    for step, place in [(0, 0), (1, 0), (3, 2), (2, 1), *[(step, 3) for step in range(6)]]:
        rows[step][place] = None
    check("Adafactor", VALUES, rows, weight_decay=0.1)


@pytest.mark.parametrize("size", [1e-6, 1e3])
def test_steps_are_relative_to_the_parameter(size):
    values = [value * size for value in VALUES]
    check("Adafactor", values, stream(values), 1e-11, 1e-12 * size, lr=0.5)


@pytest.mark.parametrize("eps", [(None, 1e-3), (1e-2, 0.5)])
@pytest.mark.parametrize("size", [0.0, 1e-9, 1e-4])
def test_small_gradients(eps, size):
    rows = [[grad * size for grad in row] for row in stream(VALUES)]
    check("Adafactor", VALUES, rows, lr=0.5, eps=eps)


def test_large_updates_are_clipped():
    # a row that was still, then moves: the estimate lags behind
    rows = [[normal(4, 4) * scale] for scale in (1e-3, 1e-3, 10.0)]
    (param,) = flat(check("Adafactor", [normal(4, 4, seed=2)], rows))
    before = normal(4, 4, seed=2)
    assert (param.detach() - before).norm() < 0.1 * before.norm()


LAYOUTS = {
    "transposed gradient": lambda: (normal(4, 6), normal(6, 4).t()),
    "transposed parameter": lambda: (normal(6, 4).t(), normal(4, 6)),
    "channels_last": lambda: (normal(2, 3, 4, 5).to(memory_format=torch.channels_last), normal(2, 3, 4, 5)),
    "expanded gradient": lambda: (normal(4, 6), normal(4, 1).expand(4, 6)),
    "strided": lambda: (normal(8, 12, seed=4)[::2, ::2], normal(8, 12)[::2, ::2]),
    "strided vector": lambda: (normal(12)[::2], normal(18)[::3]),
}


def test_layouts():
    values, grads = zip(*[make() for make in LAYOUTS.values()], strict=True)
    check("Adafactor", values, [grads] * 3, weight_decay=0.1)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 3)])
def test_zero_elements_are_left_alone(shape):
    values = [normal(3, 4), torch.empty(shape, dtype=torch.float64), normal(5)]
    optimizer = train(foreach.Adafactor(parameters(values), weight_decay=0.1), stream(values))
    alone = train(torch.optim.Adafactor(parameters(values[::2]), weight_decay=0.1), stream(values[:1] + values[2:]))
    first, empty, _ = flat(optimizer)
    assert optimizer.state[empty]["step"] == 5
    assert all(value.isfinite().all() for value in optimizer.state[empty].values())
    torch.testing.assert_close(first, flat(alone)[0])


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 5e-6), (torch.bfloat16, 4e-2), (torch.float16, 6e-3)]
)
def test_dtypes(dtype, tolerance):
    values = [value.to(dtype) for value in VALUES]
    check("Adafactor", values, stream(values), tolerance, tolerance, weight_decay=0.1, maximize=True)


def test_float16_sums_do_not_overflow():
    # the sum of squares, 1.6e8, and even its root of sums over all, are beyond float16 where the means are not
    value = torch.full((1000, 1000), 100.0, dtype=torch.float16)
    grad = torch.full((1000, 1000), 20.0, dtype=torch.float16)
    (param,) = params = parameters([value])
    optimizer = train(foreach.Adafactor(params, lr=0.1), [[grad]])
    torch.testing.assert_close(optimizer.state[param]["row_var"], torch.full((1000, 1), 400.0, dtype=torch.float16))
    torch.testing.assert_close(param.detach(), value - 10.0)


def test_each_parameter_has_the_eps_of_its_dtype():
    # torch's loop keeps that of the group's first parameter
    values = [torch.full((4,), 2.0, dtype=dtype) for dtype in (torch.bfloat16, torch.float64)]
    rows = [[torch.full_like(value, size) for value, size in zip(values, (1e-3, 1e-5), strict=True)]]
    together = train(foreach.Adafactor(parameters(values)), rows)
    for place, tolerance in ((0, 1e-2), (1, 1e-12)):
        alone = train(torch.optim.Adafactor(parameters([values[place]])), [[rows[0][place]]])
        torch.testing.assert_close(flat(together)[place], flat(alone)[0], rtol=tolerance, atol=0)


def test_negative_bits_and_state_of_another_dtype():
    lazy = normal(3, 4, dtype=torch.complex128).conj().imag
    assert lazy.is_neg()
    plain = lazy.detach().clone().resolve_neg()
    params = [torch.nn.Parameter(lazy), torch.nn.Parameter(plain)]
    optimizer = foreach.Adafactor(params, lr=0.1)
    for grads in stream([plain], steps=3):
        train(optimizer, [grads * 2])
    torch.testing.assert_close(params[0].detach().resolve_neg(), params[1].detach(), rtol=1e-13, atol=0)

    value = normal(3, 4).to(torch.bfloat16)
    param, twin = torch.nn.Parameter(value.clone()), torch.nn.Parameter(value.float())
    grad = normal(3, 4, seed=3).to(torch.bfloat16)
    optimizer = foreach.Adafactor([param])
    expected = foreach.Adafactor([twin], eps=(torch.finfo(value.dtype).eps, 1e-3))
    train(optimizer, [[grad]])
    train(expected, [[grad.float()]])
    wide = {key: state.clone() for key, state in expected.state[twin].items()}
    optimizer.state[param] = wide
    twin.data.copy_(param.data)
    train(optimizer, [[grad]])
    train(expected, [[grad.float()]])
    torch.testing.assert_close(param.detach(), twin.detach().bfloat16(), rtol=0, atol=0)
    torch.testing.assert_close(wide, expected.state[twin])


@pytest.mark.parametrize("grad", [torch.ones(3, 2).to_sparse(), torch.ones(3, 2, dtype=torch.complex64)])
def test_refusals_are_torchs(grad):
    value = torch.ones(3, 2, dtype=grad.dtype)
    found = refusal(foreach.Adafactor, value, grad)
    assert found == refusal(torch.optim.Adafactor, value, grad) and found is not None


def test_versions_checkpoints_and_copies():
    check_versions("Adafactor", VALUES, stream(VALUES)[0])
    check_interchange("Adafactor", VALUES, stream(VALUES), weight_decay=0.1)
    for duplicate in (copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))):
        check_copy_goes_on_alone("Adafactor", VALUES, stream(VALUES), duplicate)


def test_the_order_of_the_states_entries_means_nothing():
    def go_on(order):
        params = parameters(VALUES)
        optimizer = foreach.Adafactor(params, lr=0.3)
        for row in stream(VALUES, steps=4):
            for param, grad in zip(params, row, strict=True):
                param.grad = grad.clone()
                state = optimizer.state[param]
                optimizer.state[param] = dict(order(list(state.items())))
            optimizer.step()
        return params

    for ours, turned in zip(go_on(list), go_on(reversed), strict=True):
        assert torch.equal(ours, turned)
