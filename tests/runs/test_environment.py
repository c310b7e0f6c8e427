"""What a run says about where it took place."""

from __future__ import annotations

import builtins
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from optbench.runs import environment

EXPECTED = {
    "optbench", "python", "torch", "triton", "numba", "numpy", "os", "cpu", "cores", "usable_cores",
    "last_level_cache_bytes", "memory_bytes", "torch_threads", "numba_threads", "device", "gpu", "load_average",
    "commit", "dirty", "time", "seed", "machine",
}  # fmt: skip


def test_everything_is_there_and_ready_for_json() -> None:
    found = environment.collect(seed=7, device="cpu")
    assert set(found) == EXPECTED
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["seed"] == 7
    assert found["device"] == "cpu"
    assert found["python"] == ".".join(str(part) for part in sys.version_info[:3])


def test_threads_are_those_of_this_process() -> None:
    import torch

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        assert environment.collect(seed=0, device="cpu")["torch_threads"] == 1
    finally:
        torch.set_num_threads(before)


def test_the_machine_is_the_same_in_another_process_and_is_no_hostname() -> None:
    here = environment.collect(seed=0, device="cpu")["machine"]
    code = "from optbench.runs import environment; print(environment.collect(seed=1, device='cpu')['machine'])"
    root = Path(environment.__file__).parents[2]
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root).stdout
    assert there.strip() == here
    import platform

    assert platform.node() not in here


def test_nothing_is_known_and_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """No torch, no numba, no /proc, no git, no load average: None everywhere, and a record all the same."""
    real_import = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] in ("torch", "numba"):
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise OSError("not here")

    monkeypatch.setattr(builtins, "__import__", refuse)
    monkeypatch.setattr(subprocess, "run", fail)
    monkeypatch.setattr(Path, "read_text", fail)
    monkeypatch.setattr("os.getloadavg", fail, raising=False)
    monkeypatch.setattr("os.sysconf", fail, raising=False)
    monkeypatch.setattr(environment, "_CACHES", Path("/nonexistent"))
    found = environment.collect(seed=0, device="cuda")
    unknown = {name for name, value in found.items() if value is None}
    assert {"torch_threads", "numba_threads", "gpu", "load_average", "commit", "dirty"} <= unknown
    assert len(found["machine"]) == 12


@pytest.mark.parametrize("system", ["darwin", "win32", "aix"])
def test_another_operating_system_does_not_fail(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", system)
    found = environment.collect(seed=0, device="cpu")
    assert set(found) == EXPECTED


def test_a_wheel_has_no_commit(tmp_path: Path) -> None:
    assert environment.describe_checkout(tmp_path) == {"commit": None, "dirty": None}


def test_a_checkout_tells_its_commit_and_whether_it_was_changed(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
        done = subprocess.run(["git", *identity, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    git("init", "-q")
    (tmp_path / "pyproject.toml").write_text("")
    git("add", "pyproject.toml")
    git("commit", "-q", "-m", "First")
    commit = git("rev-parse", "HEAD")
    assert environment.describe_checkout(tmp_path) == {"commit": commit, "dirty": False}
    (tmp_path / "new.py").write_text("")
    assert environment.describe_checkout(tmp_path) == {"commit": commit, "dirty": True}


def test_the_last_cache_counts_each_instance_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four cores, two third-level caches of 16 MiB: 32 MiB, not 64, and not the second level."""
    for core in range(4):
        share = "0-1" if core < 2 else "2-3"
        levels = [(1, "Instruction", "64K", f"{core}"), (2, "Unified", "1M", f"{core}"), (3, "Unified", "16M", share)]
        for index, (level, kind, size, shared) in enumerate(levels):
            folder = tmp_path / f"cpu{core}" / "cache" / f"index{index}"
            folder.mkdir(parents=True)
            for name, text in (("level", level), ("type", kind), ("size", size), ("shared_cpu_list", shared)):
                (folder / name).write_text(f"{text}\n")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(environment, "_CACHES", tmp_path)
    assert environment.last_level_cache_bytes() == 32 << 20


@pytest.mark.parametrize(("text", "size"), [("512", 512), ("32K", 32 << 10), ("1M\n", 1 << 20), ("2G", 2 << 30)])
def test_sizes_are_read_as_linux_writes_them(text: str, size: int) -> None:
    assert environment.parse_size(text) == size


def test_to_ask_changes_nothing() -> None:
    """Numba's own team, once started, gives torch its number of threads."""
    script = (
        "import torch; from optbench.runs.environment import collect; before = torch.get_num_threads(); "
        "found = collect(0, 'cpu'); print(before, found['torch_threads'], torch.get_num_threads())"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert run.stdout.split() == ["1", "1", "1"]
