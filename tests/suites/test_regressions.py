"""The judgement of asv's comparison: counted figures exactly, times twice, failures always."""

import json
import math
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("asv")

from optbench.suites import regressions
from optbench.suites.regressions import Benchmark, Pair, judge

ROOT = Path(__file__).resolve().parents[2]
OPS, TIME = "counted.Optimizers.track_dispatched_ops", "timed.Optimizers.track_time"
PARAMS = [["'adam'", "'sgd'"], ["'fused'"], ["'1x1M'"]]


class Made(Pair):
    """Two commits whose results are given; measuring again takes the next ones."""

    def __init__(self, place, *runs):
        place.joinpath("benchmarks.json").write_text(json.dumps({"version": 2}))
        super().__init__(SimpleNamespace(results_dir=str(place), benchmark_dir=str(place)), "here", "b" * 40, "h" * 40)
        self.runs, self.asked = list(runs), []

    def measure(self, *arguments, only=()):
        self.asked.append((arguments, tuple(only)))
        self.runs.pop(0)

    def _rows(self, commit, prefix):
        for name, values in self.runs[0][commit == self.head].items():
            if name.startswith(prefix):
                yield name, PARAMS, values, None, None, "1", self.machine, "env"


def run(time=(0.2, 0.9), ops=(0.0, 2.0)):
    return {OPS: list(ops), TIME: None if time is None else list(time)}


def test_the_same_is_no_regression(tmp_path, capsys):
    assert judge(Made(tmp_path, (run(), run()))) == 0
    assert "OK" in capsys.readouterr().out


@pytest.mark.parametrize("ops", [(1.0, 2.0), (0.0, 3.0), (0.0, None)], ids=["from zero", "one more", "fails"])
def test_one_more_operation_is_one(tmp_path, capsys, ops):
    pair = Made(tmp_path, (run(ops=(0.0, 2.0)), run(ops=ops)))
    assert judge(pair) == 1
    assert pair.asked == [] and "REGRESSION" in capsys.readouterr().out


def test_fewer_operations_and_less_time_are_none(tmp_path):
    assert judge(Made(tmp_path, (run(), run(time=(0.1, 0.5), ops=(0.0, 1.0))))) == 0


def test_a_time_counts_if_it_is_slower_twice(tmp_path, capsys):
    slow = run(time=(0.2, 1.1))
    pair = Made(tmp_path, (run(), slow), (run(), slow))
    assert judge(pair) == 1
    assert "slower, both times: timed.Optimizers.track_time('sgd', 'fused', '1x1M')" in capsys.readouterr().out
    [(arguments, only)] = pair.asked
    assert arguments == ("--bench", Benchmark(TIME, ("'sgd'", "'fused'", "'1x1M'")).pattern) and only == ("sgd 1x1M",)


def test_a_time_that_is_slower_once_does_not(tmp_path):
    assert judge(Made(tmp_path, (run(), run(time=(0.2, 1.1))), (run(), run()))) == 0
    # Slower each time, but the better of the two is not beyond the worse of what it is compared with.
    assert judge(Made(tmp_path, (run(), run(time=(0.2, 1.1))), (run(time=(0.2, 1.2)), run(time=(0.2, 1.4))))) == 0
    # Another one the second time has been slower once, too.
    assert judge(Made(tmp_path, (run(), run(time=(0.2, 1.1))), (run(), run(time=(0.3, 0.9))))) == 0


def test_less_than_a_tenth_is_let_pass(tmp_path):
    pair = Made(tmp_path, (run(), run(time=(0.215, 0.98))))
    assert judge(pair) == 0 and pair.asked == []


def test_a_time_that_fails_now_is_a_regression(tmp_path):
    assert judge(Made(tmp_path, (run(), run(time=(0.2, None))))) == 1
    assert judge(Made(tmp_path, (run(), run(time=None)))) == 1
    assert judge(Made(tmp_path, (run(time=(0.2, math.nan)), run(time=(0.2, math.nan))))) == 0


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no checkout")
def test_nothing_to_compare(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert regressions.main(["HEAD", "--machine", "here"]) == 0
    assert "nothing to compare" in capsys.readouterr().out


def test_an_unknown_commit_is_named():
    with pytest.raises(SystemExit, match="'no-such-branch' is no commit"):
        regressions.main(["no-such-branch", "--machine", "here"])


def test_asv_is_told_both_commits(monkeypatch):
    seen = []
    monkeypatch.setattr(subprocess, "run", lambda command, **others: seen.append((command, others)))
    Pair(None, "here", "b", "h").measure("--skip-existing", only=["adam 1x1M", "sgd 1x1M"])
    [(command, others)] = seen
    assert command[1:] == ["-m", "asv", "run", "--machine", "here", "--skip-existing", "HASHFILE:-"]
    assert others["env"]["OPTBENCH_ASV_SECONDS"] == regressions.AGAIN_SECONDS
    assert others["input"] == "b\nh\n" and others["env"]["OPTBENCH_ASV_ONLY"] == "adam 1x1M,sgd 1x1M"
