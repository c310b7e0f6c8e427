"""The oracle of averages: explicit sums equal the recurrences that define the averages."""

from __future__ import annotations

import pytest
import torch

from optbench.trials import means

DTYPE = torch.float64


def draws(updates: int, dtype: torch.dtype = DTYPE) -> torch.Tensor:
    return torch.randn(updates, 5, generator=torch.Generator().manual_seed(3), dtype=dtype)


def recurrence(models: torch.Tensor, weight, start: torch.Tensor, counted: int) -> torch.Tensor:
    average = start
    for n, model in enumerate(models, counted):
        average = average + weight(n) * (model - average)
    return average


@pytest.mark.parametrize(("counted", "updates"), [(1, 1), (1, 7), (4, 3)])
def test_the_mean_is_the_recurrence_of_means(counted: int, updates: int) -> None:
    start, *models = draws(updates + 1)
    wanted = recurrence(torch.stack(models), lambda n: 1 / (n + 1), start, counted)
    torch.testing.assert_close(means.mean(torch.stack(models), start, counted), wanted, rtol=1e-14, atol=0)


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.999, 1.0])
def test_the_exponential_mean_is_its_recurrence(decay: float) -> None:
    start, *models = draws(7)
    wanted = recurrence(torch.stack(models), lambda n: 1 - decay, start, 1)
    actual = means.Exponential(decay)(torch.stack(models), start, 1)
    torch.testing.assert_close(actual, wanted, rtol=1e-13, atol=0)


def test_the_first_model_is_copied_where_there_is_no_start() -> None:
    models = draws(3)
    rng = torch.Generator().manual_seed(0)
    first = means.expected(means.mean, models[:1], None, 0, DTYPE, rng)
    assert torch.equal(first.expected, models[0])
    third = means.expected(means.mean, models, None, 0, DTYPE, rng)
    torch.testing.assert_close(third.expected, models.mean(0), rtol=1e-14, atol=0)


def test_an_average_goes_on_from_a_start_that_counts_for_several() -> None:
    models, start = draws(2), torch.ones(5, dtype=DTYPE)
    found = means.expected(means.mean, models, start, 6, DTYPE, torch.Generator().manual_seed(0))
    torch.testing.assert_close(found.expected, (6 * start + models.sum(0)) / 8, rtol=1e-14, atol=0)


def test_rounding_of_the_models_widens_the_unit() -> None:
    models = draws(4).to(torch.bfloat16).to(DTYPE)
    rng = torch.Generator().manual_seed(0)
    coarse = means.expected(means.mean, models, None, 0, torch.bfloat16, rng)
    fine = means.expected(means.mean, models, None, 0, torch.float32, rng)
    assert (coarse.unit > 10_000 * fine.unit).all()
    assert torch.equal(coarse.expected, fine.expected)


def test_complex_numbers_are_judged_by_their_parts() -> None:
    models = draws(3, torch.complex128)
    found = means.expected(means.Exponential(0.5), models, None, 0, torch.complex64, torch.Generator().manual_seed(0))
    wanted = recurrence(models[1:], lambda n: 0.5, models[0], 1)
    assert found.expected.shape == (5, 2)
    torch.testing.assert_close(found.expected, torch.view_as_real(wanted), rtol=1e-14, atol=0)


def test_the_callers_sum_is_numbered_from_what_is_counted() -> None:
    models = draws(2)
    wanted = models[0] * 3 + models[1] * 4
    torch.testing.assert_close(means.numbered_sum(models, torch.zeros(5, dtype=DTYPE), 3), wanted)
