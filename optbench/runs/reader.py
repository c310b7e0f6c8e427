"""Reads run records and journals, and says in one line what is wrong with what is neither. Needs no torch."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optbench.errors import UsageError
from optbench.runs.results import VERDICTS, Measurement, Result
from optbench.runs.strict_json import NON_FINITE, reason

SCHEMA = "optbench.run/1"
HOME = Path(".optbench")
JOURNAL = ".jsonl"
ROWS: dict[str, type[Result] | type[Measurement]] = {"results": Result, "measurements": Measurement}

_JSON_TYPES: dict[str, tuple[type, ...]] = {
    "float": (int, float),
    "int": (int,),
    "bool": (bool,),
    "str": (str,),
    "Verdict": (str,),
    "Level": (str,),
    "dict[str, Any]": (dict,),
    "None": (type(None),),
}


def empty(header: Mapping[str, Any]) -> dict[str, Any]:
    """A record without rows, its parts in the order in which they are written.

    Args:
        header: "command", "started", "environment" and "plan".
    """
    started = {name: header[name] for name in ("command", "started")}
    where = {name: header[name] for name in ("environment", "plan")}
    rows: dict[str, Any] = {"results": [], "measurements": [], "coverage": {}, "curves": {}}
    told: dict[str, Any] = {"laws": {}, "deviations": {}, "summary": {}}
    return {"schema": SCHEMA, **started, "finished": None, **where, **rows, **told}


def read(path: Path | str) -> dict[str, Any]:
    """A record, from its JSON file or from the journal of a run that did not finish.

    Raises:
        UsageError: there is no such file, or it is a folder, no JSON, cut short, of another schema, or lacks parts.
    """
    path = Path(path)
    text = _text(path)
    if text.startswith('{"journal"'):
        return _from_journal(path, text)
    try:
        return _checked(path, json.loads(text))
    except json.JSONDecodeError as error:
        raise _not_json(path, text, error) from error


def _text(path: Path) -> str:
    if path.is_dir():
        newest = max(path.glob("*.json*"), key=lambda found: found.stat().st_mtime, default=None)
        hint = f"name a record in it, such as {newest}." if newest else "there is no record in it."
        raise UsageError(f"{path} is a folder: {hint}")
    try:
        content = path.read_bytes()
        return content.decode("utf-8")
    except FileNotFoundError:
        raise UsageError(f"there is no record {path}: `optbench compare -o {path}` writes one.") from None
    except OSError as error:
        raise UsageError(f"cannot read {path}: {reason(error)}.") from error
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data":
            # Cut in the middle of a letter: what is whole before it may still be read.
            return content[: error.start].decode("utf-8")
        raise UsageError(f"{path} is no record: it is not text.") from None


def _not_json(path: Path, text: str, error: json.JSONDecodeError) -> UsageError:
    if not text.strip():
        return UsageError(f"{path} is empty. {_recovery(path)}")
    # A text that begins as an object and whose fault lies in its last line was cut.
    if text.lstrip().startswith("{") and "\n" not in text[error.pos :].rstrip("\n"):
        return UsageError(f"{path} is cut short after {len(text)} characters. {_recovery(path)}")
    return UsageError(f"{path} is not JSON: line {error.lineno}, column {error.colno}: {error.msg}.")


def _recovery(path: Path) -> str:
    journal = path.with_suffix(JOURNAL)
    if journal.is_file():
        return f"Its journal is still there: give {journal} instead."
    return f"A run that did not finish leaves a journal (*{JOURNAL}) in {HOME / 'runs'}: if there is one, give that."


def _from_journal(path: Path, text: str) -> dict[str, Any]:
    # What follows the last line break was being written when the run ended.
    lines = text.split("\n")[:-1]
    if not lines:
        raise UsageError(f"{path} is cut short in its first line: no result was kept.")
    entries = [_entry(path, number, line) for number, line in enumerate(lines, start=1)]
    header = entries.pop(0)
    if header["journal"] != SCHEMA:
        raise _other_schema(path, header["journal"])
    try:
        record = empty(header)
        for entry in entries:
            for part, value in entry.items():
                if part in ROWS:
                    record[part].append(value)
                else:
                    record[part] = value
    except KeyError as error:
        raise UsageError(f"{path} is damaged: its first line has no {error}.") from error
    kept = f"{_count(record['results'], 'result')} and {_count(record['measurements'], 'measurement')}"
    record["summary"] = {"sentence": f"Unfinished: the run ended after {kept}.", "exit_status": None}
    return _checked(path, record)


def _count(rows: list[Any], noun: str) -> str:
    return f"{len(rows)} {noun}" if len(rows) == 1 else f"{len(rows)} {noun}s"


def _entry(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except json.JSONDecodeError as error:
        raise UsageError(f"{path} is damaged: line {number} is not JSON ({error.msg}).") from error
    if not isinstance(entry, dict):
        raise UsageError(f"{path} is damaged: line {number} is not a JSON object.")
    return entry


def _other_schema(path: Path, schema: Any) -> UsageError:
    return UsageError(f"{path} has schema {schema!r}; this optbench reads {SCHEMA!r}. Use the optbench that wrote it.")


def _checked(path: Path, loaded: Any) -> dict[str, Any]:
    """The record with every row complete: fields that a writer left out get their defaults."""
    if not isinstance(loaded, dict) or "schema" not in loaded:
        raise UsageError(f"{path} is JSON, but no record of optbench: it names no schema.")
    if loaded["schema"] != SCHEMA:
        raise _other_schema(path, loaded["schema"])
    whole = empty({"command": "", "started": None, "environment": {}, "plan": {}})
    for part, default in whole.items():
        given = loaded.get(part, default)
        if isinstance(default, list | dict) and not isinstance(given, type(default)):
            kind = "array" if isinstance(default, list) else "object"
            raise UsageError(f"{path} is no whole record: {part!r} is not a JSON {kind}.")
    record = {**whole, **loaded}
    for part, row_type in ROWS.items():
        record[part] = [
            _row(f"{path} is no whole record: {part}[{number}]", row, row_type)
            for number, row in enumerate(record[part])
        ]
    return record


def _row(where: str, row: Any, row_type: type[Result] | type[Measurement]) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise UsageError(f"{where} is not a JSON object.")
    whole = dict(row)
    for column in dataclasses.fields(row_type):
        if column.name not in whole:
            whole[column.name] = _default(where, column)
        value = whole[column.name]
        kinds = str(column.type).split(" | ")
        if "float" in kinds and isinstance(value, str) and value in NON_FINITE:
            whole[column.name] = NON_FINITE[value]
        elif not isinstance(value, tuple(known for kind in kinds for known in _JSON_TYPES[kind])):
            raise UsageError(f"{where} has {column.name} = {value!r}, which is not {column.type}.")
    if row_type is Result and whole["verdict"] not in VERDICTS:
        raise UsageError(f"{where} has verdict {whole['verdict']!r}, which is none of {', '.join(VERDICTS)}.")
    return whole


def _default(where: str, column: dataclasses.Field[Any]) -> Any:
    if column.default is not dataclasses.MISSING:
        return column.default
    if column.default_factory is not dataclasses.MISSING:
        return column.default_factory()
    raise UsageError(f"{where} has no {column.name!r}.")
