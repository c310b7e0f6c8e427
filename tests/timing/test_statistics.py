"""Ratios, intervals and verdicts on synthetic samples whose truth is known."""

import numpy as np
import pytest

from optbench.timing.statistics import FEWEST_PAIRS, Ratio, paired_ratio, spread, verdict


def draw(truth: float, rounds: int, noise: float, seed: int) -> tuple[dict[int, float], dict[int, float]]:
    """Seconds of a baseline and of something `truth` times as fast, disturbed together by round and each by itself."""
    rng = np.random.default_rng(seed)
    together = 1e-3 * rng.lognormal(0, 0.3, rounds)
    own = rng.lognormal(0, noise, (2, rounds))
    baseline = dict(enumerate((together * own[0]).tolist()))
    other = dict(enumerate((together * own[1] / truth).tolist()))
    return baseline, other


@pytest.mark.parametrize("truth", [0.5, 0.9, 1.0, 1.1, 3.0])
def test_interval_covers_the_planted_ratio(truth: float) -> None:
    covered = 0
    for seed in range(40):
        ratio = paired_ratio(*draw(truth, 25, 0.05, seed), seed=seed)
        assert ratio is not None
        covered += ratio.low <= truth <= ratio.high
    assert covered >= 34


def test_what_disturbs_both_sides_cancels() -> None:
    baseline, other = draw(1.25, 30, 0.0, 0)
    ratio = paired_ratio(baseline, other, seed=0)
    assert ratio is not None
    assert ratio.low == pytest.approx(1.25) and ratio.high == pytest.approx(1.25)
    # The samples themselves vary by far more than that.
    assert spread(list(baseline.values())).iqr > 0.2 * spread(list(baseline.values())).median


def test_only_rounds_of_both_are_compared() -> None:
    ratio = paired_ratio(dict.fromkeys(range(9), 2.0), dict.fromkeys(range(3, 20), 1.0), seed=0)
    assert ratio == Ratio(2.0, 2.0, 2.0, 6)


def test_too_few_pairs_give_no_ratio() -> None:
    samples = dict.fromkeys(range(FEWEST_PAIRS - 1), 1.0)
    assert paired_ratio(samples, samples, seed=0) is None


def test_seed_and_label_decide_the_resampling() -> None:
    samples = draw(1.0, 40, 0.2, 3)
    assert paired_ratio(*samples, seed=1, label="a") == paired_ratio(*samples, seed=1, label="a")
    assert len({paired_ratio(*samples, seed=1, label=label) for label in "abcdefgh"}) > 1
    assert len({paired_ratio(*samples, seed=seed, label="a") for seed in range(8)}) > 1


@pytest.mark.parametrize(
    ("ratio", "noise", "said"),
    [
        ((1.00, 0.98, 1.02), 0.0, "same"),
        ((1.02, 1.01, 1.03), 0.0, "same"),
        ((1.05, 1.02, 1.08), 0.0, "faster"),
        ((0.90, 0.85, 0.95), 0.0, "slower"),
        ((1.01, 0.95, 1.08), 0.0, "unsure"),
        ((1.05, 1.02, 1.08), None, "faster"),
        # The same code strayed as far in the same run.
        ((1.05, 1.02, 1.08), 0.06, "unsure"),
        ((0.96, 0.92, 0.98), 0.06, "unsure"),
        ((2.00, 1.90, 2.10), 0.06, "faster"),
    ],
)
def test_verdict(ratio: tuple[float, float, float], noise: float | None, said: str) -> None:
    assert verdict(Ratio(*ratio, pairs=9), noise) == said


def test_no_false_alarm_and_no_miss_at_ten_percent() -> None:
    alarms = misses = 0
    for seed in range(100):
        for truth in (1.0, 1 / 1.1):
            baseline, other = draw(truth, 25, 0.04, seed)
            ratio = paired_ratio(baseline, other, seed=seed)
            again = paired_ratio(baseline, draw(1.0, 25, 0.04, seed)[1], seed=seed, label="again")
            assert ratio is not None and again is not None
            said = verdict(ratio, again.noise)
            if truth == 1.0:
                alarms += said == "slower" and 1 / ratio.median > 1.1
            else:
                misses += said != "slower"
    assert alarms == 0
    assert misses <= 5


def test_one_outlier_moves_nothing() -> None:
    quiet, disturbed = [1.0, 1.1, 1.2, 1.3, 1.4], [1.0, 1.1, 1.2, 1.3, 1000.0]
    assert spread(quiet).median == spread(disturbed).median
    assert spread(quiet).least == spread(disturbed).least
    assert spread(quiet).iqr == spread(disturbed).iqr
