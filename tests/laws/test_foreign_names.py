"""Laws ask foreign code under the names that it has, and nothing about what it does not keep."""

from __future__ import annotations

from pathlib import Path

import pytest

from optbench import laws
from optbench.checking import Task, check
from optbench.law import Scope
from optbench.runs.results import Result
from optbench.subjects import load

CODE = """
import torch
from optbench import Adapter


class Renamed(torch.optim.Optimizer):
    names = Adapter(options={"rate": "lr"}, state={"mean": "momentum_buffer"})
    kept = "rate"

    def __init__(self, params, rate=1e-3, weight_decay=0.0):
        super().__init__(params, {self.kept: rate, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in (each for each in group["params"] if each.grad is not None):
                self.state[p]["mean"] = p.grad.clone()
                p.sub_(group[self.kept] * (p.grad + group["weight_decay"] * p))


class Kept(Renamed):
    kept = "lr"


class Ignores(Renamed):
    def step(self, closure=None):
        for group in self.param_groups:
            group["rate"] = self.param_groups[0]["rate"]
        super().step()
"""


def judged(folder: Path, name: str, law: str, subject: str = "sgd") -> list[Result]:
    (folder / "renamed.py").write_text(CODE)
    options = frozenset({"lr", "weight_decay"})
    cases = list(laws.entries()[law].cases(load(subject), Scope(dtypes=("float32",))))
    tasks = [Task(law, case, f"{folder}/renamed.py:{name}", True, "", options, {"mean": "momentum_buffer"})
             for case in cases if set(case.options) <= options]  # fmt: skip
    return [check(task) for task in tasks]


@pytest.mark.parametrize(("name", "verdict"), [("Renamed", "pass"), ("Kept", "pass"), ("Ignores", "fail")])
def test_groups_name_options_as_the_class_keeps_them(tmp_path: Path, name: str, verdict: str) -> None:
    found = {result.verdict for result in judged(tmp_path, name, "opt.groups") if "changed" not in result.case}
    assert verdict in found and (verdict == "fail" or found == {"pass"})


def test_a_counter_that_is_not_kept_was_no_other_before(tmp_path: Path) -> None:
    found = [result for result in judged(tmp_path, "Renamed", "opt.old_checkpoints", "adam") if "step" in result.case]
    assert {result.message for result in found if "_as_" in result.case} == {"nobody knows where it counts its steps"}
