"""What is timed on what: workloads of a kind, its baselines, and the one line where they do not fit."""

import pytest

from optbench import registry, subjects
from optbench.errors import UsageError
from optbench.timing import bench
from optbench.timing.bench import BenchPlan
from optbench.timing.workloads import WORKLOADS, check, parse, select


def test_a_scheduler_is_timed_on_groups():
    assert [workload.groups for workload in select((), "quick", "scheduler")] == [1000, 1, 100, 10_000]
    assert parse("7groups").groups == parse("7group").groups == 7
    assert parse("1groups").name == "1group" == WORKLOADS["1group"].name
    assert not parse("100groups").fits("optimizer") and not parse("100groups").fits("averager")


def test_an_averager_is_timed_on_tensors_whose_gradients_do_not_matter():
    for suite in ("quick", "full"):
        names = [workload.name for workload in select((), suite, "averager")]
        assert {"1x16M", "1000x64", "resnet50"} <= set(names)
        assert not any(name.endswith("/autograd") for name in names)


@pytest.mark.parametrize(
    ("name", "kinds", "says"),
    [
        ("1x16M", ["scheduler"], "workload '1x16M' does not fit: a scheduler is timed on parameter groups: 1000gr"),
        ("train.py:build", ["scheduler"], "a scheduler is timed on parameter groups"),
        ("1000x64/autograd", ["averager"], "an averager is timed on tensors without gradients: 1x16M"),
        ("100groups", ["optimizer"], "an optimizer is timed on tensors with gradients: 1x16M"),
        ("100groups", ["optimizer", "averager"], "; an averager is timed on tensors without gradients"),
        ("1x16M", ["optimizer", "scheduler"], "a scheduler is timed on parameter groups"),
        ("9000000groups", ["scheduler"], "at most 1,000,000"),
        ("0groups", ["scheduler"], "unknown workload '0groups'"),
    ],
)
def test_what_does_not_fit_ends_in_one_line(name, kinds, says):
    with pytest.raises(UsageError) as caught:
        check([name], "quick", kinds)
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_each_kind_takes_the_workloads_that_fit_it():
    names = ["1x1K", "1x1K/autograd", "3groups"]
    check(names, "quick", ["optimizer", "scheduler", "averager"])
    fitting = {kind: [each.name for each in select(names, "quick", kind)] for kind in ("optimizer", "averager")}
    assert fitting == {"optimizer": ["1x1K", "1x1K/autograd"], "averager": ["1x1K"]}


def plan(name: str, *implementations: str, **changes) -> BenchPlan:
    found = [registry.find(each) for each in implementations]
    return BenchPlan([subjects.load(name)], found, frozenset(implementations), seconds=0.05, **changes)


def test_the_baseline_is_of_the_kind():
    assert bench.baseline_candidates(plan("ema"), "averager") == ("torch-forloop", "torch-foreach")
    assert bench.baseline_candidates(plan("ema"), "scheduler") == ("torch",)
    default = plan("ema", baseline="torch")
    assert bench.baseline_candidates(default, "averager") == ("torch-forloop",)
    assert bench.baseline_candidates(default, "scheduler") == ("torch",)
    assert [each.name for each in bench.contestants(plan("ema", "fused"), "averager")] == [
        "fused", "torch-forloop", "torch-foreach",
    ]  # fmt: skip


def test_a_baseline_of_another_kind_is_refused():
    with pytest.raises(UsageError, match="'torch-fused' has no averagers: name one of torch-best, torch-forloop, "):
        list(bench.run(plan("ema", "fused", baseline="torch-fused")))
