"""The report of how far the timer can be trusted."""

from __future__ import annotations

from typing import Any

from optbench.reports import render, trust

from tests.reports.record_fixture import make


def curve(workload: str, scale: float) -> dict[str, Any]:
    counts = ((0.0, 0, 0), (0.02, 3, 0), (0.05, 55, 40), (0.1, 99, 98), (0.2, 100, 100))
    return {
        "workload": workload, "implementation": "fused", "seconds": 0.4, "runs": 100, "gate": 0.1, "trusted": True,
        "errors": [scale * number / 100 for number in range(99)] + [None], "error": 0.9 * scale,
        "slowdowns": [
            {"slowdown": part, "once": once, "twice": twice, "median": part + 0.001} for part, once, twice in counts
        ],
    }  # fmt: skip


CALIBRATION = {
    "time": "2026-01-02T03:04:05Z",
    "load_average": [0.25, 0.5, 0.5],
    "curves": [curve("100x64", 0.02), curve("1x256K", 0.05)],
}


def page(**environment: Any) -> str:
    record = make()
    return render([{**record, "environment": {**record["environment"], **environment}}])


def test_a_run_tells_the_noise_floor_of_its_machine() -> None:
    text = page(calibration=CALIBRATION)
    assert "The noise floor of this machine (2026-01-02 03:04 UTC, load 0.25)" in text
    assert "on 100x64 within 1.8% in nine of ten runs; on 1x256K within 4.5%" in text
    assert "How far the same code is from itself" in text and "Which planted slowdowns are found" in text
    # The table behind the figure.
    assert "98 of 100" in text


def test_without_a_calibration_nothing_is_told() -> None:
    assert "noise floor of this machine" not in page()


def test_figures_say_in_words_what_they_show() -> None:
    assert "100x64 1.8% at nine of ten" in trust.errors(CALIBRATION["curves"]).description
    assert "10% planted on 1x256K: 98 of 100" in trust.found(CALIBRATION["curves"]).description


def test_a_machine_that_never_measured_anything_is_drawn_too() -> None:
    lost = {**curve("100x64", 1.0), "errors": [None] * 100, "error": None}
    lost["slowdowns"] = [{**row, "median": None} for row in lost["slowdowns"]]
    text = page(calibration={**CALIBRATION, "curves": [lost]})
    assert "nowhere within bounds" in text
