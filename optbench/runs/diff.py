"""Two run records compared: what got slower, what moves more, which law broke since. Importing this needs no torch.

Timings are compared as ratios to one of torch.optim's own paths, timed in the same rounds as everything else: the same
code gives the same ratio on a quiet and on a busy day, which medians in seconds do not. Counted figures and verdicts of
laws depend on no clock: they are compared exactly.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from optbench.errors import NothingToRun, UsageError
from optbench.registry import IMPLEMENTATIONS
from optbench.runs.difference import Difference, Row, rank
from optbench.runs.ratios import Heat, contrast
from optbench.runs.reader import read
from optbench.runs.results import BROKEN, Result
from optbench.runs.strict_json import to_plain
from optbench.runs.summary import Rules, is_wrong

__all__ = ["FIGURES", "THRESHOLD", "Difference", "Row", "compare"]

THRESHOLD = 0.1
# Figures that no clock has a part in, and what they are called. Less is better of each.
FIGURES = {
    "dispatched_ops": "dispatched ops",
    "bytes_per_step": "bytes a step",
    "peak_temporary_bytes": "temporary bytes",
    "state_bytes_per_element": "state bytes an element",
}

Record = Mapping[str, Any]
# Without one of these, a ratio of two runs is a ratio of two machines or of two versions of torch.
_MUST_AGREE = {"machine": "machine", "torch": "version of torch"}
_MAY_DIFFER = ("optbench", "python", "triton", "numba", "numpy", "torch_threads", "numba_threads", "seed")
# What a measurement is of, besides the implementation.
_HEAT = ("subject", "workload", "device", "dtype", "gradients", "elements", "tensors", "groups")


def compare(
    before: Record | Path | str, after: Record | Path | str, threshold: float = THRESHOLD, force: bool = False
) -> Difference:
    """Compare two records.

    Only what the second record judges can be a regression: a broken law that was not broken before, a figure that rose,
    a ratio to torch's path that fell both significantly and by more than `threshold`, or an implementation that was
    timed before and is wrong now. Significant is what the interval puts below 1, and intervals are so wide that all
    judged ones hold together at 95%: among a hundred ratios of the same code none is slower, as a rule.

    Args:
        before, after: files, or records as `optbench.runs.records.read` gives them.
        threshold: the slowdown that is let pass; 0.1 is 10% more time a step.
        force: compare across machines and versions of torch too, and mark it.

    Raises:
        UsageError: the threshold is negative, a file is no record, or the records come from two machines or versions
            of torch.
        NothingToRun: the records tell of nothing in common.

    Example:
        >>> record = {"environment": {"machine": "m", "torch": "2.13"}, "laws": {}, "plan": {}, "results": []}
        >>> compare({**record, "measurements": []}, {**record, "measurements": []})
        Traceback (most recent call last):
        optbench.errors.NothingToRun: the first record and the second record tell of nothing in common.
    """
    if not 0 <= threshold < float("inf"):
        raise UsageError(f"threshold {threshold} is no slowdown: write 0.1 for 10%.")
    names = [str(item) if isinstance(item, Path | str) else f"the {nth} record"
             for item, nth in ((before, "first"), (after, "second"))]  # fmt: skip
    old, new = (read(item) if isinstance(item, Path | str) else item for item in (before, after))
    marks = _marks(old, new, names, force)
    verdicts, verdicts_now = _verdicts(old), _verdicts(new)
    heats, heats_now = _heats(old), _heats(new)
    rows = [*_laws(verdicts, verdicts_now, _rules(new))]
    shared = [place for place in heats if place in heats_now]
    among = sum(_counts(row) for place in shared for name, row in heats_now[place].items() if name in heats[place])
    for place in shared:
        rows += _measurements(heats[place], heats_now[place], threshold, among)
    if not rows:
        raise NothingToRun(f"{names[0]} and {names[1]} tell of nothing in common.")
    told, told_now = _coordinates(verdicts, heats), _coordinates(verdicts_now, heats_now)
    return Difference(
        rows=tuple(sorted(rows, key=rank)),
        only_before=tuple(text for text in told if text not in told_now),
        only_after=tuple(text for text in told_now if text not in told),
        marks=marks,
        threshold=threshold,
    )


def _marks(old: Record, new: Record, names: list[str], force: bool) -> tuple[str, ...]:
    """What differs around the two runs.

    Raises:
        UsageError: what makes their ratios incomparable does, and nobody forces it.
    """
    was, now = old["environment"], new["environment"]
    found = []
    for field, word in _MUST_AGREE.items():
        if was.get(field) and was.get(field) == now.get(field):
            continue
        told = " and ".join(f"{name} on {_named(side, field)}" for name, side in zip(names, (was, now), strict=True))
        if not force:
            raise UsageError(f"not the same {word}: {told}; --force compares them anyway, and marks it.")
        found.append(f"not the same {word}: {told}; what differs may be theirs")
    found += [
        f"{field.replace('_', ' ')}: {was.get(field, 'unknown')} before, {now.get(field, 'unknown')} after"
        for field in _MAY_DIFFER
        if was.get(field) != now.get(field)
    ]
    sides = zip(names, (old, new), strict=True)
    return (*found, *(f"{name} did not finish" for name, side in sides if not side.get("finished", True)))


def _named(environment: Record, field: str) -> str:
    value = environment.get(field) or "an unknown one"
    if field != "machine":
        return f"torch {value}"
    gpu = (environment.get("gpu") or {}).get("name")
    known = [str(part) for part in (environment.get("cpu"), gpu) if part]
    return f"{value} ({', '.join(known)})" if known else str(value)


def _rules(record: Record) -> Rules:
    grades = frozenset(name for name, law in record["laws"].items() if law.get("grade"))
    return Rules(frozenset(), frozenset(IMPLEMENTATIONS), grades, bool(record["plan"].get("require_torch")))


def _verdicts(record: Record) -> dict[tuple[str, ...], Result]:
    fields = [field.name for field in dataclasses.fields(Result)]
    results = (Result(**{name: row[name] for name in fields if name in row}) for row in record["results"])
    return {(row.subject, row.implementation, row.law, row.case): row for row in results}


def _heats(record: Record) -> dict[tuple[Any, ...], Heat]:
    """What was timed together, by what it was timed on: implementation -> row."""
    heats: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in record["measurements"]:
        options = json.dumps(to_plain(row.get("options") or {}), sort_keys=True)
        heats.setdefault((*(row.get(name) for name in _HEAT), options), {})[row["implementation"]] = row
    return dict(heats)


def _coordinates(verdicts: Mapping[tuple[str, ...], Any], heats: Mapping[tuple[Any, ...], Heat]) -> dict[str, None]:
    """Everything that a record tells of, in words."""
    laws = (f"{subject} {name}: {law}[{case}]" for subject, name, law, case in verdicts)
    return dict.fromkeys(chain(laws, (_timing(row) for heat in heats.values() for row in heat.values())))


def _timing(row: Record) -> str:
    size = f"{row.get('elements', 0):,} elements in {row.get('tensors', 0):,} tensors"
    return f"{row['subject']} {row['implementation']}: {where(row)}, {size}, gradients {row.get('gradients')}"


def where(row: Record) -> str:
    """On what a row was measured."""
    options = ", ".join(f"{name}={value}" for name, value in (row.get("options") or {}).items())
    return f"{row['workload']}, {row['dtype']} on {row['device']}" + (f", {options}" if options else "")


def _laws(
    before: Mapping[tuple[str, ...], Result], after: Mapping[tuple[str, ...], Result], rules: Rules
) -> Iterator[Row]:
    for place, new in after.items():
        if place not in before:
            continue
        old = before[place]
        verdict = _judge_law(old, new)
        note = "" if verdict == "same" else " ".join(new.message.split())
        if new.broken and not rules.counts(new):
            note = f"not judged: {note}" if note else ""
        yield Row(
            "law", new.subject, new.implementation, new.case, new.law, old.verdict, new.verdict, verdict,
            regression=verdict == "worse" and new.broken and rules.counts(new), note=note,
        )  # fmt: skip


def _judge_law(old: Result, new: Result) -> str:
    if old.verdict == new.verdict:
        return "same"
    # What was skipped says nothing, so that a law broken after it is news all the same.
    if "skip" in (old.verdict, new.verdict):
        return "worse" if new.broken else "changed"
    was, now = (2 if row.verdict in BROKEN else int(row.verdict == "precision") for row in (old, new))
    return "worse" if now > was else "better" if now < was else "changed"


def _measurements(before: Heat, after: Heat, threshold: float, among: int) -> Iterator[Row]:
    """Everything that two races on the same workload tell."""
    for name in after:
        if name not in before:
            continue
        old, new = before[name], after[name]
        if old.get("refused") or new.get("refused"):
            yield _refusal(old, new)
            continue
        yield from _figures(old, new)
        found = contrast(before, after, name, among)
        if found is None:
            continue
        slower = found.verdict == "slower" and found.change is not None and 1 / found.change > 1 + threshold
        yield Row(
            "time", new["subject"], name, where(new), found.yardstick, found.before, found.after, found.verdict,
            found.change, found.low, found.high, slower and _counts(new), found.note,
        )  # fmt: skip


def _judged(row: Record) -> bool:
    return bool(row.get("judged"))


def _counts(row: Record) -> bool:
    """Whether a slowdown of this row is a regression: a curve's points are timed too coarsely."""
    return _judged(row) and not row.get("curve")


def _refusal(old: Record, new: Record) -> Row:
    was, now = (" ".join((row.get("refused") or "").split()) for row in (old, new))
    wrong = is_wrong(now) and not is_wrong(was)
    verdict = "worse" if wrong else "same" if bool(was) == bool(now) else "changed" if now else "better"
    before, after = ("no" if why else "yes" for why in (was, now))
    return Row(
        "timed", new["subject"], new["implementation"], where(new), "timed", before, after, verdict,
        regression=wrong and _judged(new), note=now or was,
    )  # fmt: skip


def _figures(old: Record, new: Record) -> Iterator[Row]:
    for field, name in FIGURES.items():
        was, now = old.get(field), new.get(field)
        if was is None and now is None:
            continue
        verdict, change = "changed", None
        if was is not None and now is not None:
            verdict = "same" if was == now else "worse" if now > was else "better"
            change = now / was if was else None
        yield Row(
            "figure", new["subject"], new["implementation"], where(new), name, was, now, verdict, change,
            regression=verdict == "worse" and _judged(new),
        )  # fmt: skip
