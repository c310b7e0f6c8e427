"""The ratio gate: what is slower once is timed again, what is slower twice fails."""

from pathlib import Path

import pytest
from optbench.suites import ratio_gate

from optbench.runs.difference import Difference, Row

ROOT = Path(__file__).resolve().parents[2]
SLOW = Row("time", "adam", "fused", "1x1M, float32 on cpu", "torch-forloop", 5.0, 4.0, "slower", 0.8, 0.75, 0.85, True)
OTHER = Row("time", "sgd", "fused", "1x1M, float32 on cpu", "torch-forloop", 1.0, 0.8, "slower", 0.8, 0.7, 0.9, True)
MORE = Row("figure", "adam", "fused", "1x1M, float32 on cpu", "dispatched ops", 0, 1, "worse", regression=True)
WRONG = Row("timed", "adam", "fused", "1x1M, float32 on cpu", "", "timed", "refused", "worse", regression=True)


def measurer(*runs):
    asked, left = [], list(runs)

    def measure(algos):
        asked.append(algos)
        return Difference(tuple(left.pop(0)), (), (), (), 0.1)

    return measure, asked


def test_nothing_slower_is_timed_once():
    measure, asked = measurer([])
    assert ratio_gate.gate(measure) == [] and asked == [ratio_gate.ALGOS]


def test_slower_twice_fails():
    measure, asked = measurer([SLOW, OTHER], [SLOW])
    assert ratio_gate.gate(measure) == [SLOW]
    assert asked == [ratio_gate.ALGOS, "adam,sgd"]


def test_slower_once_does_not():
    measure, _ = measurer([SLOW], [])
    assert ratio_gate.gate(measure) == []
    measure, _ = measurer([SLOW], [OTHER])
    assert ratio_gate.gate(measure) == []


def test_what_is_wrong_now_fails_at_once():
    measure, asked = measurer([WRONG, SLOW])
    assert ratio_gate.gate(measure) == [WRONG] and len(asked) == 1


def test_counted_figures_have_their_own_gate():
    measure, asked = measurer([MORE])
    assert ratio_gate.gate(measure) == [] and len(asked) == 1


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no checkout")
def test_another_commit_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    ratio_gate._unpack("HEAD", tmp_path)
    assert (tmp_path / "optbench" / "__init__.py").is_file()
    with pytest.raises(SystemExit, match="'no-such-branch' is no commit"):
        ratio_gate._unpack("no-such-branch", tmp_path)
