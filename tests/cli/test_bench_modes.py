"""`bench --steady` and `bench --calibrate`, as somebody types them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from optbench.cli.app import run
from optbench.errors import EXIT_BROKEN, EXIT_NOTHING_RAN, EXIT_OK, EXIT_USAGE
from optbench.timing import steady, trial_runs, workloads


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def kept(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def test_figures_are_kept_compared_and_renewed(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    steady_sgd = ["bench", "--algo", "sgd", "--impl", "fused", "--steady"]
    path = elsewhere / "figures.json"
    assert run([*steady_sgd, "--format", "json", "-o", str(path)]) == EXIT_OK
    assert run([*steady_sgd, "--against", str(path)]) == EXIT_OK
    assert "OK: 2 steps, every figure is as it is kept" in capsys.readouterr().out

    content = kept(path)
    content["figures"]["sgd fused 100x64"]["launches"] -= 1
    path.write_text(json.dumps(content))
    assert run([*steady_sgd, "--against", str(path)]) == EXIT_BROKEN
    said = capsys.readouterr().out
    assert "sgd fused 100x64: launches 1 -> 2, worse" in said
    assert f"optbench bench --algo all --steady --format json -o {path}" in said

    assert run([*steady_sgd, "--against", str(path), "--format", "github"]) == EXIT_BROKEN
    assert "- sgd fused 100x64: launches 1 -> 2, worse" in capsys.readouterr().out
    assert run([*steady_sgd, "--against", str(path), "--format", "json"]) == EXIT_BROKEN
    assert json.loads(capsys.readouterr().out)["changes"][0]["figure"] == "launches"

    content["versions"]["torch"] = "1.0.0"
    path.write_text(json.dumps(content))
    assert run([*steady_sgd, "--against", str(path)]) == EXIT_NOTHING_RAN


def test_better_figures_pass_and_are_told(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["bench", "--algo", "sgd", "--impl", "fused", "--steady"]
    assert run([*command, "--format", "json", "-o", "f.json"]) == EXIT_OK
    content = kept(Path("f.json"))
    content["figures"]["sgd fused ragged"]["moved_bytes"] += 8
    Path("f.json").write_text(json.dumps(content))
    assert run([*command, "--against", "f.json"]) == EXIT_OK
    assert "1 are better" in capsys.readouterr().out


def test_another_pythons_calls_are_not_compared(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["bench", "--algo", "sgd", "--impl", "fused", "--steady"]
    assert run([*command, "--format", "json", "-o", "f.json"]) == EXIT_OK
    content = kept(Path("f.json"))
    content["figures"]["sgd fused ragged"]["host_calls"] = 1
    Path("f.json").write_text(json.dumps(content))
    assert run([*command, "--against", "f.json"]) == EXIT_BROKEN
    versions = steady.versions()
    monkeypatch.setattr(steady, "versions", lambda: {**versions, "python": "3.99"})
    assert run([*command, "--against", "f.json"]) == EXIT_OK
    assert "host calls are not compared" in capsys.readouterr().err


def test_the_table_shows_every_figure(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "--algo", "adam", "--impl", "fused", "--steady"]) == EXIT_OK
    out = capsys.readouterr().out
    assert "bytes moved" in out and "179,200" in out and "OK: 2 steps counted." in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--against", "f.json"], "add --steady"),
        (["--steady", "--calibrate"], "--calibrate means nothing beside --steady"),
        (["--steady", "--device", "cuda"], "--device means nothing beside --steady"),
        (["--steady", "--seed", "1"], "--seed means nothing"),
        (["--steady", "--format", "junit"], "checks none"),
        (["--steady", "--against", "absent.json"], "cannot read absent.json"),
        (["--calibrate", "--workload", "1x1M"], "--workload means nothing beside --calibrate"),
        (["--calibrate", "--format", "github"], "write table or json"),
        (["--calibrate", "--impl", "fused,foreach"], "name one algorithm and one implementation"),
    ],
)
def test_mistakes(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "--algo", "adam", *arguments]) == EXIT_USAGE
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("algo", ["lbfgs", "muon", "sparse_adam", "ema", "onecyclelr"])
def test_only_elementwise_steps_are_raced_against_themselves(algo: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "--algo", algo, "--calibrate"]) == EXIT_USAGE
    assert "needs an elementwise optimizer" in capsys.readouterr().err


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real steps, few and short: what comes of them says nothing."""
    monkeypatch.setitem(workloads.SUITE_SECONDS, "quick", 0.2)
    curves = trial_runs.curves
    monkeypatch.setattr(
        trial_runs, "curves", lambda *arguments, **options: curves(*arguments, **options, runs=2, seconds=0.01)
    )


def test_a_calibration_is_kept_and_told_by_later_runs(quick: None, capsys: pytest.CaptureFixture[str]) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        status = run(["bench", "--algo", "sgd", "--calibrate"])
        out = capsys.readouterr().out
        assert status in (EXIT_OK, EXIT_BROKEN)
        assert ("NOT TRUSTED" in out) == (status == EXIT_BROKEN)
        assert "of 2" in out and "1x256K" in out
        curves = kept(Path(".optbench/calibration.json"))["curves"]
        assert [curve["workload"] for curve in curves] == ["100x64", "1x256K"]
        assert [row["slowdown"] for row in curves[0]["slowdowns"]] == [0.0, 0.02, 0.05, 0.1, 0.2]

        bench = ["bench", "--algo", "sgd", "--impl", "foreach", "--workload", "2x64", "-o", "r.json", "-f", "json"]
        assert run(bench) == EXIT_OK
        assert kept(Path("r.json"))["environment"]["calibration"]["curves"] == curves
    finally:
        torch.set_num_threads(threads)
