"""Scripts show a failure without optbench: they fail for what is broken, and pass once it is right."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from optbench import deviations
from optbench.case import Case
from optbench.checking import Task, check, check_isolated
from optbench.cli.app import run
from optbench.failures.localise import localise
from optbench.failures.scripts import script
from optbench.runs.results import Result
from optbench.worker import Worker

from .planting import passes, plant

CODE = '''
import torch


class Right(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-3, momentum=0.0, weight_decay=0.0, maximize=False):
        super().__init__(params, {"lr": lr, "momentum": momentum, "decay": weight_decay, "maximize": maximize})

    def grad(self, p, group):
        return (-p.grad if group["maximize"] else p.grad) + group["decay"] * p

    def start(self, grad):
        return grad.clone()

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                grad = self.grad(p, group)
                if group["momentum"]:
                    state = self.state[p]
                    if "momentum_buffer" not in state:
                        state["momentum_buffer"] = self.start(grad)
                    else:
                        state["momentum_buffer"].mul_(group["momentum"]).add_(grad)
                    grad = state["momentum_buffer"]
                p.sub_(group["lr"] * grad)


class NoDecay(Right):
    def grad(self, p, group):
        return -p.grad if group["maximize"] else p.grad


class Mutates(Right):
    def grad(self, p, group):
        return p.grad.add_(p, alpha=group["decay"])


class Halved(Right):
    def start(self, grad):
        return grad / 2


class Raises(Right):
    def start(self, grad):
        if grad.dim() == 2:
            raise ArithmeticError("planted")
        return grad.clone()


class Outside(Right):
    @torch.no_grad()
    def step(self, closure=None):
        super().step()
        for group in self.param_groups:
            for p in group["params"]:
                if p.storage_offset():
                    p.as_strided((1,), (1,), p.storage_offset() - 1).zero_()
'''
OPTIONS = {"momentum": 0.9, "weight_decay": 0.1, "lr": 0.1}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return plant(CODE, tmp_path, monkeypatch)


def shown(name: str, law: str, case: Case) -> Result:
    task = Task(law, case, name, True, f"optbench check --algo {case.subject} -k '{law}[{case.id}]' --seed 0")
    result = check(task)
    assert result.broken, name
    return localise(task, result)


@pytest.mark.parametrize(
    ("name", "law", "layout", "says"),
    [
        ("NoDecay", "opt.oracle", "contiguous", "assert abs(got - want)"),
        ("Halved", "opt.oracle", "contiguous", '["momentum_buffer"]'),
        ("Mutates", "opt.pure", "contiguous", "params[0].grad.detach()"),
        ("Raises", "opt.oracle", "contiguous", "except Exception as error:"),
        ("Outside", "opt.layouts", "offset", "memory[0][around[0]]"),
    ],
)
def test_a_script_fails_for_what_is_broken_and_passes_for_what_is_right(
    folder: Path, name: str, law: str, layout: str, says: str
) -> None:
    result = shown(f"{folder}/planted.py:{name}", law, Case("sgd", OPTIONS, layout=layout, shapes="matrices", steps=2))
    text = script.whole(result)
    assert says in text and "import optbench" not in text
    assert script.fails(text) and len(text.splitlines()) < 25
    assert passes(text.replace(f"from planted import {name}", f"from planted import Right as {name}"))


@pytest.mark.skipif(not torch.__version__.startswith("2.13"), reason="what torch's fused kernels do in this release")
@pytest.mark.parametrize(
    ("law", "case"),
    [
        ("opt.shapes", Case("sgd", {"lr": 0.1}, "bfloat16", shapes="small odd", steps=2)),
        ("opt.layouts", Case("sgd", {"lr": 0.1}, layout="grad_unlike", shapes="matrices")),
        ("opt.version", Case("sgd", {}, shapes="matrices")),
    ],
)
def test_scripts_about_torchs_own_paths_need_nothing_but_torch(law: str, case: Case) -> None:
    text = script.whole(shown("torch-fused", law, case))
    assert "torch.optim.SGD(params" in text and "import" not in text.replace("import torch", "")
    assert script.fails(text)
    assert passes(text.replace("fused=True", "foreach=False"))


SCHEDULE = """
import torch


