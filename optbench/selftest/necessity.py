"""For each law a fault that no other law sees, so that it would live without: data in `needed.toml`."""

from __future__ import annotations

import functools
import tomllib
from pathlib import Path


@functools.cache
def witnesses() -> dict[str, str]:
    """The law -> the id of its fault, by hand or generated; a law that is missing is not shown to be needed."""
    return dict(tomllib.loads(Path(__file__).with_name("needed.toml").read_text(encoding="utf-8")))
