"""What asv follows: that its parameters exist, that one run gives every figure, and that its pins are ours."""

import math
import re
from pathlib import Path

import pytest
from optbench.suites.asv import _what, counted, timed

from optbench import subjects
from optbench.timing import workloads

ROOT = Path(__file__).resolve().parents[2]
CLASSES = [
    each
    for module in (counted, timed)
    for each in (module.Optimizers, module.Matrices, module.Tables, module.Averages, module.Schedulers)
]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: f"{kind.__module__.split('.')[-1]}.{kind.__name__}")
def test_parameters_fit_one_another(kind):
    algos, tiers, names = kind.params
    assert algos and tiers == ["reference", "foreach", "fused"] and names
    for algo in algos:
        for name in names:
            chosen = _what.workload(name)
            workload = workloads.parse(chosen) if isinstance(chosen, str) else chosen
            subject = subjects.load(algo)
            assert workload.fits(subject.kind)
            assert (workload.gradients == workloads.ROWS) == (subject.ground == "rows")


def test_every_subject_is_followed():
    for module, missing in ((counted, set()), (timed, {"lbfgs"})):
        followed = {algo for kind in CLASSES if kind.__module__ == module.__name__ for algo in kind.params[0]}
        assert set(subjects.NAMES) - followed == missing


def test_a_part_can_be_asked_for(monkeypatch):
    params = (["adam", "sgd"], ["fused"], ["100x64", "1x1M"])
    assert len(list(_what.wanted(params))) == 4
    monkeypatch.setenv("OPTBENCH_ASV_ONLY", "adam 1x1M, sgd")
    assert list(_what.wanted(params)) == [("adam", "1x1M"), ("sgd", "100x64"), ("sgd", "1x1M")]


def test_counted_figures_come_from_one_run(monkeypatch):
    monkeypatch.setenv("OPTBENCH_ASV_ONLY", "adam 100x64,lbfgs 100x64,onecyclelr")
    rows = counted.setup_cache()
    assert set(rows) == {
        (algo, tier, name)
        for algo, name in (("adam", "100x64"), ("lbfgs", "100x64"), ("onecyclelr", "100groups"))
        for tier in _what.TIERS
    }
    followed, key = counted.Optimizers(), ("adam", "fused", "100x64")
    assert followed.track_dispatched_ops(rows, *key) == 0
    assert followed.track_launches(rows, *key) >= 1
    # Adam reads p, g, m, v and writes p, m, v.
    assert followed.track_bytes_moved(rows, *key) == 28 * 6400
    assert followed.track_peak_memory(rows, "adam", "foreach", "100x64") >= 4 * 6400
    assert followed.track_state(rows, *key) >= 8 * 6400
    assert counted.Schedulers().track_host_calls(rows, "onecyclelr", "reference", "100groups") > 100
    assert math.isnan(followed.track_launches(rows, "sgd", "fused", "100x64"))


def test_times_come_from_one_run(monkeypatch):
    monkeypatch.setenv("OPTBENCH_ASV_ONLY", "onecyclelr")
    monkeypatch.setattr(timed, "_SECONDS", 0.2)
    rows = timed.setup_cache()
    # Torch's own row stands beside them.
    assert {key[1] for key in rows} == {*_what.TIERS, "torch"}
    assert all(row["median_s"] > 0 and not row["refused"] for row in rows.values())
    assert timed.Schedulers().track_time({("a", "b", "c"): {"ratio_to_baseline": 4.0}}, "a", "b", "c") == 0.25
    assert math.isnan(timed.Optimizers().track_time(rows, "sgd", "fused", "100x64"))


def test_what_is_wrong_fails():
    rows = {("adam", "fused", "1x1M"): {"refused": "it does not match the oracle"}}
    for look in (timed.Optimizers().track_time, counted.Optimizers().track_launches):
        with pytest.raises(RuntimeError, match="adam fused 1x1M: it does not match the oracle"):
            look(rows, "adam", "fused", "1x1M")


def test_a_comment_begins_no_new_history():
    for kind in CLASSES:
        tracked = [getattr(kind, name) for name in dir(kind) if name.startswith("track_")]
        assert tracked and all(each.version == "1" and each.unit for each in tracked)


def test_versions_are_those_that_we_pin():
    text = (ROOT / "asv.conf.json").read_text(encoding="utf-8")
    pins = dict(re.findall(r"^(\S+)==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE))
    found = dict(re.findall(r'"(\w+)": \["(\d+\.\d+\.\d+)"\]', text))
    assert found.keys() == {"torch", "numba", "numpy", "setuptools"}
    assert found == {name: pins[name] for name in found}
