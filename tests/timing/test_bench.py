"""Whole heats on tiny workloads, on a clock that steps by a known amount."""

import dataclasses
import json
from collections.abc import Callable, Iterator

import pytest
import torch

from optbench import registry, subjects
from optbench.case import AsTensor
from optbench.errors import UsageError
from optbench.registry import Implementation
from optbench.runs.results import Measurement
from optbench.timing import bench, contest, device
from optbench.timing.bench import BenchPlan, BenchProgress
from optbench.timing.timer import Contestant, Sample
from optbench.timing.workloads import ROWS, Workload

Plant = Callable[..., Implementation]
ADAM = subjects.load("adam")


class PlantedStopwatch:
    """Takes every step, and says that it took as long as the test wants."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self.seconds = seconds

    def measure(self, contestant: Contestant, repetitions: int) -> Sample:
        if contestant.before_step:
            contestant.before_step()
        contestant.step()
        wall = self.seconds.get(contestant.name, 1.0)
        return Sample(wall, 2 * wall)


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, float]]:
    """Seconds a step by name of the contestant."""
    seconds: dict[str, float] = {}
    monkeypatch.setattr(device, "stopwatch", lambda name, footprint: PlantedStopwatch(seconds))
    yield seconds


def plan(*names: str | Implementation, **changes: object) -> BenchPlan:
    found = [name if isinstance(name, Implementation) else registry.find(name) for name in names]
    base = BenchPlan([ADAM], found, frozenset({"reference"}), workloads=["2x64"], seconds=0.1)
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


def rows(plan: BenchPlan) -> dict[str, Measurement]:
    return {row.implementation: row for row in bench.run(plan)}


def test_ratios_and_verdicts(planted: dict[str, float]) -> None:
    planted |= {"reference": 4e-3, "torch-forloop": 2e-3, "torch-foreach": 3e-3, "torch-fused": 1e-3}
    planted |= {contest.TWIN: 1e-3}
    found = rows(plan("reference", "torch-forloop", "torch-fused"))
    assert list(found) == ["reference", "torch-forloop", "torch-fused", "torch-foreach"]
    assert {row.baseline for row in found.values()} == {"torch-fused"}
    assert found["reference"].ratio_to_baseline == pytest.approx(0.25) and found["reference"].verdict == "slower"
    assert found["torch-fused"].ratio_to_baseline == 1.0 and found["torch-fused"].verdict == "same"
    assert found["reference"].median_s == found["reference"].min_s == 4e-3 and found["reference"].cpu_s == 8e-3
    assert found["reference"].judged and not found["torch-fused"].judged
    assert all(row.noise_floor == 0.0 and row.rounds >= 5 for row in found.values())


def test_figures_that_no_clock_decides(planted: dict[str, float]) -> None:
    row = rows(plan("torch-foreach", workloads=["2x64"]))["torch-foreach"]
    assert (row.elements, row.tensors, row.gradients, row.curve) == (128, 2, "standing", False)
    assert row.bytes_per_step == 128 * 28
    assert row.bandwidth_bytes_per_s == pytest.approx(128 * 28)
    # Two moments, and a counter of four bytes for each of two parameters.
    assert row.state_bytes_per_element == pytest.approx(8 + 8 / 128)
    assert row.peak_temporary_bytes is not None and row.peak_temporary_bytes >= 128 * 4
    assert row.dispatched_ops and row.threads == torch.get_num_threads()
    # Too small to be limited by memory.
    assert row.bandwidth_fraction is None and row.roof_bytes_per_s is None


def test_the_roof_is_paired(planted: dict[str, float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "cache_bytes", lambda: 1 << 12)
    planted |= {"torch-fused": 2e-3, contest.ROOF: 2e-3}
    row = rows(plan("torch-fused", workloads=["1x64K"]))["torch-fused"]
    # The roof's step is two sweeps over the same bytes.
    assert row.bandwidth_fraction == pytest.approx(0.5)
    assert row.roof_bytes_per_s == pytest.approx(2 * 65536 * 28 / 2e-3)


def test_noise_is_measured_in_the_same_run(planted: dict[str, float]) -> None:
    planted |= {
        "reference": 1.0,
        "torch-forloop": 1.1e-3,
        "torch-foreach": 5e-3,
        "torch-fused": 1e-3,
        contest.TWIN: 1.25e-3,
    }
    row = rows(plan("torch-forloop"))["torch-forloop"]
    assert row.noise_floor == pytest.approx(0.2)
    assert row.ratio_to_baseline == pytest.approx(1 / 1.1) and row.verdict == "unsure"


@pytest.mark.parametrize(
    ("seconds", "best"),
    [
        ({"torch-forloop": 1.0, "torch-foreach": 2.0, "torch-fused": 3.0}, "torch-forloop"),
        ({"torch-forloop": 2.0, "torch-foreach": 1.0, "torch-fused": 3.0}, "torch-foreach"),
    ],
)
def test_torch_best_is_torchs_fastest(planted: dict[str, float], seconds: dict[str, float], best: str) -> None:
    planted |= {"reference": 1e-4} | seconds
    assert {row.baseline for row in bench.run(plan("reference"))} == {best}


def test_torch_best_has_passed_the_gate(
    planted: dict[str, float], monkeypatch: pytest.MonkeyPatch, plant: Plant
) -> None:
    wrong = plant("Wrong", name="torch-fused")
    monkeypatch.setitem(registry.IMPLEMENTATIONS, "torch-fused", wrong)
    planted |= {"torch-fused": 1e-9, "torch-foreach": 1e-3, "torch-forloop": 2e-3}
    found = rows(plan("reference"))
    assert found["reference"].baseline == "torch-foreach"
    assert "does not match the oracle" in str(found["torch-fused"].refused)


def test_torch_is_what_torch_chooses(planted: dict[str, float]) -> None:
    assert bench.torch_default("cpu") == "torch-forloop"
    planted |= {"torch-forloop": 2e-3, "reference": 1e-3, contest.TWIN: 2e-3}
    found = rows(plan("reference", baseline="torch"))
    assert list(found) == ["reference", "torch-forloop"]
    assert found["reference"].ratio_to_baseline == pytest.approx(2.0) and found["reference"].verdict == "faster"


def test_any_implementation_can_be_the_baseline(planted: dict[str, float]) -> None:
    found = rows(plan("torch-forloop", baseline="foreach"))
    assert list(found) == ["torch-forloop", "foreach"] and found["foreach"].baseline == "foreach"


def test_refused_rows_hold_no_times(planted: dict[str, float], plant: Plant) -> None:
    found = rows(plan(plant("Wrong"), plant("Lazy"), plant("CannotBeBuilt"), plant("Tires"), "torch-forloop"))
    for name in ("Wrong", "Lazy", "CannotBeBuilt", "Tires"):
        row = found[name]
        assert row.refused, name
        for figure in ("median_s", "min_s", "iqr_s", "cpu_s", "bandwidth_bytes_per_s", "ratio_to_baseline"):
            assert getattr(row, figure) is None, (name, figure)
        assert row.verdict == "" and row.rounds == 0
    assert found["torch-forloop"].refused is None and found["torch-forloop"].median_s


def test_documented_refusals_are_told(planted: dict[str, float]) -> None:
    found = rows(plan("reference", options={"lr": AsTensor(0.5)}))
    assert "tensor lr only with capturable" in str(found["torch-foreach"].refused)
    assert found["torch-forloop"].options == {"lr": "tensor(0.5)"}


@pytest.mark.parametrize(
    ("algo", "workload", "why"),
    [
        ("lbfgs", "2x64", "calls a closure"),
        ("sparse_adam", "2x64", "timed on sparse gradients"),
        ("adam", "embeddings", "timed on dense gradients"),
        ("muon", "2x64", "2 dimensions"),
        ("adafactor", "1x1M", "sees a whole tensor, and none of this workload is small enough"),
    ],
)
def test_what_cannot_be_checked_is_not_timed(planted: dict[str, float], algo: str, workload: str, why: str) -> None:
    found = rows(plan("reference", subjects=[subjects.load(algo)], workloads=[workload]))
    assert all(row.refused and why in row.refused and row.median_s is None for row in found.values())


SMALL = {
    "adafactor": Workload("matrices", ((6, 4), (5,), (3, 2, 2))),
    "muon": Workload("matrices", ((6, 4), (4, 6))),
    "sparse_adam": Workload("rows", ((40, 3), (33, 2)), ROWS),
}


@pytest.mark.parametrize("algo", SMALL)
def test_what_sees_whole_tensors_is_judged_on_whole_ones(planted: dict[str, float], algo: str) -> None:
    found = rows(plan("reference", "foreach", "fused", subjects=[subjects.load(algo)], workloads=[SMALL[algo]]))
    for name in ("reference", "foreach", "fused", "torch-forloop"):
        assert found[name].refused is None and found[name].median_s == 1.0
    # Three rows of 40 and of 33 have a gradient.
    assert algo != "sparse_adam" or found["fused"].bytes_per_step == (3 * 3 + 3 * 2) * 28


@pytest.mark.parametrize(
    ("algo", "entry"), [("adafactor", "col_var"), ("muon", "momentum_buffer"), ("sparse_adam", "exp_avg")]
)
def test_a_wrong_matrix_gets_no_figure(planted: dict[str, float], algo: str, entry: str) -> None:
    class Wrong(getattr(torch.optim, subjects.load(algo).class_name)):  # type: ignore[misc]
        def step(self, closure: object = None) -> None:
            super().step()
            # The last one: neither the only nor the first tensor must decide.
            last = next(state for state in reversed(list(self.state.values())) if entry in state)
            last[entry].view(-1)[-1] += 0.01

    item = Implementation("planted", "planted", made=lambda name, submodule: Wrong)
    found = rows(plan(item, subjects=[subjects.load(algo)], workloads=[SMALL[algo]]))
    assert f"does not match the oracle on this workload: step 1, {entry}" in str(next(iter(found.values())).refused)


def test_interpreters_are_never_timed(planted: dict[str, float]) -> None:
    assert "fused-triton" not in rows(plan("fused-triton", "reference"))
    with pytest.raises(UsageError, match="interpreter, which is never timed"):
        rows(plan("reference", baseline="fused-triton"))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"baseline": "torch-bets"}, "did you mean 'torch-best'"),
        ({"workloads": ["1x"]}, "unknown workload"),
        ({"suite": "huge"}, "unknown suite 'huge'"),
        ({"options": {"momentum": 0.9}}, "unknown option of adam 'momentum'"),
        ({"workloads": ["absent.py:model"]}, "there is no file"),
    ],
)
def test_mistakes_in_a_plan(changes: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        list(bench.run(plan("reference", **changes)))


def test_too_large_a_workload_is_refused_before_it_is_made(
    planted: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "free_bytes", lambda name: 1 << 10)
    found = rows(plan("reference"))
    assert all("GiB are free" in str(row.refused) for row in found.values())


def test_rows_are_json(planted: dict[str, float], plant: Plant) -> None:
    found = list(bench.run(plan("reference", plant("Wrong"), workloads=["2x64", "2x64/autograd", "1x1K"])))
    text = json.dumps([row.to_json() for row in found], allow_nan=False)
    again = [Measurement(**row) for row in json.loads(text)]
    assert again == found
    assert {(row.workload, row.gradients, row.curve) for row in found} == {
        ("2x64", "standing", False), ("2x64/autograd", "moving", False), ("1x1K", "standing", True)
    }  # fmt: skip


def test_progress_and_order(planted: dict[str, float]) -> None:
    told: list[BenchProgress] = []
    found = list(bench.run(plan("reference", workloads=["2x64", "2x8"]), told.append))
    assert [row.workload for row in found] == ["2x64"] * 4 + ["2x8"] * 4
    assert [now.done for now in told] == sorted(now.done for now in told)
    assert told[-1].phase == "done" and told[-1].done == told[-1].total == 2
    assert {"reference", "torch-fused"} <= {now.implementation for now in told if now.phase == "check"}


def test_a_users_workload(planted: dict[str, float], tmp_path_factory: pytest.TempPathFactory) -> None:
    script = tmp_path_factory.mktemp("user") / "train.py"
    script.write_text("import torch\ndef build_model():\n    return torch.nn.Linear(5, 3, dtype=torch.float64)\n")
    row = rows(plan("reference", workloads=[f"{script}:build_model/autograd"]))["reference"]
    assert (row.refused, row.elements, row.tensors) == (None, 18, 2)
    assert (row.dtype, row.gradients, row.bytes_per_step) == ("float64", "moving", 18 * 56)


def test_first_calls_are_timed_once(planted: dict[str, float], plant: Plant) -> None:
    found = [
        row for row in bench.run(plan(plant("Honest"), workloads=["2x64", "2x8"])) if row.implementation == "Honest"
    ]
    assert found[0].first_call_s and found[0].first_call_s == found[1].first_call_s


def test_a_real_clock_gives_a_whole_row() -> None:
    row = rows(plan("torch-forloop", workloads=["2x64"], seconds=0.3))["torch-forloop"]
    assert row.median_s and row.min_s and row.cpu_s and row.iqr_s is not None
    assert row.min_s <= row.median_s and row.rounds >= 1
