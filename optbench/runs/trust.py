"""How far this machine's timings can be trusted, as it was last measured here. Importing this needs no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optbench.runs.reader import HOME
from optbench.runs.strict_json import dump_line, write_text

SCHEMA = "optbench.calibration/1"
FILE = "calibration.json"
# What must be as it was for a calibration to tell about another run.
_SAME = ("machine", "torch", "torch_threads", "device")


def keep(environment: Mapping[str, Any], curves: Sequence[Mapping[str, Any]], home: Path = HOME) -> Path:
    """Keep the curves of `optbench.timing.calibration` for the runs to come; the earlier ones are replaced.

    Raises:
        UsageError: they cannot be written.
    """
    path = home / FILE
    home.mkdir(parents=True, exist_ok=True)
    where = {name: environment.get(name) for name in (*_SAME, "time", "load_average", "commit")}
    rows = ",\n  ".join(dump_line(dict(curve)) for curve in curves)
    head = f'{{"schema": {json.dumps(SCHEMA)},\n "where": {dump_line(where)},\n'
    write_text(path, f'{head} "curves": [\n  {rows}\n ]}}\n')
    return path


def recall(environment: Mapping[str, Any], home: Path = HOME) -> dict[str, Any] | None:
    """What was kept for a run in this environment: {"time", "load_average", "curves"}; None where nothing fits."""
    try:
        content = json.loads((home / FILE).read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA or any(content["where"][name] != environment.get(name) for name in _SAME):
            return None
        where = content["where"]
        return {"time": where["time"], "load_average": where["load_average"], "curves": content["curves"]}
    except (OSError, ValueError, KeyError, TypeError):
        # A damaged file is none.
        return None
