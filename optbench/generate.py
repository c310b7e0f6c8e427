"""Cases that hypothesis draws from what a law and a declaration allow, in the full suite; a failure is shrunk by it.

hypothesis is imported when it is needed, and where it is missing a result says so. Importing this needs no torch.
"""

from __future__ import annotations

import math
import os
import random
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from optbench.case import Case
from optbench.failures.localise import again
from optbench.law import Space
from optbench.runs.reader import HOME
from optbench.runs.results import Result
from optbench.subjects import Subject

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy

    from optbench.checking import Task

DRAWN = "drawn"
MISSING = "hypothesis is not installed here, which draws further cases: pip install 'optbench[test]'"
EXAMPLES = 60
# Where a case takes seconds, or what one parameter does decides what all others do.
FEW_EXAMPLES = 10
# How often a failure is checked again to find a smaller one.
SHRINKS = 200
# Places between two declared values at which an option is tried.
_PLACES = 100
# Around the widths of vectors and blocks. Sums over so many elements have rounding of their own: they are for
# algorithms that make none.
_SIZES = (127, 128, 129, 255, 256, 257, 1023, 1024, 1025, 4097)
_MOST_SHAPES = 4


def placeholder(subject: str, device: str, seed: int) -> Case:
    """The case that stands for all drawn ones: its id is "drawn"."""
    return Case(subject, dtype="", variant=DRAWN, device=device, seed=seed)


@dataclass
class Search:
    """What came of the drawn cases of one law, subject and implementation.

    Args:
        task: the task of the placeholder.
        check: checks one task.
        limit: how many cases are checked at most.
        any_failure: whether known failures count.
    """

    task: Task
    check: Callable[[Task], Result]
    limit: int
    any_failure: bool = False
    ran: list[Result] = field(default_factory=list)
    skipped: list[Result] = field(default_factory=list)
    known: list[Result] = field(default_factory=list)
    _outcomes: dict[str, Result] = field(default_factory=dict)

    def fails(self, case: Case) -> bool:
        """Whether a case breaks the law; first by what no row of the table of deviations explains."""
        if case.id not in self._outcomes:
            if len(self._outcomes) >= self.limit:
                return False
            self._outcomes[case.id] = self._checked(case)
        result = self._outcomes[case.id]
        return result.broken and (self.any_failure or result.deviation is None)

    def _checked(self, case: Case) -> Result:
        result = self.check(again(self.task, case))
        known = result.broken and result.deviation is not None
        (self.skipped if result.verdict == "skip" else self.known if known else self.ran).append(result)
        return result

    def result(self, smallest: Case | None) -> Result | str:
        """One row for them all: the smallest failure, or how many were drawn; the reason, where none could be."""
        if smallest is not None:
            return self._outcomes[smallest.id]
        if not self.ran:
            return self.skipped[0].message if self.skipped else "no case could be drawn"
        imprecise = next((result for result in self.ran if result.verdict == "precision"), None)
        said = f"{len(self.ran)} drawn cases" + (f": [{imprecise.case}] {imprecise.message}" if imprecise else "")
        worst = max(self.ran, key=lambda result: result.error_ulp or 0.0)
        return replace(worst, case=DRAWN, verdict="precision" if imprecise else "pass", message=said, finding=None,
                       deviation=None, reproduce=self.task.reproduce,
                       comparisons=sum(result.comparisons for result in self.ran),
                       seconds=sum(result.seconds for result in self.ran))  # fmt: skip


def search(task: Task, check: Callable[[Task], Result], few: bool = False) -> Result | str:
    """Draw cases, check each, and shrink the first that fails.

    Args:
        task: of the placeholder, with the space to draw from.
        check: checks one task.
        few: whether a case takes long.

    Returns:
        One result; the reason, where nothing can be drawn.
    """
    # What hypothesis keeps would else lie in the user's folder.
    os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(HOME / "hypothesis"))
    try:
        import hypothesis
    except ImportError:
        return MISSING
    assert task.space is not None
    subject = task.subject
    most = FEW_EXAMPLES if few or not subject.elementwise else EXAMPLES
    searched = Search(task, check, most + SHRINKS)
    settings = hypothesis.settings(max_examples=most, deadline=None, database=None, print_blob=False,
                                   phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink))  # fmt: skip
    seed = zlib.crc32(f"{task.case.seed} {task.law} {task.case.subject}".encode())

    strategy = cases(task.case, subject, task.law, task.space)

    def smallest() -> Case | None:
        try:
            return hypothesis.find(strategy, searched.fails, settings=settings, random=random.Random(seed))
        except (hypothesis.errors.NoSuchExample, hypothesis.errors.Unsatisfiable):
            return None

    found = smallest()
    if found is None and searched.known:
        # What is known is shrunk only where nothing is new. The same cases are drawn, which have been checked.
        searched.any_failure, searched.limit = True, searched.limit + SHRINKS
        found = smallest()
    return searched.result(found)


