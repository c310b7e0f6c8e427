"""Foreign code from end to end: what is right passes, what is wrong is named, what dies costs its own rows."""

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from optbench import checking, worker
from optbench.cli.app import run
from optbench.failures import localise
from optbench.foreign import acquaintance

ROOT = Path(__file__).resolve().parents[2]
CODE = """
    import ctypes, os, pathlib, time
    import torch

    class Right(torch.optim.SGD):
        pass

    class Wrong(torch.optim.SGD):
        def __init__(self, params, lr=1e-3, **options):
            super().__init__(params, lr=lr * 1.01, **options)

    class Reference(torch.optim.Optimizer):
        def __init__(self, params, lr=0.5):
            super().__init__(params, {"lr": lr})

        @torch.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        p -= group["lr"] * p.grad

    class Mutating(Reference):
        @torch.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        p -= p.grad.mul_(group["lr"])

    class OneForAll(torch.optim.Optimizer):
        def __init__(self, params, lr=1e-3, weight_decay=0.0):
            super().__init__(params, {"lr": lr})
            self.weight_decay = weight_decay

        @torch.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        p -= group["lr"] * (p.grad + self.weight_decay * p)

    class Dying(torch.optim.SGD):
        def step(self, closure=None):
            print("going down")
            os._exit(7)

    class Crashing(torch.optim.SGD):
        def step(self, closure=None):
            print("about to read address 0")
            ctypes.string_at(0)

    class Eating(torch.optim.SGD):
        def step(self, closure=None):
            self.kept = []
            while True:
                self.kept.append(torch.ones(1 << 22))
                time.sleep(0.005)

    class Unbuilt(torch.optim.SGD):
        def __init__(self, params, lr=1e-3):
            raise RuntimeError("no licence")

    class Sleeping(torch.optim.SGD):
        def step(self, closure=None):
            time.sleep(3600)

    class Hanging(torch.optim.SGD):
        def step(self, closure=None):
            pathlib.Path("pid").write_text(str(os.getpid()))
            time.sleep(3600)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(textwrap.dedent(CODE))
    return tmp_path


@pytest.fixture
def impatient(monkeypatch):
    """Seconds for a case, a gigabyte for a process, and no process spent on making a crash smaller."""
    # Until it is loaded it may take as long as ever.
    assert acquaintance.TIME_LIMIT == 60.0
    monkeypatch.setattr(checking, "TIME_LIMIT", 20.0)
    monkeypatch.setattr(worker, "_free_memory", lambda: 1 << 30)
    monkeypatch.setattr(localise, "_SLOW_BUDGET", 0)


DIES = {
    "Dying": "it left with exit status 7; it last said: going down",
    "Crashing": r"it died of SIGSEGV, in mine\.py line \d+ \(step\); it last said: about to read address 0",
    "Eating": r"it used more than 1\.07 GB of memory",
    "Sleeping": r"no answer within 20 s, in mine\.py line \d+ \(step\)",
}


def verdicts(capsys, *names):
    """The row of each of these classes for one case of one law."""
    targets = ",".join(f"mine.py:{name}" for name in names)
    arguments = ["check", "--algo", "sgd", "--impl", targets, "-k", "opt.shapes and zero_first", "--dtype", "float32"]
    assert run([*arguments, "--format", "json"]) == 1
    rows = json.loads(capsys.readouterr().out)["results"]
    return {row["implementation"].removeprefix("mine.py:"): row for row in rows if row["law"] == "opt.shapes"}


linux = pytest.mark.skipif(sys.platform != "linux", reason="signals, and resident memory")


@linux
def test_each_gets_the_verdict_it_deserves(folder, capsys, impatient):
    seen = verdicts(capsys, "Right", "Wrong", "Dying")
    assert {name: row["verdict"] for name, row in seen.items()} == {"Right": "pass", "Wrong": "fail", "Dying": "crash"}
    assert seen["Right"]["comparisons"] and "scaled error" in seen["Wrong"]["message"]
    assert "--impl mine.py:Wrong" in seen["Wrong"]["reproduce"]
    assert re.fullmatch(DIES["Dying"], seen["Dying"]["message"])


@linux
@pytest.mark.slow
def test_every_way_to_die_costs_its_own_rows_and_is_named(folder, capsys, impatient):
    seen = verdicts(capsys, "Right", "Unbuilt", *DIES)
    assert {name: row["verdict"] for name, row in seen.items()} == {
        "Right": "pass", "Unbuilt": "error", **dict.fromkeys(DIES, "crash"),
    }  # fmt: skip
    assert seen["Unbuilt"]["message"] == "RuntimeError: no licence"
    for name, said in DIES.items():
        assert re.fullmatch(said, seen[name]["message"]), seen[name]["message"]
        # Nothing else is lost: the command and what is known of the case.
        assert seen[name]["judged"] and "--impl mine.py:" + name in seen[name]["reproduce"]


@linux
@pytest.mark.slow
def test_what_dies_when_it_is_tried_is_judged_by_every_law(folder, capsys, impatient):
    assert run(["check", "--impl", "mine.py:Crashing", "--law", "opt.pure", "--dtype", "float32"]) == 1
    sentence = capsys.readouterr().out.splitlines()[-1]
    assert re.match(r"BROKEN: mine\.py:Crashing breaks opt\.pure in (\d+) of \1 cases; first: Crashing opt", sentence)
    assert "it died of SIGSEGV, in mine.py line" in sentence
    assert "not run: it crashed in 3 cases in a row" in next(Path(".optbench/runs").glob("*.json")).read_text()


EXPECTED = """
    [[expected]]
    law = "opt.shapes"
    subject = "sgd"
    case = "float32/scalars*"
    reason = "the rate is off on purpose"
