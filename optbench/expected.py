"""Failures that the owner of an implementation expects, declared in a TOML file of theirs. Needs no torch.

An entry a reason, in a file that `--expect` names. `law`, `subject` and `case` are names or globs; the last two are "*"
where they are left out:

    [[expected]]
    law = "opt.layouts"
    subject = "adamw"
    case = "float32/strided*"
    reason = "strided parameters are not supported: issue 12"

A result that such an entry names and that breaks its law is the verdict `xfail`, which breaks nothing. One that passes
is `xpass`, which does: what no longer fails is to be struck from the file.
"""

from __future__ import annotations

import difflib
import fnmatch
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from optbench.errors import UsageError, unknown
from optbench.runs.results import Result

_TABLE = "expected"
_KEYS = ("law", "subject", "case", "reason")


@dataclass(frozen=True)
class Entry:
    """An expected failure.

    Args:
        number: its place in the file, from 1.
        law, subject, case: names or globs.
        reason: one line, why it fails.
    """

    number: int
    law: str
    subject: str
    case: str
    reason: str

    def names(self, law: str, subject: str, case: str) -> bool:
        """Whether it is about this case."""
        pairs = ((self.law, law), (self.subject, subject), (self.case, case))
        return all(fnmatch.fnmatchcase(text, pattern) for pattern, text in pairs)

    def __str__(self) -> str:
        return f"entry {self.number} ({self.law}, {self.subject}, {self.case})"

    def unmatched(self, source: str) -> str:
        """What is said of it, where it is about no case."""
        return f"{source}: {self} is about no case of this run: strike it, or mend it."


@dataclass(frozen=True)
class Expectations:
    """What a file declares.

    Args:
        entries: in the order of the file; the first that names a case decides.
        source: the file.

    Example:
        >>> entry = Entry(1, "opt.layouts", "adamw", "*strided*", "not supported")
        >>> Expectations((entry,), "expected.toml").unmatched([("opt.layouts", "adamw", "float32/strided")])
        []
    """

    entries: tuple[Entry, ...]
    source: str

    def find(self, law: str, subject: str, case: str) -> Entry | None:
        """The entry that is about a case."""
        return next((entry for entry in self.entries if entry.names(law, subject, case)), None)

    def judge(self, result: Result) -> Result:
        """The result with what was expected of it taken into account; `skip` and `precision` stay."""
        entry = self.find(result.law, result.subject, result.case)
        if entry is None:
            return result
        if result.broken:
            return replace(result, verdict="xfail", message=f"expected, {entry.reason}: {result.message}")
        if result.verdict == "pass":
            said = f"it passes, and {entry} of {self.source} expects it to fail: strike the entry, or narrow it."
            return replace(result, verdict="xpass", message=said)
        return result

    def unmatched(
        self, cases: Iterable[tuple[str, str, str]], others: Iterable[str] = (), laws: Collection[str] | None = None
    ) -> list[Entry]:
        """The entries that are about none of a run's cases, each (law, subject, case).

        Args:
            cases: the cases.
            others: subjects that another run may be about: entries about those alone are left out.
            laws: ids of the laws that the run asks, None: all; entries about others are left out.
        """
        left, subjects = list(self.entries), set()
        for law, subject, case in cases:
            subjects.add(subject)
            found = self.find(law, subject, case)
            if found in left:
                left.remove(found)
        elsewhere = set(others) - subjects
        return [
            entry
            for entry in left
            if (fnmatch.filter(subjects, entry.subject) or not fnmatch.filter(elsewhere, entry.subject))
            and (laws is None or fnmatch.filter(laws, entry.law))
        ]


def load(path: Path | str, laws: Collection[str]) -> Expectations:
    """Read a file of expected failures.

    Args:
        path: the file.
        laws: the ids of all laws.

    Raises:
        UsageError: there is no such file, it is no TOML, or an entry is not as it has to be; one line that names the
            entry.
    """
    where = f"--expect {str(path)!r}"
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"{where}: there is no such file.") from None
    except (OSError, UnicodeError) as error:
        raise UsageError(f"{where} cannot be read: {' '.join(str(error).split())}.") from error
    try:
        read = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{where} is no TOML: {error}.") from error
    other = sorted(set(read) - {_TABLE})
    if other:
        raise UsageError(f"{where}: unknown key {other[0]!r}: begin each entry with [[{_TABLE}]].")
    rows = read.get(_TABLE, [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UsageError(f"{where}: {_TABLE!r} is no list of tables: begin each entry with [[{_TABLE}]].")
    return Expectations(tuple(_entry(where, number, row, laws) for number, row in enumerate(rows, 1)), str(path))


def _entry(where: str, number: int, row: Mapping[str, Any], laws: Collection[str]) -> Entry:
    named = f" ({row['law']})" if isinstance(row.get("law"), str) else ""
    here = f"{where}, entry {number}{named}"
    for key, value in row.items():
        if key not in _KEYS:
            close = difflib.get_close_matches(key, _KEYS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"an entry has {', '.join(_KEYS)}."
            raise UsageError(f"{here}: unknown key {key!r}: {hint}")
        if not isinstance(value, str) or not value.strip():
            raise UsageError(f"{here}: {key} is {value!r}: write some text in quotes.")
    for key in ("law", "reason"):
        if key not in row:
            raise UsageError(f"{here} has no {key}: add {key} = \"…\".")
    if not fnmatch.filter(laws, row["law"]):
        raise UsageError(f"{here}: {unknown('law', row['law'], laws, 'optbench list laws')}")
    return Entry(number, row["law"], row.get("subject", "*"), row.get("case", "*"), " ".join(row["reason"].split()))