def cases(like: Case, subject: Subject, law: str, space: Space) -> SearchStrategy[Case]:
    """Cases of a space; what stands first or is small in it is where a failure shrinks to.

    Args:
        like: gives device and seed.
        subject: what they are of.
        law: its id: what a subject is exempt from is not drawn.
        space: what to draw from.
    """
    from hypothesis import assume
    from hypothesis import strategies as st

    # What a failure shrinks to stands first: the default.
    declared = {
        name: sorted(choices, key=lambda value, name=name: value != subject.defaults[name])  # type: ignore[misc]
        for name, choices in space.options.items()
    }

    @st.composite
    def case(draw: DrawFn) -> Case:
        options = {name: draw(values(choices)) for name, choices in declared.items()}
        dtype = draw(st.sampled_from(space.dtypes))
        full = {**subject.base, **subject.changed(options)}
        row = {**options, "dtype": dtype}
        assume(not any(_forbidden(row, space, *pair) for pair in space.forbidden))
        drawn = replace(
            like,
            options=full,
            dtype=dtype,
            layout=draw(st.sampled_from(space.layouts)),
            moment=draw(st.sampled_from(space.moments)),
            shapes=draw(shapes(subject.elementwise)) if space.shapes else Case(like.subject).shapes,
            stream=draw(st.sampled_from(space.streams)),
            steps=draw(st.integers(*space.steps)),
            variant=draw(st.sampled_from(space.variants)),
            drawn=True,
        )
        assume(not subject.exempts(law, drawn.id))
        return drawn

    return case()


def _forbidden(row: Mapping[str, Any], space: Space, *pair: tuple[str, Any]) -> bool:
    return all(name in row and _is(row[name], banned, space.options.get(name, ())) for name, banned in pair)


def _is(value: Any, banned: Any, declared: Sequence[Any]) -> bool:
    """Whether a value is the one that is forbidden, or between declared ones and so as bad as that.

    Zero alone turns an option off: what stands between is not off.
    """
    if any(value == known and type(value) is type(known) for known in declared) or not declared:
        return bool(value == banned)
    return _number(banned) and bool(banned)


def values(declared: Sequence[Any]) -> SearchStrategy[Any]:
    """A declared value of an option, the first one most simply, or one between two of them, which is legal too."""
    from hypothesis import strategies as st

    chosen: SearchStrategy[Any] = st.sampled_from(list(declared))
    numbers = [value for value in declared if _number(value)]
    tuples = [value for value in declared if isinstance(value, tuple)]
    if len(numbers) > 1 and all(isinstance(number, int) for number in numbers):
        return chosen | st.integers(min(numbers), max(numbers))
    places = st.integers(1, _PLACES - 1)
    if len(numbers) > 1:
        low, high = min(numbers), max(numbers)
        return chosen | places.map(lambda place: _between(low, high, place))
    if len(tuples) > 1 and len({len(value) for value in tuples}) == 1 and all(_floats(value) for value in tuples):
        first, second = tuples[:2]
        return chosen | places.map(
            lambda place: tuple(_between(a, b, place) for a, b in zip(first, second, strict=True))
        )
    return chosen


def _between(low: float, high: float, place: int) -> float:
    """A number of three digits between two others; what spans decades is divided by factors."""
    part = place / _PLACES
    apart = low > 0 < high and max(low, high) > 10 * min(low, high)
    value = math.exp((1 - part) * math.log(low) + part * math.log(high)) if apart else low + (high - low) * part
    return float(f"{value:.3g}")


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _floats(value: tuple[Any, ...]) -> bool:
    return all(isinstance(item, float) for item in value)


def shapes(large: bool) -> SearchStrategy[str]:
    """A few shapes as a case's text: small tensors, vectors of every size; large ones around the widths of kernels."""
    from hypothesis import strategies as st

    # One number stands for all sizes, so that from a large one every small one can be reached.
    sizes = (*range(71), *(_SIZES if large else ()))
    vectors = st.integers(0, len(sizes) - 1).map(lambda place: sizes[place])
    some = st.lists(st.integers(0, 9), min_size=2, max_size=4)
    shape = vectors.map(str) | some.map(lambda sizes: "x".join(map(str, sizes))) | st.just("scalar")
    return st.lists(shape, min_size=1, max_size=_MOST_SHAPES).map(",".join)
