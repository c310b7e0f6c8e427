"""Timings as Markdown, one table a workload: what a README shows of a bench run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import formats
from .timings import headlines

Record = Mapping[str, Any]
# Each of our tiers beside the path of torch.optim that works as it does.
_TWINS = (("foreach", "torch-foreach"), ("reference", "torch-forloop"))
_HEADS = ("fused, µs a step", "of roof", "over torch's best", "95% interval", "foreach over torch's",
          "reference over torch's loop")  # fmt: skip
_SCHEDULER_HEADS = ("scheduler", "torch, µs a step", "foreach, µs a step", "over torch", "95% interval",
                    "fused over torch", "reference over torch")  # fmt: skip


def render(records: Sequence[Record]) -> str:
    """A table for each workload, a line for each algorithm: the fused tier, and the other two beside their twins; of
    schedulers, which torch has one path of, each tier beside that.

    Ratios are of speed: above 1 is faster than torch. "—" stands where there is no figure, and a refusal in its place.

    Args:
        records: run records, as `optbench.runs.records.read` gives them.

    Example:
        >>> render([{"measurements": []}])
        ''
    """
    rows = [row for record in records for row in record["measurements"]]
    blocks = []
    for setting in headlines(rows):
        by_subject: dict[str, dict[str, Any]] = {}
        for row in setting.rows:
            by_subject.setdefault(row["subject"], {})[row["implementation"]] = row
        untimed = {subject: named for subject, named in by_subject.items() if all(map(_refused, named.values()))}
        scheduled = bool(setting.rows[0].get("groups"))
        algorithm = "average" if setting.rows[0]["gradients"] == "none" else "optimizer"
        heads = _SCHEDULER_HEADS if scheduled else (algorithm, *_HEADS)
        cells = _scheduler_cells if scheduled else _cells
        lines = [_line(heads), _line(["---"] + ["---:"] * (len(heads) - 1))]
        lines += [_line(cells(subject, named)) for subject, named in by_subject.items() if subject not in untimed]
        lines += ["", *_reasons(untimed)] * bool(untimed)
        blocks.append(f"**{setting.title}**: {setting.detail}\n\n" + "\n".join(lines))
    return "\n\n".join(blocks) + "\n" * bool(blocks)


def _refused(row: Mapping[str, Any]) -> str:
    return str(row["refused"] or "")


def _reasons(untimed: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What nobody could be timed on, and why, once for all implementations."""
    reasons = (dict.fromkeys(map(_refused, named.values())) for named in untimed.values())
    told = [f"{subject} ({'; '.join(each)})" for subject, each in zip(untimed, reasons, strict=True)]
    return [f"Not timed: {', '.join(told)}."]


def _cells(subject: str, named: Mapping[str, Mapping[str, Any]]) -> list[str]:
    fused = named.get("fused")
    cells = [subject]
    if fused is None:
        cells += [formats.NONE] * 4
    elif fused["refused"]:
        cells += [f"refused: {fused['refused']}", *[formats.NONE] * 3]
    else:
        baseline = str(fused["baseline"]).removeprefix("torch-")
        ratio = formats.times(fused["ratio_to_baseline"])
        cells += [
            formats.microseconds(fused["median_s"]),
            formats.percent(fused["bandwidth_fraction"]),
            f"{ratio} ({baseline})" if baseline and ratio != formats.NONE else ratio,
            formats.interval(fused["ratio_low"], fused["ratio_high"]) or formats.NONE,
        ]
    return cells + [formats.times(_over(named, ours, theirs)) for ours, theirs in _TWINS]


def _scheduler_cells(subject: str, named: Mapping[str, Mapping[str, Any]]) -> list[str]:
    foreach = named.get("foreach", {})
    ratios = {name: formats.times(named.get(name, {}).get("ratio_to_baseline")) for name in ("fused", "reference")}
    if foreach.get("refused"):
        told = [f"refused: {foreach['refused']}", formats.NONE, formats.NONE]
    else:
        told = [
            formats.microseconds(foreach.get("median_s")),
            formats.times(foreach.get("ratio_to_baseline")),
            formats.interval(foreach.get("ratio_low"), foreach.get("ratio_high")) or formats.NONE,
        ]
    return [subject, formats.microseconds(named.get("torch", {}).get("median_s")), *told, *ratios.values()]


def _over(named: Mapping[str, Mapping[str, Any]], ours: str, theirs: str) -> float | None:
    """How many times as fast ours is as theirs: by their ratios to one baseline, which are paired."""
    mine, other = (named.get(name, {}).get("ratio_to_baseline") for name in (ours, theirs))
    return mine / other if mine and other else None


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
