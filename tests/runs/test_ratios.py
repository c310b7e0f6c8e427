"""Ratios of two runs: what they are over, how wide their intervals are, what they allow to say."""

import math
import zlib

import numpy as np
import pytest

from optbench.runs.diff import compare
from optbench.runs.ratios import Estimate, contrast, quotient
from optbench.timing.statistics import paired_ratio
from tests.diff_records import baseline, record, timing


def heat(*rows):
    return {row["implementation"]: row for row in rows}


def test_a_quotient_adds_what_pulls_the_same_way():
    found = quotient(Estimate(3.0, 3.0 / 1.3, 3.0), Estimate(1.5, 1.5, 1.5 * 1.4))
    assert found.middle == 2.0
    # Both terms can only make it smaller: the limits above stay.
    assert found.high == pytest.approx(2.0)
    assert math.log(2.0 / found.low) == pytest.approx(math.hypot(math.log(1.3), math.log(1.4)))


def test_a_quotient_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    uppers, lowers = rng.normal(0, 0.1, 2000), rng.normal(0, 0.05, 2000)
    hits = 0
    for upper, lower in zip(uppers, lowers, strict=True):
        one = Estimate(math.exp(upper), math.exp(upper - 0.196), math.exp(upper + 0.196))
        other = Estimate(math.exp(lower), math.exp(lower - 0.098), math.exp(lower + 0.098))
        found = quotient(one, other)
        hits += found.low <= 1 <= found.high
    assert 0.94 <= hits / 2000 <= 0.96


@pytest.mark.parametrize(
    ("speed", "spread", "noise", "verdict"),
    [
        (1.00, 0.01, 0.01, "same"),
        (1.20, 0.02, 0.02, "faster"),
        (0.80, 0.02, 0.02, "slower"),
        (0.80, 0.30, 0.02, "unsure"),
        # Each race strayed by 20% from itself: 20% is no news.
        (0.80, 0.02, 0.20, "unsure"),
    ],
)
def test_verdicts(speed, spread, noise, verdict):
    before = heat(timing(speed=1.0, spread=spread, noise_floor=noise), baseline())
    after = heat(timing(speed=speed, spread=spread, noise_floor=noise), baseline())
    found = contrast(before, after, "fused")
    assert (found.yardstick, found.before, found.after, found.verdict) == ("torch-fused", 1.0, speed, verdict)
    assert found.low < found.change < found.high and found.change == pytest.approx(speed)


def test_the_more_is_looked_at_the_wider_the_interval():
    quiet = {"spread": 0.02, "noise_floor": 0.01}
    before, after = heat(timing(speed=1.0, **quiet), baseline()), heat(timing(speed=0.96, **quiet), baseline())
    one, many = (contrast(before, after, "fused", among) for among in (1, 100))
    assert many.low < one.low < one.change == many.change < one.high < many.high
    assert (one.verdict, many.verdict) == ("slower", "unsure")


def test_the_yardstick_has_no_ratio():
    before, after = heat(timing(), baseline()), heat(timing(), baseline())
    assert contrast(before, after, "torch-fused") is None


def test_ratios_over_different_baselines_are_told_over_one():
    # Torch's fastest path changed from one run to the next. Over torch-fused, ours was 1.5 and is 1.5.
    before = heat(timing(speed=1.5), baseline(), timing("torch-foreach", 0.9))
    after = heat(
        timing(speed=1.2, baseline="torch-foreach"),
        timing("torch-fused", 0.8, baseline="torch-foreach"),
        timing("torch-foreach", 1.0, 0.0, baseline="torch-foreach"),
    )
    found = contrast(before, after, "fused")
    assert found.before == pytest.approx(1.5 / 0.9) and found.yardstick == "torch-foreach"
    assert found.after == 1.2 and found.note == "torch's own paths moved by 39% from each other"
    # Both ratios carry an error of 2%, and so does that of the path through which one of them was told.
    assert math.log(found.change / found.low) > math.hypot(0.02, 0.02)
    del before["torch-foreach"]
    found = contrast(before, after, "fused")
    assert (found.yardstick, found.before, found.verdict) == ("torch-fused", 1.5, "unsure")
    assert found.after == pytest.approx(1.5)
    del after["torch-fused"]
    found = contrast(before, after, "fused")
    assert found.verdict == "unsure" and found.change is None
    assert found.note == "nothing that both ratios could be over: over torch-fused before, over torch-foreach after"


