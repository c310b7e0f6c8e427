"""For each law a fault that no other law sees, so that it would live without: data in `needed.toml`."""

from __future__ import annotations

import functools
import tomllib
from pathlib import Path
from typing import Any


def witnesses() -> dict[str, str]:
    """The law -> the id of its fault, by hand or generated."""
    return {law: fault for law, fault in _table().items() if law != "not_shown"}


def not_shown() -> dict[str, str]:
    """The law -> why no fault can show that it is needed."""
    return dict(_table().get("not_shown", {}))


@functools.cache
def _table() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("needed.toml").read_text(encoding="utf-8"))
