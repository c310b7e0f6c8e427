"""Foreign code in a child: timed beside torch, and a crash costs its own rows only."""

from pathlib import Path

import pytest

from optbench import registry, subjects
from optbench.errors import UsageError
from optbench.timing import bench
from optbench.timing.bench import BenchPlan

FOREIGN = """
import os
import torch

class Good(torch.optim.Adam):
    def __init__(self, params, lr=0.5, betas=(0.9, 0.999)):
        super().__init__(params, lr=lr, betas=betas)

class Private:
    '''Keeps its state where nobody finds it.'''
    def __init__(self, params, lr=1e-3):
        self.params = list(params)
        self.param_groups = [{"params": self.params, "lr": lr}]
        self.inner = torch.optim.Adam(self.params, lr=lr)
        self.state = {}

    def step(self):
        self.inner.step()

class Crashes(torch.optim.Adam):
    def __init__(self, params, lr=1e-3):
        super().__init__(params, lr=lr)

    def step(self, closure=None):
        os._exit(9)
"""


def plan(folder: Path, *classes: str, **changes: object) -> BenchPlan:
    path = folder / "foreign.py"
    path.write_text(FOREIGN)
    found = [registry.find(f"{path}:{name}") for name in classes]
    return BenchPlan([subjects.load("adam")], found, workloads=["2x64", "2x8"], seconds=0.4, **changes)  # type: ignore[arg-type]


def test_foreign_code_is_timed_and_a_crash_costs_its_own_rows(tmp_path: Path) -> None:
    rows = list(bench.run(plan(tmp_path, "Good", "Private", "Crashes")))
    assert [row.workload for row in rows] == ["2x64"] * 6 + ["2x8"] * 6
    for row in rows:
        name = row.implementation.rpartition(":")[2]
        if name == "Crashes":
            assert "its process did not survive 2x64" in str(row.refused)
        else:
            assert row.refused is None and row.median_s, row
            # Nobody knows how much the private one keeps.
            assert (row.state_bytes_per_element == 0) == (name == "Private")


def test_a_mistake_in_the_target_is_the_users(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Goood"):
        list(bench.run(plan(tmp_path, "Goood")))


def test_options_that_it_lacks_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "_measurer", bench._Here)
    rows = list(bench.run(plan(tmp_path, "Good", options={"amsgrad": True})))
    assert rows[0].refused == "no such option: amsgrad"
    assert all(row.refused is None for row in rows if row.implementation.startswith("torch-"))
