"""Timings as Markdown: the figures are the record's, and what is missing is told."""

from __future__ import annotations

from optbench.reports import formats
from optbench.reports.markdown import render

from tests.reports.record_fixture import make


def _row(record: dict[str, object], **wanted: object) -> dict[str, object]:
    rows = record["measurements"]
    assert isinstance(rows, list)
    return next(row for row in rows if all(row[name] == value for name, value in wanted.items()))


def test_each_workload_has_a_table_with_a_line_for_each_optimizer() -> None:
    text = render([make(subjects=("adam", "sgd"))])
    for workload in ("1x16M", "1000x64", "1000x64/autograd"):
        assert f"**{workload}**" in text
    assert text.count("\n| adam |") == text.count("\n| sgd |") == 3
    assert "1x1K" not in text


def test_figures_are_the_records() -> None:
    record = make(subjects=("adam",))
    fused, loop, reference = (
        _row(record, implementation=name, workload="1x16M") for name in ("fused", "torch-forloop", "reference")
    )
    line = next(line for line in render([record]).split("**1x16M**")[1].splitlines() if line.startswith("| adam |"))
    assert formats.microseconds(fused["median_s"]) in line  # type: ignore[arg-type]
    assert formats.times(fused["ratio_to_baseline"]) in line  # type: ignore[arg-type]
    assert line.endswith(f"| {formats.times(reference['ratio_to_baseline'] / loop['ratio_to_baseline'])} |")  # type: ignore[operator]


def test_a_refusal_stands_in_place_of_figures() -> None:
    record = make(subjects=("adam",))
    row = _row(record, implementation="fused", workload="1000x64")
    row |= {"refused": "it does not match | the oracle", "median_s": None, "ratio_to_baseline": None}
    assert "| refused: it does not match \\| the oracle |" in render([record])


def test_a_record_without_timings_gives_nothing() -> None:
    assert render([make(measurements=False)]) == ""


def test_what_nobody_was_timed_on_is_told_once() -> None:
    record = make(subjects=("adam", "sgd"))
    for row in record["measurements"]:
        if row["subject"] == "sgd":
            row |= {"refused": "it takes a closure", "median_s": None, "ratio_to_baseline": None}
    text = render([record])
    assert "| sgd |" not in text
    assert text.count("Not timed: sgd (it takes a closure).") == text.count("| adam |") == 3


def test_schedulers_stand_beside_torchs_one_path() -> None:
    record = make(subjects=("steplr",), results=False)
    for row in record["measurements"]:
        row |= {"groups": 100, "workload": "100groups", "gradients": "none", "curve": False}
        row["implementation"] = row["implementation"].replace("torch-fused", "torch")
    kept = {row["implementation"]: row for row in record["measurements"]}
    record["measurements"] = list(kept.values())
    text = render([record])
    line = next(line for line in text.splitlines() if line.startswith("| steplr |"))
    assert "| scheduler | torch, µs a step | foreach, µs a step | over torch |" in text
    assert f"| {formats.microseconds(kept['torch']['median_s'])} |" in line
    assert f"| {formats.times(kept['foreach']['ratio_to_baseline'])} |" in line
    kept["foreach"] |= {"refused": "it is wrong"}
    assert "| refused: it is wrong | – | – |" in render([record])


def test_averages_are_called_so() -> None:
    record = make(subjects=("ema",), results=False)
    for row in record["measurements"]:
        row |= {"gradients": "none"}
    assert "| average | fused, µs a step |" in render([record])