def test_a_path_of_torch_is_preferred_to_a_baseline_that_may_change_itself():
    rows = (timing("reference", 1.0, 0.0, baseline="reference"), timing("fused", 8.0, baseline="reference"))
    torch = timing("torch-foreach", 2.0, baseline="reference")
    assert contrast(heat(*rows, torch), heat(*rows, torch), "fused").yardstick == "torch-foreach"
    found = contrast(heat(*rows), heat(*rows), "fused")
    assert found.yardstick == "reference" and found.note == "a change of reference itself would not be seen"


def test_other_threads_make_a_ratio_unsure():
    before, after = heat(timing(), baseline()), heat(timing(speed=0.5, threads=1), baseline())
    found = contrast(before, after, "fused")
    assert (found.verdict, found.note) == ("unsure", "2 threads before, 1 after")


@pytest.mark.parametrize("broken", [None, math.nan, math.inf, 0.0])
def test_a_ratio_without_an_interval_is_unsure(broken):
    before, after = heat(timing(), baseline()), heat({**timing(), "ratio_low": broken}, baseline())
    found = contrast(before, after, "fused")
    assert (found.before, found.after, found.verdict) == (1.31, None, "unsure")
    assert "too few rounds" in found.note


def test_paths_of_torch_are_controls():
    # The yardstick was three times slower in the first run: everything seems to have slowed down since, torch too.
    paths = {"torch-forloop": 0.9, "torch-foreach": 1.2}
    before = heat(timing(speed=3.0), baseline(), *(timing(name, speed) for name, speed in paths.items()))
    after = heat(timing(speed=1.0), baseline(), *(timing(name, speed / 3) for name, speed in paths.items()))
    found = contrast(before, after, "fused")
    assert (found.verdict, found.note) == ("unsure", "torch's own paths moved by 200% from each other")
    # One that stood still says that the yardstick did.
    found = contrast(before, {**after, "torch-foreach": before["torch-foreach"]}, "fused")
    assert (found.verdict, found.note) == ("slower", "")
    assert contrast(before, after, "torch-forloop").verdict == "unsure"


def test_a_baseline_that_is_far_from_itself_measures_nothing():
    before, after = heat(timing(noise_floor=2.28), baseline()), heat(timing(speed=0.1), baseline())
    found = contrast(before, after, "fused")
    assert (found.verdict, found.note) == ("unsure", "the baseline strayed 228% from itself")


def test_without_any_ratio_there_is_nothing_to_say():
    bare = {"baseline": "", "ratio_to_baseline": None, "ratio_low": None, "ratio_high": None}
    assert contrast(heat({**timing(), **bare}), heat({**timing(), **bare}), "fused") is None


def raced(slowdown, seed, rounds=31, workloads=8):
    """Rows as a noisy machine gives them: every round has its own load, and each side 8% of its own."""
    rng = np.random.default_rng(seed)
    rows = []
    for workload in range(workloads):
        load = np.exp(np.abs(rng.normal(0, 0.5, rounds)))
        sides = [dict(enumerate(load * np.exp(rng.normal(0, 0.08, rounds)))) for _ in range(3)]
        ratio = paired_ratio(sides[0], {n: s * slowdown for n, s in sides[1].items()}, zlib.crc32(b"x"))
        noise = paired_ratio(sides[0], sides[2], 1).noise
        fields = {"ratio_low": ratio.low, "ratio_high": ratio.high, "noise_floor": noise, "workload": f"w{workload}"}
        rows += [timing(speed=ratio.median, **fields), baseline(workload=f"w{workload}")]
    return record(rows)


def test_the_same_code_gives_no_alarm_and_a_slowdown_beyond_the_threshold_does():
    found = [compare(raced(1.0, 2 * n), raced(1.0, 2 * n + 1)) for n in range(50)]
    assert not any(difference.regressions for difference in found)
    slower = [compare(raced(1.0, 2 * n), raced(1.25, 2 * n + 1)) for n in range(10)]
    assert sum(len(difference.regressions) for difference in slower) >= 0.9 * 10 * 8
