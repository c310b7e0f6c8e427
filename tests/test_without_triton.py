"""Where Triton is not installed, as on macOS and Windows, all but the Triton path works."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# As sitecustomize it reaches every process that a run starts, worker processes too.
BLOCK = """\
import sys

class NoTriton:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "triton":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, NoTriton())
"""


def run(code, cwd, *arguments):
    hooks = cwd / "hooks"
    hooks.mkdir()
    (hooks / "sitecustomize.py").write_text(BLOCK)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(hooks), str(ROOT)])}
    environment.pop("TRITON_INTERPRET", None)
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, encoding="utf-8", timeout=300
    )


def test_the_block_blocks(tmp_path):
    done = run("import triton", tmp_path)
    assert done.returncode == 1 and "No module named 'triton'" in done.stderr


def test_every_tier_takes_a_step(tmp_path):
    code = """
import sys, torch
import optbench.impls.foreach, optbench.impls.fused, optbench.reference, optbench.optim
for tier in (optbench.reference, optbench.impls.foreach, optbench.impls.fused, optbench.optim):
    for name in ("Adam", "AdamW", "SGD"):
        ours, theirs = (torch.nn.Parameter(torch.ones(100)) for _ in range(2))
        ours.grad = theirs.grad = torch.full((100,), 0.5)
        getattr(tier, name)([ours], lr=0.1).step()
        getattr(torch.optim, name)([theirs], lr=0.1).step()
        torch.testing.assert_close(ours, theirs)
assert not any(module.partition(".")[0] == "triton" for module in sys.modules)
"""
    done = run(code, tmp_path)
    assert done.returncode == 0, done.stderr


def test_check_runs_without_the_triton_path(tmp_path):
    code = "from optbench.cli import main; main()"
    arguments = ["check", "--algo", "sgd", "--law", "opt.shapes", "--dtype", "float32", "--format", "json"]
    done = run(code, tmp_path, *arguments)
    assert done.returncode == 0, done.stderr
    names = {row["implementation"] for row in json.loads(done.stdout)["results"] if row["judged"]}
    assert names == {"reference", "foreach", "fused"}


def test_the_triton_path_says_what_is_missing(tmp_path):
    code = "from optbench.cli import main; main()"
    done = run(code, tmp_path, "check", "--algo", "sgd", "--impl", "fused-triton")
    assert done.returncode == 3, done.stdout + done.stderr
    assert "fused-triton needs Triton, which is not installed here" in done.stderr and done.stderr.count("\n") == 1


def test_a_worker_is_blocked_too(tmp_path):
    code = """
from optbench.worker import Worker, WorkerError
with Worker() as worker:
    try:
        worker.call("triton:jit", timeout=20)
    except WorkerError as error:
        print(error)
"""
    assert "No module named 'triton'" in run(code, tmp_path).stdout
