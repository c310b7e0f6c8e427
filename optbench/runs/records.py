"""Run records: what a run measured, with where and how, as one JSON file. Importing this needs no torch.

A record is one JSON object:

    {"schema": "optbench.run/1", "command": str, "started": UTC time, "finished": UTC time or null,
     "environment": {…}, "plan": {…}, "results": [{…}], "measurements": [{…}],
     "coverage": {subject: {"factors", "covered", "total", "pairs"}},
     "curves": {scheduler: {"options", "formula", "rates", "refused"}},
     "laws": {id: {"statement", …}}, "deviations": {id: {"torch_does", "ours", "upstream", "script", …}},
     "summary": {"sentence": str, "exit_status": int or null}}

While a run goes on, its rows stand in a journal, one JSON object a line, each written as it comes; at the end the
record replaces the journal in one step. A killed run loses at most the case in flight: `read` takes journals as well.

The JSON is strict. A float that JSON cannot hold is written as the string "NaN", "Infinity" or "-Infinity"; `read`
turns these back into floats in the float columns of results and measurements, and leaves every other string alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from optbench.errors import OptbenchError, UsageError
from optbench.runs.reader import HOME, JOURNAL, ROWS, SCHEMA, empty, read
from optbench.runs.results import Measurement, Result
from optbench.runs.strict_json import dump_line, reason, to_plain, write_text

__all__ = ["HOME", "SCHEMA", "Recorder", "Resumed", "dumps", "key", "read", "resume", "write_text"]

Row = Result | Measurement
Key = tuple[Any, ...]

# What must agree before rows of two sittings may stand in one record.
_SAME_RUN = ("machine", "device", "seed", "optbench", "torch", "triton", "numba", "python", "commit")


def key(row: Row | Mapping[str, Any]) -> Key:
    """What makes a row unique in a run: (law, subject, implementation, case), or a measurement's coordinates."""
    plain = row if isinstance(row, Mapping) else row.to_json()
    if "law" in plain:
        return tuple(plain[name] for name in ("law", "subject", "implementation", "case"))
    names = ("subject", "implementation", "workload", "device", "dtype", "gradients")
    return (*(plain.get(name, "") for name in names), json.dumps(to_plain(plain.get("options", {})), sort_keys=True))


def dumps(record: Mapping[str, Any]) -> str:
    """The record as strict JSON: a line for each row, so that two records can be compared by `diff`."""
    parts = []
    for name, value in record.items():
        if name in ROWS and value:
            rows = ",\n  ".join(dump_line(row) for row in value)
            parts.append(f"{json.dumps(name)}: [\n  {rows}\n ]")
        else:
            parts.append(f"{json.dumps(name)}: {dump_line(value)}")
    return "{" + ",\n ".join(parts) + "}\n"


