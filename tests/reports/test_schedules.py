"""Curves of schedulers on the page: what is drawn, and what the tables behind it say."""

import math

import pytest
from optbench.reports import html, schedules
from optbench.reports.figures import Style

from tests.reports.record_fixture import make

LOOKS = {"fused": Style("s1", "o", (), True)}


def entry(**rates):
    formula = [0.5**epoch for epoch in range(21)]
    return {
        "options": {"gamma": "0.5"},
        "formula": formula,
        "rates": {"fused": list(formula), "torch": [rate * (1 + 2e-10) for rate in formula], **rates},
        "refused": {"mine.py:Mine": "RuntimeError: no <b>"},
    }


def record():
    made = make(subjects=("exponentiallr",))
    made["curves"] = {"exponentiallr": entry()}
    return made


def test_the_page_shows_every_curve_and_the_distance():
    page = html.render([record()])
    assert "The schedule, as each implementation gives it" in page
    assert "20 epochs with gamma=0.5" in page
    assert 'id="exponentiallr-rate' in page or "exponentiallr-rate" in page
    assert "The largest: fused 0; torch 2e-10." in page
    assert "RuntimeError: no &lt;b&gt;" in page


def test_a_record_without_curves_has_no_such_part():
    assert "The schedule" not in html.render([make(subjects=("adam",))])


def test_differences_are_relative():
    found = schedules.differences(entry())
    assert set(found["fused"]) == {0.0}
    assert found["torch"] == pytest.approx([2e-10] * 21)


@pytest.mark.parametrize(
    ("rate", "wanted", "distance"), [(0.0, 0.0, 0.0), (1e-3, 0.0, math.inf), (math.inf, 1.0, math.inf), (1.5, 1.0, 0.5)]
)
def test_a_rate_of_zero_is_met_by_zero_only(rate, wanted, distance):
    told = {"options": {}, "formula": [wanted], "rates": {"a": [rate]}, "refused": {}}
    assert schedules.differences(told) == {"a": [distance]}


def test_what_is_not_finite_or_nothing_can_be_drawn():
    wild = entry(wild=[math.nan] * 10 + [math.inf] * 11)
    for sheet in (schedules.rate_figure("x", wild, LOOKS), schedules.difference_figure("x", wild, LOOKS)):
        assert "wild" in sheet.svg("figure")
    empty = {"options": {}, "formula": [0.0, 0.0], "rates": {}, "refused": {}}
    for sheet in (schedules.rate_figure("x", empty, {}), schedules.difference_figure("x", empty, {})):
        assert sheet.svg("figure")
    assert schedules.detail(empty) == "1 epoch"


def test_tables_hold_the_figures():
    rates, distances = schedules.rate_table(entry()), schedules.difference_table(entry())
    assert rates.heads == ["epoch", "formula", "fused", "torch"]
    assert [row[0] for row in rates.rows] == ["0", "10", "20"]
    assert distances.rows[0] == ["fused", "0", "–"]
    assert distances.rows[1][:2] == ["torch", "2e-10"]
    assert distances.rows[2] == ["mine.py:Mine", "RuntimeError: no <b>", "–"]


def test_rates_below_zero_are_inside():
    sheet = schedules.rate_figure("x", entry(low=[-1.0] * 21), LOOKS)
    assert "-1" in sheet.svg("figure")


def test_groups_and_missing_gradients_are_told():
    made = make(subjects=("steplr",), results=False)
    for row in made["measurements"]:
        row.update(gradients="none", groups=100, bandwidth_bytes_per_s=None, curve=False)
    page = html.render([made])
    assert "an optimizer with 100 parameter groups, float32, cpu" in page
    assert "gradients" not in page.split("<main>")[1].split("How it was measured")[0]
    assert "A scheduler&#39;s step sets the rate" in page and "GB/s counts" not in page
