"""Pairwise coverage: the fewest rows in which every legal pair of values of two factors occurs together.

Real bugs hide where two things meet (amsgrad and complex parameters, maximize and a late gradient). A covering array
of strength two meets every such pair with a few dozen rows instead of thousands.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Factors = Mapping[str, Sequence[Any]]
Forbidden = Sequence[tuple[tuple[str, Any], tuple[str, Any]]]
# Two (factor index, value index) entries, the lower factor first.
_Pair = tuple[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True)
class PairCoverage:
    """How many of the legal pairs of two factors occurred."""

    first: str
    second: str
    covered: int
    total: int


def rows(factors: Factors, forbidden: Forbidden = (), seed: int = 0) -> list[dict[str, Any]]:
    """Rows that together hold every legal pair, found greedily; the same seed gives the same rows.

    Of a single factor there is a row a value, and of none one that is empty.

    Args:
        factors: name -> values.
        forbidden: pairs of (factor, value) that must not occur together.
        seed: breaks ties.

    Example:
        >>> found = rows({"a": (1, 2), "b": (1, 2), "c": (1, 2)})
        >>> len(found) < 8 and sum(c.total - c.covered for c in coverage(found, {"a": (1, 2), "b": (1, 2)})) == 0
        True
    """
    if len(factors) < 2:
        return [dict(zip(factors, row, strict=True)) for row in itertools.product(*factors.values())]
    table = _Table(factors, forbidden)
    rng = random.Random(seed)
    left = table.legal_pairs()
    found: list[list[int]] = []
    while left:
        candidates = [row for row in (table.grow(left, rng) for _ in range(12)) if row is not None]
        if not candidates:
            break
        best = max(candidates, key=lambda row: len(table.pairs_of(row) & left))
        left -= table.pairs_of(best)
        found.append(best)
    return [{name: factors[name][value] for name, value in zip(table.names, row, strict=True)} for row in found]


def coverage(found: Sequence[Mapping[str, Any]], factors: Factors, forbidden: Forbidden = ()) -> list[PairCoverage]:
    """For every two factors, how many of their legal pairs stand together in one of the rows.

    A row with a value that is no factor's covers nothing.
    """
    table = _Table(factors, forbidden)
    legal = table.legal_pairs()
    seen = set()
    for row in found:
        places = [_index(factors[name], row[name]) for name in table.names]
        known = [place for place in places if place is not None]
        if len(known) == len(places):
            seen |= table.pairs_of(known)
    counted = []
    for i, j in itertools.combinations(range(len(table.names)), 2):
        between = {pair for pair in legal if pair[0][0] == i and pair[1][0] == j}
        counted.append(PairCoverage(table.names[i], table.names[j], len(between & seen), len(between)))
    return counted


def _index(values: Sequence[Any], value: Any) -> int | None:
    # 0 == False and 1 == True, so that equality alone would confuse options of different types.
    return next((i for i, known in enumerate(values) if known == value and type(known) is type(value)), None)


class _Table:
    def __init__(self, factors: Factors, forbidden: Forbidden) -> None:
        self.names = list(factors)
        self.sizes = [len(factors[name]) for name in self.names]
        position = {name: i for i, name in enumerate(self.names)}
        self.forbidden: set[_Pair] = set()
        for (first, a), (second, b) in forbidden:
            if first in position and second in position and a in factors[first] and b in factors[second]:
                ends = sorted(
                    [(position[first], factors[first].index(a)), (position[second], factors[second].index(b))]
                )
                self.forbidden.add((ends[0], ends[1]))

    def legal_pairs(self) -> set[_Pair]:
        pairs = set()
        for i, j in itertools.combinations(range(len(self.names)), 2):
            for a, b in itertools.product(range(self.sizes[i]), range(self.sizes[j])):
                if ((i, a), (j, b)) not in self.forbidden:
                    pairs.add(((i, a), (j, b)))
        return pairs

    def pairs_of(self, row: Sequence[int]) -> set[_Pair]:
        return set(itertools.combinations(enumerate(row), 2))

    def grow(self, left: set[_Pair], rng: random.Random) -> list[int] | None:
        """A legal row around one uncovered pair, each further value chosen to cover the most that is left."""
        seeds = sorted(left)
        (i, a), (j, b) = seeds[rng.randrange(len(seeds))]
        row = {i: a, j: b}
        order = [k for k in range(len(self.names)) if k not in row]
        rng.shuffle(order)
        for k in order:
            choices = [value for value in range(self.sizes[k]) if self._legal(row, k, value)]
            if not choices:
                return None
            # Ties go to the lowest index: declarations list the plainest value first.
            row[k] = max(choices, key=lambda value: (self._gain(row, k, value, left), -value))
        return [row[k] for k in range(len(self.names))]

    def _legal(self, row: Mapping[int, int], k: int, value: int) -> bool:
        return all(self._pair(k, value, other, chosen) not in self.forbidden for other, chosen in row.items())

    def _gain(self, row: Mapping[int, int], k: int, value: int, left: set[_Pair]) -> int:
        return sum(self._pair(k, value, other, chosen) in left for other, chosen in row.items())

    @staticmethod
    def _pair(k: int, value: int, other: int, chosen: int) -> _Pair:
        return ((k, value), (other, chosen)) if k < other else ((other, chosen), (k, value))
