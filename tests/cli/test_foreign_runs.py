"""Foreign code from end to end: what is right passes, what is wrong is named, what dies costs its own rows."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from optbench.cli.app import run

ROOT = Path(__file__).resolve().parents[2]
CODE = """
    import os, pathlib, time
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

    class Dying(torch.optim.SGD):
        def step(self, closure=None):
            print("going down")
            os._exit(7)

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


def test_each_gets_the_verdict_it_deserves(folder, capsys):
    names = ["Right", "Wrong", "Dying"]
    targets = ",".join(f"mine.py:{name}" for name in names)
    arguments = ["check", "--algo", "sgd", "--impl", targets, "-k", "shapes and zero_first", "--dtype", "float32"]
    assert run([*arguments, "--format", "json"]) == 1
    rows = json.loads(capsys.readouterr().out)["results"]
    seen = {}
    for row in rows:
        if row["law"] == "opt.shapes":
            seen.setdefault(row["implementation"].removeprefix("mine.py:"), []).append(row)
    assert {name: {row["verdict"] for row in seen[name]} for name in names} == {
        "Right": {"pass"}, "Wrong": {"fail"}, "Dying": {"crash"},
    }  # fmt: skip
    assert all(row["comparisons"] for row in seen["Right"])
    assert "parameter" in seen["Wrong"][0]["message"] and "scaled error" in seen["Wrong"][0]["message"]
    assert seen["Dying"][0]["message"] == "it left with exit status 7; it last said: going down"
    assert all("--impl mine.py:Wrong" in row["reproduce"] for row in seen["Wrong"])


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
