"""Pairwise rows hold every legal pair and no forbidden one."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from optbench import pairwise

FACTORS = st.lists(st.integers(1, 4), min_size=2, max_size=6).map(
    lambda sizes: {f"f{i}": tuple(range(size)) for i, size in enumerate(sizes)}
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(factors=FACTORS, seed=st.integers(0, 5))
def test_every_pair_occurs(factors: dict[str, tuple[int, ...]], seed: int) -> None:
    found = pairwise.rows(factors, seed=seed)
    for first, second in itertools.combinations(factors, 2):
        wanted = set(itertools.product(factors[first], factors[second]))
        assert {(row[first], row[second]) for row in found} == wanted
    assert all(pair.covered == pair.total for pair in pairwise.coverage(found, factors))


def test_far_fewer_rows_than_combinations() -> None:
    factors = {f"f{i}": (0, 1, 2) for i in range(8)}
    assert len(pairwise.rows(factors)) < 30 < 3**8


def test_forbidden_pairs_never_occur_and_are_not_counted() -> None:
    factors = {"nesterov": (False, True), "momentum": (0, 0.9), "dampening": (0, 0.25)}
    forbidden = [(("nesterov", True), ("momentum", 0)), (("nesterov", True), ("dampening", 0.25))]
    found = pairwise.rows(factors, forbidden)
    assert not any(row["nesterov"] and (not row["momentum"] or row["dampening"]) for row in found)
    counted = {(pair.first, pair.second): pair.total for pair in pairwise.coverage(found, factors, forbidden)}
    assert counted["nesterov", "momentum"] == 3
    assert counted["momentum", "dampening"] == 4


def test_a_missing_row_shows_in_the_coverage() -> None:
    factors = {"a": (0, 1), "b": (0, 1), "c": (0, 1)}
    found = pairwise.rows(factors)
    short = pairwise.coverage(found[:1], factors)
    assert sum(pair.covered for pair in short) == 3
    assert sum(pair.total for pair in short) == 12


def test_the_same_seed_gives_the_same_rows() -> None:
    factors = {"a": (1, 2, 3), "b": (1, 2, 3), "c": (1, 2)}
    assert pairwise.rows(factors, seed=3) == pairwise.rows(factors, seed=3)


def test_false_and_zero_are_different_values() -> None:
    found = pairwise.rows({"a": (0, 0.9), "b": (False, True)})
    assert all(pair.covered == 4 for pair in pairwise.coverage(found, {"a": (0, 0.9), "b": (False, True)}))


def test_a_row_beside_the_factors_covers_nothing() -> None:
    factors = {"a": (1, 2), "b": (1, 2)}
    found = pairwise.coverage([{"a": 1, "b": 1}, {"a": 1000, "b": 2}], factors)
    assert [(pair.covered, pair.total) for pair in found] == [(1, 4)]


def test_fewer_than_two_factors_are_whole() -> None:
    assert pairwise.rows({}) == [{}]
    assert pairwise.rows({"a": (1, 2)}) == [{"a": 1}, {"a": 2}]