class Recorder:
    """Keeps a run's rows as they come: first in a journal, at the end as one record.

    Args:
        name: what the run is called in its file's name, "compare-adam".
        command: the command line that the run answers.
        environment: what `optbench.runs.environment.collect` found.
        plan: what the run set out to do, ready for JSON.
        output: where the user wants the record, which may overwrite a file there; None: beside the journal, under
            a name that no file has.
        home: the folder under which `runs/` holds journals and records.
        resumed: an earlier run to go on with, from `resume`; its rows are kept.

    Raises:
        UsageError: the journal or the output cannot be written, or the earlier run was of another plan or environment.

    Example:
        >>> with Recorder("check-adam", "optbench check --algo adam", {}, {}) as recorder:  # doctest: +SKIP
        ...     recorder.add(result)
        ...     path = recorder.finish({"sentence": "OK: …", "exit_status": 0})
    """

    def __init__(
        self,
        name: str,
        command: str,
        environment: Mapping[str, Any],
        plan: Mapping[str, Any],
        *,
        output: Path | None = None,
        home: Path = HOME,
        resumed: Resumed | None = None,
    ) -> None:
        header = {"command": command, "started": _now(), "environment": to_plain(environment), "plan": to_plain(plan)}
        self.record = empty(header)
        self.output = output
        if output is not None:
            _check_output(output)
        if resumed is not None:
            resumed.must_fit(self.record)
            self.record = {**resumed.record, "finished": None, "summary": {}}
        self.journal, self._stream = _open_journal(home / "runs", name)
        self._put({"journal": SCHEMA, **{part: self.record[part] for part in header}})
        if resumed is not None:
            self._take_over(resumed)

    def _take_over(self, resumed: Resumed) -> None:
        for part in ROWS:
            for row in self.record[part]:
                self._put({part: row})
        if resumed.path.suffix == JOURNAL:
            # Everything in it now stands in the new journal.
            resumed.path.unlink(missing_ok=True)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    def _put(self, value: Mapping[str, Any]) -> None:
        try:
            self._stream.write(dump_line(value) + "\n")
            self._stream.flush()
        except OSError as error:
            raise OptbenchError(f"cannot write {self.journal}: {reason(error)}.") from error

    def add(self, row: Row) -> None:
        """Keep one result or measurement; when this returns, it survives the end of the process."""
        part = "results" if isinstance(row, Result) else "measurements"
        plain = row.to_json()
        self._put({part: plain})
        self.record[part].append(plain)

    def cover(self, coverage: Mapping[str, Any]) -> None:
        """Keep the pairwise coverage of what ran: {subject: {"factors", "covered", "total", "pairs"}}."""
        self._put({"coverage": coverage})
        self.record["coverage"] = dict(coverage)

    def draw(self, curves: Mapping[str, Any]) -> None:
        """Keep the curves of schedulers, as `optbench.curves.collect` gives them."""
        self._put({"curves": curves})
        self.record["curves"] = dict(curves)

    def finish(
        self,
        summary: Mapping[str, Any],
        *,
        laws: Mapping[str, Any] | None = None,
        deviations: Mapping[str, Any] | None = None,
    ) -> Path:
        """Write the record in one step and remove the journal.

        Args:
            summary: {"sentence", "exit_status", …}.
            laws: for the laws that results name, their `statement`, so that a report can explain itself.
            deviations: for the ids that results name, the fields of `optbench.deviations.Deviation`.

        Returns:
            Where the record is.

        Raises:
            OptbenchError: it cannot be written; the message names the journal, which holds the whole run.
        """
        self.record.update(finished=_now(), laws=dict(laws or {}), deviations=dict(deviations or {}))
        self.record["summary"] = dict(summary)
        path = self.output or self.journal.with_suffix(".json")
        try:
            write_text(path, dumps(self.record))
        except UsageError as error:
            raise OptbenchError(f"{error} Nothing is lost: every row is in {self.journal}.") from error
        self._stream.close()
        self.journal.unlink(missing_ok=True)
        return path


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _check_output(output: Path) -> None:
    """Say before a run of minutes, not after it, that its record has no place to go."""
    if output.is_dir():
        raise UsageError(f"cannot write {output}: it is a folder; name a file in it, such as {output / 'run.json'}.")
    if not output.parent.is_dir():
        raise UsageError(f"cannot write {output}: there is no folder {output.parent}.")
    if not os.access(output if output.exists() else output.parent, os.W_OK):
        raise UsageError(f"cannot write {output}: permission denied.")


def _open_journal(folder: Path, name: str) -> tuple[Path, TextIO]:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    safe = "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in name)[:80]
    for attempt in range(1, 1000):
        path = folder / (f"{stamp}-{safe}{JOURNAL}" if attempt == 1 else f"{stamp}-{safe}-{attempt}{JOURNAL}")
        if path.with_suffix(".json").exists():
            continue
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # "x" fails where another run took the name first.
            return path, path.open("x", encoding="utf-8", newline="\n")
        except FileExistsError as error:
            if not folder.is_dir():
                raise UsageError(f"cannot keep the run in {folder}: a file stands in its place.") from error
        except OSError as error:
            raise UsageError(
                f"cannot keep the run in {folder}: {reason(error)}; start it in a folder of yours."
            ) from error
    raise UsageError(f"cannot keep the run in {folder}: every name for it is taken.")


@dataclass(frozen=True)
class Resumed:
    """An earlier run to go on with.

    Args:
        path: where it was read.
        record: what it holds.
        done: the keys of its rows, as `key` makes them.
    """

    path: Path
    record: dict[str, Any]
    done: frozenset[Key] = field(default_factory=frozenset)

    def must_fit(self, record: Mapping[str, Any]) -> None:
        """Refuse to go on with rows of another plan or environment.

        Raises:
            UsageError: naming the first difference.
        """
        plans = self.record["plan"], record["plan"]
        differences = _differences("plan", *plans, names={*plans[0], *plans[1]})
        differences += _differences("environment", self.record["environment"], record["environment"], names=_SAME_RUN)
        if differences:
            raise UsageError(f"cannot go on with {self.path}: {differences[0]}. Start a new run instead.")


def _differences(part: str, before: Mapping[str, Any], now: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    return [
        f"its {part} has {name} = {before.get(name)!r}, this run {now.get(name)!r}"
        for name in sorted(names)
        if before.get(name) != now.get(name)
    ]


def resume(path: Path | str) -> Resumed:
    """What an earlier run has done, so that `Recorder(resumed=…)` can go on with it.

    Raises:
        UsageError: as `read` does.
    """
    record = read(path)
    return Resumed(Path(path), record, frozenset(key(row) for part in ROWS for row in record[part]))
