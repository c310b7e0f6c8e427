"""`.ci/asv-results`, on a repository made for it: what is kept on the branch comes back, and two runs both stay."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / ".ci" / "asv-results"
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a shell script")


def git(place, *arguments):
    who = ("-c", "user.name=somebody", "-c", "user.email=somebody@localhost")
    done = subprocess.run(["git", *who, *arguments], cwd=place, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def checkouts(tmp_path):
    """Two clones of one repository with a commit, each with the script."""
    git(tmp_path, "init", "--quiet", "--bare", "remote.git")
    for name in ("one", "two"):
        git(tmp_path, "clone", "--quiet", "remote.git", name)
        (tmp_path / name / ".ci").mkdir()
        shutil.copy(SCRIPT, tmp_path / name / ".ci")
    one = tmp_path / "one"
    for number in range(2):
        git(one, "commit", "--quiet", "--allow-empty", "--message", f"{number}")
    git(one, "push", "--quiet", "origin", "HEAD:main")
    git(tmp_path / "two", "fetch", "--quiet")
    git(tmp_path / "two", "checkout", "--quiet", "-B", "main", "origin/main")
    return one, tmp_path / "two"


def script(place, command):
    environment = os.environ | {"MACHINE": "here"}
    done = subprocess.run([".ci/asv-results", command], cwd=place, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def result(place, commit, text="{}"):
    file = place / ".asv" / "results" / "here" / f"{commit[:8]}-env.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_results_stay_between_runs(checkouts):
    one, two = checkouts
    assert "a new history begins" in script(one, "fetch")
    assert script(one, "last") == ""
    parent = git(one, "rev-parse", "HEAD~1")
    result(one, parent)
    assert "kept" in script(one, "keep")
    assert "nothing new" in script(one, "keep")
    assert "1 results" in script(two, "fetch")
    assert script(two, "last") == parent
    # Neither the checkout nor its index was touched.
    assert git(one, "status", "--porcelain", "--untracked-files=no") == ""
    assert git(one, "branch", "--show-current") == git(one, "rev-parse", "--abbrev-ref", "HEAD")


def test_a_run_adds_to_what_another_kept_meanwhile(checkouts):
    one, two = checkouts
    result(one, "1" * 40)
    result(two, "2" * 40)
    script(one, "keep")
    script(two, "keep")
    kept = git(one, "ls-remote", "origin", "refs/heads/benchmarks")
    assert kept
    git(one, "fetch", "--quiet", "origin", "benchmarks")
    files = git(one, "ls-tree", "-r", "--name-only", "FETCH_HEAD").split()
    assert files == ["results/here/11111111-env.json", "results/here/22222222-env.json"]
