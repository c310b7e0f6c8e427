"""What a run comes to: the sentence, the exit status, and a count for each law and implementation. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from optbench.errors import EXIT_BROKEN, EXIT_OK, NothingToRun, OptbenchError
from optbench.runs.results import WITH_DTYPE, WITH_TORCH, Measurement, Result

_NAMED_IN_CONTEXT = 2
_MESSAGE_WIDTH = 200
# What a measurement's refusal says where the implementation was wrong, rather than unable.
_WRONG = (
    "does not match the oracle",
    "after it was timed",
    "its step raised",
    "its first step raised",
    "did not survive",
)


@dataclass
class Cell:
    """What one implementation did under one law: a count for each verdict, and the first result that broke it.

    Args:
        counts: verdict -> number of results.
        comparisons: elements and facts compared.
        error_ulp: worst scaled error seen, None where the law has none.
        grade: whether a break is only reported.
        first_broken: the first result whose verdict breaks the law.
        deviations: for each broken result, the row of the table of deviations that explains it, or None.
        forgiven: broken results of foreign code that do not count: how far it is a drop-in, what it has from torch.
    """

    counts: dict[str, int] = field(default_factory=dict)
    comparisons: int = 0
    error_ulp: float | None = None
    grade: bool = False
    first_broken: Result | None = None
    first_skipped: Result | None = None
    deviations: list[str | None] = field(default_factory=list)
    forgiven: int = 0

    def add(self, result: Result) -> None:
        self.counts[result.verdict] = self.counts.get(result.verdict, 0) + 1
        self.comparisons += result.comparisons
        if result.error_ulp is not None and not (self.error_ulp is not None and self.error_ulp >= result.error_ulp):
            self.error_ulp = result.error_ulp
        if result.broken:
            self.first_broken = self.first_broken or result
            self.deviations.append(result.deviation)
            self.forgiven += result.backend == "foreign" and not result.judged
        if result.verdict == "skip":
            self.first_skipped = self.first_skipped or result

    @property
    def ran(self) -> int:
        """Cases that were not skipped."""
        return sum(self.counts.values()) - self.counts.get("skip", 0)

    @property
    def broken(self) -> int:
        return len(self.deviations)

    @property
    def symbol(self) -> str:
        """✗ broken, ~ precision lost (or a grade not reached), (✗) broken as expected, – nothing ran, ✓ kept."""
        if self.broken:
            return "~" if self.grade or self.forgiven == self.broken else "✗"
        if not self.ran:
            return "–"
        return "~" if self.counts.get("precision") else "(✗)" if self.counts.get("xfail") else "✓"

    @property
    def known(self) -> str:
        """The deviations that explain every broken case, "D-007"; empty where one is not explained."""
        return "" if None in self.deviations else ", ".join(sorted({str(known) for known in self.deviations}))


@dataclass(frozen=True)
class Summary:
    """What a run comes to.

    Args:
        sentence: one line, "OK: …" or "BROKEN: …".
        exit_status: 0 or 1.
        cells: (law, implementation) -> counts, over all subjects, in the order of the results.
        laws: how many laws were judged.
        cases: how many different cases the judged implementations ran.
    """

    sentence: str
    exit_status: int
    cells: dict[tuple[str, str], Cell]
    laws: int = 0
    cases: int = 0


@dataclass(frozen=True)
class Rules:
    """Which broken results change the exit status.

    Args:
        ours: names of our tiers.
        known: names of all implementations in the registry; any other name is foreign code.
        grades: laws that are reported and never broken.
        require_torch: foreign code has to keep the laws of level "torch" too.
        expected: laws that have to make a comparison; those with results, where it is None.
        elsewhere: laws that are about other devices, and make none here.
    """

    ours: frozenset[str]
    known: frozenset[str]
    grades: frozenset[str] = frozenset()
    require_torch: bool = False
    expected: tuple[str, ...] | None = None
    elsewhere: frozenset[str] = frozenset()

    def counts(self, result: Result) -> bool:
        """Whether a break of this result breaks the run."""
        return result.judged and result.law not in self.grades and not self.drop_in(result)

    def drop_in(self, result: Result) -> bool:
        """Whether it only tells how far foreign code is a drop-in for torch.optim."""
        foreign = result.implementation not in self.known
        return foreign and result.level == "torch" and not self.require_torch and result.law not in self.grades


def summarise(results: Sequence[Result], rules: Rules, measurements: Sequence[Measurement] = ()) -> Summary:
    """The sentence, exit status and counts of a run.

    Raises:
        NothingToRun: there is neither a result nor a measurement, or everything was skipped.
        OptbenchError: a result passed without a comparison, which no law may do.
    """
    _refuse_empty(results, measurements)
    cells = count(results, rules.grades)
    if not results:
        return _of_measurements(measurements, cells)
    counting = [result for result in results if rules.counts(result)]
    ran = [result for result in counting if result.verdict != "skip"]
    laws = len({result.law for result in ran})
    cases = len({(result.law, result.subject, result.case) for result in ran})
    problem = _broken(counting, cells) or _silent(counting, rules) or _refused(measurements)
    first = f"BROKEN: {problem}" if problem else f"OK: {_kept(ran, rules, laws, cases)}"
    parts = [first, _torch_grade(results, rules), _unasked(counting), _precision(counting), _context(results, rules)]
    if not problem:
        parts.append(_speed(measurements))
    sentence = " ".join(_sentence(part) for part in parts if part)
    return Summary(sentence, EXIT_BROKEN if problem else EXIT_OK, cells, laws, cases)


def _refuse_empty(results: Sequence[Result], measurements: Sequence[Measurement]) -> None:
    """A run that compared nothing, or a law that did, is no success."""
    for result in results:
        if result.verdict == "pass" and not result.comparisons:
            raise OptbenchError(
                f"{_named(result)} of {result.implementation} passed without a comparison: a bug of optbench."
            )
    if not results and not measurements:
        raise NothingToRun("nothing was selected: no law has such a case (-k, --law, --dtype), and nothing was timed.")
    # Foreign code may have been asked for grades only.
    asked = [result for result in results if result.judged] or results
    if results and all(result.verdict == "skip" for result in asked):
        reasons = sorted({result.message for result in asked} - {""})
        raise NothingToRun(f"no case of a judged implementation could run{f': {reasons[0]}' if reasons else ''}.")


def count(results: Iterable[Result], grades: frozenset[str] = frozenset()) -> dict[tuple[str, str], Cell]:
    """(law, implementation) -> counts."""
    cells: dict[tuple[str, str], Cell] = {}
    for result in results:
        cells.setdefault((result.law, result.implementation), Cell(grade=result.law in grades)).add(result)
    return cells


def _broken(counting: Sequence[Result], cells: dict[tuple[str, str], Cell]) -> str:
    """Who breaks what, and the first case of it; empty where nothing is broken."""
    broken = [result for result in counting if result.broken]
    if not broken:
        return ""
    who: dict[str, list[str]] = {}
    for law, name in dict.fromkeys((result.law, result.implementation) for result in broken):
        cell = cells[law, name]
        who.setdefault(name, []).append(f"{law} in {cell.broken} of {_plural(cell.ran, 'case')}")
    said = "; ".join(f"{name} breaks {_listed(laws)}" for name, laws in who.items())
    first = broken[0]
    message = " ".join(first.message.split())
    if len(message) > _MESSAGE_WIDTH:
        message = message[: _MESSAGE_WIDTH - 1] + "…"
    return f"{said}; first: {first.subject} {_named(first)}: {message or first.verdict}"


def _silent(counting: Sequence[Result], rules: Rules) -> str:
    """The law that compared nothing although it had to."""
    compared: dict[str, int] = {law: 0 for law in rules.expected or () if law not in rules.grades}
    skipped: dict[str, str] = {}
    # One tier refuses what another has: that none of them does it is known where all were asked.
    all_ours = rules.ours <= {result.implementation for result in counting}
    for result in counting:
        if result.law in rules.elsewhere:
            continue
        if result.verdict == "skip" and not (all_ours and result.implementation in rules.ours):
            # Others may lack what a law is about; what they lack is listed as skipped.
            skipped[result.law] = result.message
            continue
        compared[result.law] = compared.get(result.law, 0) + result.comparisons
    for law, comparisons in compared.items():
        if not comparisons and law not in skipped:
            return f"{law} made no comparison."
    return ""


def _kept(ran: Sequence[Result], rules: Rules, laws: int, cases: int) -> str:
    if not ran:
        return "only grades were asked for, which nothing can break"
    names = list(dict.fromkeys(result.implementation for result in ran))
    who = f"our {len(names)}" if len(names) > 1 and all(name in rules.ours for name in names) else _listed(names)
    keep, break_ = ("keeps", "breaks") if len(names) == 1 else ("keep", "break")
    expected = [result for result in ran if result.verdict == "xfail"]
    broken = list(dict.fromkeys(result.law for result in expected))
    said = f"{break_} {_listed(broken)} in {_plural(len(expected), 'case')} as expected" if expected else ""
    if len(broken) == laws:
        return f"{who} {said}"
    every = f"{laws - len(broken)} of {laws} laws" if expected else f"all {laws} laws" if laws > 1 else ran[0].law
    return f"{who} {keep} {every} in {_plural(cases, 'case')}" + (f" and {said}" if said else "")


def _torch_grade(results: Sequence[Result], rules: Rules) -> str:
    """How far judged foreign code is a drop-in for torch.optim, where that is not required."""
    graded = [result for result in results if rules.drop_in(result)]
    laws = {result.law for result in graded if result.verdict != "skip"}
    if not laws:
        return ""
    # What torch.optim.Optimizer itself breaks makes nobody less of a drop-in.
    broken = sorted({result.law for result in graded if result.broken and not result.deviation})
    said = f"Drop-in for torch.optim: {len(laws) - len(broken)} of {_plural(len(laws), 'law')}"
    return said + (f" (not {', '.join(broken)}; --require torch makes that count)" if broken else "")


def _unasked(counting: Sequence[Result]) -> str:
    """What is asked of judged foreign code when somebody says so."""
    messages = dict.fromkeys(result.message for result in counting if result.verdict == "skip")
    ways = {WITH_TORCH: "--require torch", WITH_DTYPE: "--dtype"}
    told = [f"{_listed([each.removesuffix(f' {end}') for each in messages if each.endswith(end)])} ({way})"
            for end, way in ways.items() if any(each.endswith(end) for each in messages)]  # fmt: skip
    return f"Not asked: {_listed(told)}" if told else ""


def _precision(counting: Sequence[Result]) -> str:
    found = [result for result in counting if result.verdict == "precision"]
    names = list(dict.fromkeys(result.implementation for result in found))
    return f"Precision is lost by {_listed(names)} in {_plural(len(found), 'case')}" if found else ""


def _context(results: Sequence[Result], rules: Rules) -> str:
    """What the implementations that are not judged break."""
    context = [
        result for result in results if not (result.judged or rules.drop_in(result) or result.law in rules.grades)
    ]
    broken: dict[str, list[str]] = {}
    for (law, name), cell in count(context).items():
        if cell.broken:
            known = f" (known, {cell.known})" if cell.known else ""
            broken.setdefault(name, []).append(f"{law}{known}")
    # What no row of the table explains is news: it comes first.
    said = [
        f"{name} breaks {_listed(sorted(laws, key=lambda law: law.endswith(')')), _NAMED_IN_CONTEXT)}"
        for name, laws in broken.items()
    ]
    return f"Context: {'; '.join(said)}" if said else ""


def _speed(measurements: Sequence[Measurement]) -> str:
    """The fastest judged implementation on the first workload; of several algorithms, the slowest and the fastest."""
    rows = [row for row in measurements if row.judged and row.ratio_to_baseline and row.implementation != row.baseline]
    rows = [row for row in rows if row.workload == rows[0].workload]
    best: dict[str, Measurement] = {}
    for row in rows:
        if row.subject not in best or _ratio(row) > _ratio(best[row.subject]):
            best[row.subject] = row
    if not best:
        return ""
    ends = [min(best.values(), key=_ratio), max(best.values(), key=_ratio)]
    if len(best) > 1:
        told = " to ".join(f"{_ratio(row):.2f}x {row.baseline} ({row.subject})" for row in ends)
        return f"Speed on {rows[0].workload}: {told}"
    row = ends[0]
    verdict = f" ({row.verdict})" if row.verdict else ""
    return f"Speed on {row.workload}: {row.implementation} {_ratio(row):.2f}x {row.baseline}{verdict}"


def _ratio(row: Measurement) -> float:
    return row.ratio_to_baseline or 0.0


def _refused(measurements: Sequence[Measurement]) -> str:
    """A judged implementation that was not timed because what it computed was wrong; empty where there is none."""
    for row in measurements:
        if row.judged and row.refused and is_wrong(row.refused):
            return f"{row.implementation} could not be timed on {row.workload}: {' '.join(row.refused.split())}"
    return ""


def is_wrong(refused: str) -> bool:
    """Whether a measurement's refusal says that what was computed is wrong, rather than that it could not run."""
    return any(text in refused for text in _WRONG)


def _of_measurements(measurements: Sequence[Measurement], cells: dict[tuple[str, str], Cell]) -> Summary:
    timed = [row for row in measurements if row.median_s is not None]
    refused = _refused(measurements)
    if not timed and not refused:
        reasons = [row.refused for row in measurements if row.refused]
        raise NothingToRun(f"nothing could be timed{f': {reasons[0]}' if reasons else ''}.")
    if refused:
        return Summary(_sentence(f"BROKEN: {refused}"), EXIT_BROKEN, cells)
    names = list(dict.fromkeys(row.workload for row in timed))
    said = f"OK: {_plural(len(timed), 'measurement')} on {_plural(len(names), 'workload')}"
    return Summary(" ".join(_sentence(part) for part in (said, _speed(measurements)) if part), EXIT_OK, cells)


def _named(result: Result) -> str:
    return f"{result.law}[{result.case}]"


def _listed(names: Sequence[str], most: int = 3) -> str:
    shown = list(names[:most])
    if len(names) > most:
        shown.append(f"{len(names) - most} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _sentence(text: str) -> str:
    return text if text.endswith((".", "…", "?", "!")) else text + "."