"""


def test_what_the_owner_expects_to_fail_breaks_nothing_and_has_to_fail(folder, capsys):
    (folder / "expected.toml").write_text(textwrap.dedent(EXPECTED))
    chosen = ["--law", "opt.shapes", "-k", "float32 and (zero_first or scalars)", "--expect", "expected.toml"]
    arguments = ["check", "--algo", "sgd", "--impl", "mine.py:Wrong,mine.py:Right", *chosen, "--format", "json"]
    assert run(arguments) == 1
    record = json.loads(capsys.readouterr().out)
    seen = {(row["implementation"][8:], row["case"].split("/")[1]): row["verdict"] for row in record["results"]}
    assert seen == {
        ("Wrong", "scalars"): "xfail", ("Wrong", "zero_first"): "fail",
        ("Right", "scalars"): "xpass", ("Right", "zero_first"): "pass",
    }  # fmt: skip
    assert record["command"].endswith("--expect expected.toml")
    sentence = record["summary"]["sentence"]
    assert "mine.py:Wrong breaks opt.shapes in 1 of 2 cases; mine.py:Right breaks opt.shapes in 1 of 2" in sentence


def test_without_an_algorithm_every_law_is_asked_that_needs_no_formula(folder, capsys):
    chosen = ["-k", "float32 and (strided or blocks or lr=0.1)", "--law", "opt.layouts,opt.shapes,opt.pure,opt.oracle"]
    assert run(["check", "--impl", "mine.py:Reference,mine.py:Mutating", *chosen]) == 1
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == "Reference" and "Mutating" in lines and "opt.oracle" not in out
    assert "BROKEN: mine.py:Mutating breaks opt.pure in 2 of 2 cases; first: Mutating opt.pure[float32/" in out
    assert "  optbench check --impl mine.py:Mutating -k 'opt.pure[float32/1/1_steps]' --seed 0" in lines
    assert err.startswith("No formula was judged: --algo NAME asks whether it is that algorithm, --oracle WHERE:CLASS")
    (path,) = Path(".optbench/runs").glob("*.json")
    assert path.stem.endswith("-check-Reference-Mutating")


def test_what_stands_for_an_algorithm_of_torch_has_to_heed_a_groups_own_options(folder, capsys):
    arguments = ["check", "--algo", "sgd", "--impl", "mine.py:OneForAll", "--law", "opt.groups", "--format", "json"]
    assert run(arguments) == 1
    seen = {row["case"]: row for row in json.loads(capsys.readouterr().out)["results"]}
    broken = {case.rpartition("/")[2] for case, row in seen.items() if row["verdict"] == "fail"}
    assert broken >= {"per-group_options", "group_joins_late"}


def test_the_users_oracle_judges_formulas(folder, capsys):
    arguments = ["check", "--impl", "mine.py:Right,mine.py:Reference", "--oracle", "mine.py:Reference"]
    arguments += ["--law", "opt.oracle", "-k", "float32", "--format", "json"]
    assert run(arguments) == 0
    out, err = capsys.readouterr()
    record = json.loads(out)
    assert "No formula" not in err and record["command"].endswith("--oracle mine.py:Reference -k float32")
    seen = {(row["subject"], row["verdict"]) for row in record["results"]}
    assert seen == {("Right", "pass"), ("Right", "skip"), ("Reference", "pass"), ("Reference", "skip")}
    lacks = {row["message"] for row in record["results"] if "option=" in row["case"]}
    assert "mine.py:Reference has no such option: momentum" in lacks
    # Its default is 0.5, and Right's is torch's: every option is given.
    assert record["summary"]["sentence"].startswith("OK: mine.py:Right and mine.py:Reference keep opt.oracle in ")


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("mine.py:Rihgt", "it has no 'Rihgt': did you mean 'Right'?"),
        ("min.py:Right", "there is no file 'min.py': did you mean 'mine.py'?"),
    ],
)
def test_targets_that_do_not_load_are_wrong_usage(folder, capsys, target, said):
    assert run(["check", "--algo", "sgd", "--impl", target]) == 2
    out, err = capsys.readouterr()
    assert out == "" and said in err and err.count("\n") == 1
    assert list(Path(".optbench/runs").iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_interrupt_ends_a_hanging_run_at_once(folder):
    command = [
        sys.executable,
        "-m",
        "optbench",
        "check",
        "--algo",
        "sgd",
        "--impl",
        "mine.py:Hanging",
        "--law",
        "opt.shapes",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True) as process:
        pid = folder / "pid"
        for _ in range(600):
            if pid.exists() and pid.read_text():
                break
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        start = time.monotonic()
        assert process.wait(20) == 130
        assert time.monotonic() - start < 10
        assert process.stderr is not None
        assert process.stderr.read() == "optbench: interrupted before the first result; nothing is kept.\n"
    stat = Path(f"/proc/{pid.read_text()}/stat")
    assert not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"
