"""Problems are the same for everyone, exactly representable, and lie in memory as asked."""

from __future__ import annotations

import pytest
import torch

from optbench.case import Case
from optbench.trials.error import real
from optbench.trials.problem import LAYOUTS, MOMENTS, SHAPES, Problem, dtype_of


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "complex64"])
def test_values_survive_every_layout(layout: str, dtype: str) -> None:
    problem = Problem(Case("adam", layout=layout, dtype=dtype, stream="wide"))
    for i, values in enumerate(problem.start):
        grad = problem.grad(i, 0)
        assert grad is not None
        param, placed = problem.place_param(values), problem.place_grad(grad)
        assert torch.equal(param.tensor.detach().to(values.dtype), values)
        assert torch.equal(placed.tensor.to(grad.dtype), grad)
        assert param.tensor.is_leaf and param.tensor.requires_grad
        assert param.untouched() and placed.untouched()


@pytest.mark.parametrize("layout", ["strided", "offset"])
def test_canaries_see_every_write_around_a_view(layout: str) -> None:
    problem = Problem(Case("adam", layout=layout))
    for values in problem.start:
        placed = problem.place_param(values)
        assert placed.buffer is not None and placed.around is not None
        flat = placed.buffer.view(-1)
        for position in placed.around.reshape(-1).nonzero().flatten().tolist():
            before = flat[position].item()
            with torch.no_grad():
                flat[position] = 0.0
                assert not placed.untouched()
                flat[position] = before
        assert placed.untouched()


def test_layouts_are_what_they_are_called() -> None:
    def placed(layout: str) -> tuple[torch.Tensor, torch.Tensor]:
        problem = Problem(Case("adam", layout=layout, shapes="matrices"))
        grad = problem.grad(0, 0)
        assert grad is not None
        return problem.place_param(problem.start[0]).tensor, problem.place_grad(grad).tensor

    assert not placed("transposed")[0].is_contiguous()
    assert placed("grad_unlike")[0].stride() != placed("grad_unlike")[1].stride()
    assert placed("expanded_grad")[1].stride()[-1] == 0
    assert placed("strided")[0].stride()[-1] == 2
    assert placed("offset")[0].data_ptr() % 16 != 0


def test_values_are_representable_in_the_tested_dtype() -> None:
    for dtype in ("float32", "bfloat16", "float16", "complex64"):
        problem = Problem(Case("adam", dtype=dtype, stream="wide"))
        for i in range(len(problem)):
            grad = problem.grad(i, 0)
            assert grad is not None
            assert torch.equal(grad.to(dtype_of(dtype)).to(grad.dtype), grad)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16", "complex64"])
def test_denormal_problems_hold_nothing_else_and_survive_their_dtype(dtype: str) -> None:
    problem = Problem(Case("adam", dtype=dtype, stream="all denormal", shapes="pair"))
    least = torch.finfo(problem.dtype).tiny
    for i, values in enumerate(problem.start):
        grad = problem.grad(i, 0)
        assert grad is not None
        for tensor in (values, grad):
            assert 0 < float(real(tensor).abs().min()) <= float(real(tensor).abs().max()) < least
            assert torch.equal(tensor, tensor.to(problem.dtype).to(tensor.dtype))


def test_uneven_gradients_shrink_and_grow_and_every_second_parameter_s_are_tiny() -> None:
    problem = Problem(Case("adam", stream="uneven", shapes="forms"))
    sizes = [[float(grad.abs().mean()) for k in range(4) if (grad := problem.grad(i, k)) is not None] for i in (0, 1)]
    assert sizes[0][1] < sizes[0][0] / 100 and sizes[0][3] > sizes[0][0]
    assert all(small < large / 1000 for large, small in zip(*sizes, strict=True))


def test_a_conjugate_gradient_is_lazy() -> None:
    problem = Problem(Case("adam", dtype="complex64", layout="grad_conjugate"))
    grad = problem.grad(0, 0)
    assert grad is not None
    assert problem.place_grad(grad).tensor.is_conj() and not problem.place_param(problem.start[0]).tensor.is_conj()


def test_problems_repeat_and_seeds_differ() -> None:
    one, same, other = (Problem(Case("adam", seed=seed)) for seed in (1, 1, 2))
    assert torch.equal(one.start[0], same.start[0])
    assert not torch.equal(one.start[0], other.start[0])


def test_moments() -> None:
    assert MOMENTS["late"](1, 1) is False and MOMENTS["late"](1, 2) is True
    assert MOMENTS["gap"](0, 1) is False and MOMENTS["gap"](0, 2) is True
    assert not any(MOMENTS["never"](0, k) for k in range(9))


def test_zero_element_tensors_stand_in_every_position() -> None:
    empty = [[0 in shape for shape in SHAPES[name]] for name in ("zero first", "zero middle", "zero last")]
    assert empty == [[True, False, False], [False, True, False], [False, False, True]]


def test_an_unknown_dtype_is_named() -> None:
    with pytest.raises(ValueError, match="float33"):
        dtype_of("float33")
