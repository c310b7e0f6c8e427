"""`optbench env`: where and with what a run would take place."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Any

import typer

from . import options


class EnvFormat(StrEnum):
    table = "table"
    json = "json"


def env(
    device: options.Device = "cpu",
    format: Annotated[EnvFormat, typer.Option("--format", "-f", help="How it is written.")] = EnvFormat.table,
) -> None:
    """Print versions, processor, caches, threads, GPU and commit, as every record carries them."""
    from optbench.runs.environment import collect

    found = collect(seed=0, device=device)
    del found["seed"]
    if format == EnvFormat.json:
        print(json.dumps(found, indent=1))
        return
    for name, value in found.items():
        print(f"{name.replace('_', ' '):<24} {_text(name, value)}")


def _text(name: str, value: Any) -> str:
    if value is None:
        return "–"
    if name.endswith("_bytes"):
        return f"{value / 2**30:.1f} GiB" if value >= 2**30 else f"{value / 2**20:.1f} MiB"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(key, item)}" for key, item in value.items())
    if isinstance(value, list):
        return " ".join(str(item) for item in value)
    return str(value)