class Right(torch.optim.lr_scheduler.LRScheduler):
    late = 0

    def __init__(self, optimizer, step_size, gamma=0.1, last_epoch=-1):
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        return [base * self.gamma ** (max(0, self.last_epoch - self.late) // self.step_size) for base in self.base_lrs]


class Late(Right):
    late = 1
"""


def test_scripts_about_schedulers(folder: Path) -> None:
    (folder / "planted.py").write_text(SCHEDULE)
    case = Case("steplr", {"step_size": 3, "gamma": 0.5}, "float64")
    result = shown(f"{folder}/planted.py:Late", "sch.formula", case)
    text = script.whole(result)
    assert result.finding is not None and result.finding["likely"] == "epoch off by one (it lags behind)"
    assert "Late(optimizer, step_size=3)" in text and "for _ in range(3):" in text
    assert script.fails(text) and passes(text.replace("import Late", "import Right as Late"))


def test_large_tensors_are_drawn_and_not_written_down(folder: Path) -> None:
    (folder / "planted.py").write_text(
        CODE + "\n\nclass Large(NoDecay):\n    def grad(self, p, group):\n"
        "        return (NoDecay if p.numel() > 900 else Right).grad(self, p, group)\n"
    )
    text = script.whole(shown(f"{folder}/planted.py:Large", "opt.oracle", Case("sgd", OPTIONS, shapes="thousand")))
    assert "torch.randn((901,), generator=torch.Generator().manual_seed(0))" in text and len(text) < 1500
    assert script.fails(text) and passes(text.replace("import Large", "import Right as Large"))


@pytest.mark.slow
def test_what_ends_the_process_is_written_without_being_done(folder: Path) -> None:
    (folder / "planted.py").write_text(
        CODE + "\n\nclass Dies(Right):\n    def step(self, closure=None):\n"
        "        if self.param_groups[0]['momentum']:\n            os._exit(7)\n        super().step()\n\n\nimport os\n"
    )
    case = Case("sgd", OPTIONS, shapes="pair", steps=2)
    task = Task("opt.oracle", case, f"{folder}/planted.py:Dies", True, "")
    with Worker() as worker:
        result = localise(task, check_isolated(task, worker), worker)
    assert result.verdict == "crash" and result.finding is not None
    assert "momentum" in result.finding["options"]
    text = script.whole(result)
    assert "Dies(params, " in text and "momentum=0.9" in text
    (folder / "dies.py").write_text(text)
    alone = subprocess.run([sys.executable, "dies.py"], capture_output=True, text=True, cwd=folder)
    assert (alone.returncode, alone.stdout) == (7, "")


def test_where_there_is_no_script_the_command_stands_in_its_place() -> None:
    result = Result("opt.round_trip", "state", "sgd", "mine", "foreign", True, "x", "fail", 1, message="wrong",
                    reproduce="optbench check …")  # fmt: skip
    assert script.whole(result).splitlines() == [
        "# mine breaks opt.round_trip of sgd: wrong",
        "# With optbench: optbench check …",
        "# What this law does cannot be written in a few lines of plain torch.",
    ]


def test_where_torchs_cause_is_known_its_script_stands_in_its_place() -> None:
    known = Result("opt.snapshot", "state", "sgd", "torch-forloop", "torch", True, "x", "fail", 1, message="wrong",
                   reproduce="optbench check …", deviation="D-010")  # fmt: skip
    (row,) = [row for row in deviations.TABLE if row.id == "D-010"]
    text = script.whole(known)
    assert "# Its cause is known, D-010: " in text and text.endswith(row.script)
    assert passes(text)
    assert script.of(replace(known, implementation="mine")) == ""


def test_the_first_judged_failure_is_shown() -> None:
    def row(judged: bool, text: str, verdict: str = "fail") -> Result:
        return Result("opt.pure", "math", "sgd", "a", "b", judged, "x", verdict, 1, finding={"script": text})  # type: ignore[arg-type]

    rows = [row(True, "", "pass"), row(False, "context"), row(True, ""), row(True, "mine"), row(True, "later")]
    assert script.of(script.first(rows) or rows[0]) == "mine"
    assert script.first(rows[:1]) is None


def test_check_writes_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = "check --algo sgd --impl planted.py:Halved --law opt.shapes -k zero_first --dtype float32"
    assert run([*arguments.split(), "--repro", "shown.py"]) == 1
    out, err = capsys.readouterr()
    assert "shown.py" not in out
    assert err == "script: shown.py shows how planted.py:Halved breaks opt.shapes\n"

    def script_alone() -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "shown.py"], capture_output=True, text=True, cwd=folder)

    broken = script_alone()
    assert broken.returncode == 1 and "AssertionError: got" in broken.stderr
    (folder / "planted.py").write_text(CODE.replace("return grad / 2", "return grad.clone()"))
    assert script_alone().returncode == 0
    assert run([*arguments.replace("Halved", "Right").split(), "--repro", "none.py"]) == 0
    assert capsys.readouterr().err == "script: none, because nothing failed\n" and not Path("none.py").exists()
