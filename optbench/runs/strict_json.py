"""Strict JSON and files written in one step. Importing this needs no torch.

A float that JSON cannot hold is written as the string "NaN", "Infinity" or "-Infinity".
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optbench.errors import UsageError

NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def to_plain(value: Any) -> Any:
    """A value as strict JSON can hold it: tuples as lists, numpy scalars as numbers, anything unknown as its text."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        # A lone surrogate, as from a path that is not UTF-8, could not be written to a file.
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {to_plain(str(name)): to_plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_plain(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_plain(dataclasses.asdict(value))
    if hasattr(value, "item"):
        return to_plain(value.item())
    return to_plain(str(value))


def dump_line(value: Any) -> str:
    """Strict JSON in one line."""
    return json.dumps(to_plain(value), ensure_ascii=False, allow_nan=False)


def write_text(path: Path, text: str) -> None:
    """Write a file in one step: a reader sees the old one or the new one, never a part.

    Raises:
        UsageError: it cannot be written there.
    """
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            # A pipe or a device is written to; renaming a file over it would replace it.
            path.write_text(text, encoding="utf-8")
            return
        # Through a link, so that the file it points to changes and the link stays.
        target = path.resolve()
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            with part.open("w", encoding="utf-8", newline="\n") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {reason(error)}.") from error


def reason(error: OSError) -> str:
    """Why the operating system refused, without number and file name."""
    return error.strerror or str(error)
