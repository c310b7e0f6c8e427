"""`parametrize_with_checks` in a project of somebody else's, and the conformance suite as a command."""

import doctest
import os
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path
from xml.etree import ElementTree

import pytest

from optbench import testing

ROOT = Path(__file__).resolve().parents[1]
MINE = """
    import torch

    class Plain(torch.optim.Optimizer):
        def __init__(self, params, lr=0.5):
            super().__init__(params, {"lr": lr})

        @torch.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        self.move(p, p.grad, group["lr"])

        def move(self, p, g, lr):
            p.sub_(g, alpha=lr)

    class Writing(Plain):
        def move(self, p, g, lr):
            p.sub_(g.mul_(lr))
"""
TESTS = """
    from pathlib import Path
    from mine import Plain, Writing
    from optbench.testing import parametrize_with_checks

    EXPECTED = Path(__file__).parent / "expected.toml"

    @parametrize_with_checks(
        [("sgd", Plain), Writing], laws="opt.pure,opt.version,opt.errors", dtypes="float32", expected=EXPECTED
    )
    def test_laws(check):
        check()
"""
EXPECTED = """
    [[expected]]
    law = "opt.pure"
    subject = "Writing"
    reason = "it scales the gradient in place"

    [[expected]]
    law = "opt.pure"
    subject = "sgd"
    case = "float32/lr=0.1"
    reason = "this one passes"

    [[expected]]
    law = "opt.pure"
    subject = "Other"
    reason = "nobody is called so"
"""


class Seen:
    """What a run of pytest tells its plugins."""

    def __init__(self):
        self.tests, self.errors, self.warnings = {}, [], []

    def pytest_runtest_logreport(self, report):
        if report.when == "call" or report.outcome != "passed":
            name = report.nodeid.partition("::")[2]
            kind = "xfailed" if hasattr(report, "wasxfail") else report.outcome
            self.tests[name] = (kind, getattr(report, "wasxfail", "") or _text(report.longrepr))

    def pytest_collectreport(self, report):
        if report.failed:
            self.errors.append(_text(report.longrepr))

    def pytest_warning_recorded(self, warning_message):
        self.warnings.append(str(warning_message.message))


def _text(longrepr):
    return longrepr[2] if isinstance(longrepr, tuple) else str(longrepr or "")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    files = {"mine.py": MINE, "test_mine.py": TESTS, "expected.toml": EXPECTED, "pytest.ini": "[pytest]\n"}
    for name, text in files.items():
        (tmp_path / name).write_text(textwrap.dedent(text))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in ("mine", "test_mine"):
        sys.modules.pop(name, None)


def project(*arguments):
    """The exit status of pytest in that folder, in this process, and what it told."""
    seen = Seen()
    quiet = ["-p", "no:terminal", "-p", "no:cacheprovider", "-p", "no:benchmark", "-p", "no:xdist", "--capture=no"]
    with warnings.catch_warnings():
        # Warnings are errors in these tests, and none in a new project.
        warnings.simplefilter("default")
        return int(pytest.main([*quiet, *arguments], plugins=[seen])), seen


def test_each_class_law_and_case_is_a_test_of_its_own(folder):
    status, seen = project("test_mine.py")
    assert (status, seen.errors) == (1, [])
    assert seen.tests["test_laws[sgd-Plain-opt.version[float32/matrices]]"] == ("passed", "")
    kind, said = seen.tests["test_laws[Writing-opt.pure[float32/lr=0.1]]"]
    assert kind == "xfailed" and said.startswith("expected, it scales the gradient in place: step 1, gradient of ")
    # What passes against expectation fails, and is the only failure.
    broken = {name: said for name, (kind, said) in seen.tests.items() if kind == "failed"}
    assert list(broken) == ["test_laws[sgd-Plain-opt.pure[float32/lr=0.1]]"]
    (said,) = broken.values()
    assert said.startswith("xpass: it passes, and entry 2 (opt.pure, sgd, float32/lr=0.1) of ")
    assert "optbench check --algo sgd --impl mine:Plain -k 'opt.pure[float32/lr=0.1]'" in said
    # Laws of level "torch" do not count, and say so.
    skips = [said for name, (kind, said) in seen.tests.items() if "opt.errors" in name and kind == "skipped"]
    assert any("not judged (require_torch=True makes that count): fail: " in said for said in skips)
    (warning,) = seen.warnings
    assert "expected.toml: entry 3 (opt.pure, Other, *) is about no case of this run" in warning


def test_k_selects_by_name(folder):
    status, seen = project("test_mine.py", "-k", "Writing and opt.version and grad_unlike")
    assert status == 0 and list(seen.tests) == ["test_laws[Writing-opt.version[float32/grad_unlike/matrices]]"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("Writing]", "42]"), "optbench.check: 42 is no class: give the class itself, or its name."),
        (('"sgd"', '"sdg"'), "unknown algorithm 'sdg': did you mean 'sgd'? `optbench list algos` shows all."),
        (("opt.pure,", "opt.pur,"), "unknown law 'opt.pur': did you mean 'opt.pure'? `optbench list laws` shows all."),
        (('"expected.toml"', '"none.toml"'), "none.toml': there is no such file."),
    ],
    ids=["class", "algorithm", "law", "file"],
)
def test_wrong_use_is_a_line_and_no_traceback(folder, change, said):
    path = folder / "test_mine.py"
    path.write_text(path.read_text().replace(*change))
    status, seen = project("test_mine.py")
    assert status == 2
    (line,) = seen.errors
    assert line.startswith("parametrize_with_checks: ") and line.endswith(said) and "\n" not in line


SUITE = ["--pyargs", "optbench.suites.conformance"]


def test_the_suite_is_a_command_with_options_of_its_own(folder):
    # As pytest is started by hand, where optbench is installed.
    info = folder / "site" / "optbench_here-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: optbench_here\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[pytest11]\noptbench.pytest_plugin = optbench.pytest_plugin\n")
    path = os.pathsep.join(map(str, (ROOT, folder / "site")))
    chosen = ["--impl", "mine.py:Writing", "--algo", "sgd", "--expect", "expected.toml", "-k", "opt.pure and lr=0.1"]
    chosen[-1] = "opt.pure and not nesterov and float32"
    command = [*SUITE, *chosen, "--junitxml", "out.xml", "-p", "no:cacheprovider"]
    done = subprocess.run([sys.executable, "-m", "pytest", *command], env={**os.environ, "PYTHONPATH": path},
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    cases = {case.get("name"): case for case in ElementTree.parse(folder / "out.xml").iter("testcase")}
    (failure,) = cases["test_law[sgd-Writing-opt.pure[float32/grad_unlike/lr=0.1]]"]
    assert failure.tag == "failure" and "gradient of parameter 0" in failure.get("message")
    assert "optbench check --algo sgd --impl mine.py:Writing -k 'opt.pure[" in done.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--impl", "fused", "--oracle", "mine.py:Plain"], "--oracle judges classes of your own only: name one by "),
        (["--impl", "mine.py:Plain", "--expect", "none.toml"], "--expect 'none.toml': there is no such file."),
        (["--impl", "fusde"], "unknown implementation 'fusde': did you mean 'fused'?"),
    ],
    ids=["oracle", "file", "implementation"],
)
def test_wrong_options_of_the_suite_are_a_line(folder, options, said):
    status, seen = project("-p", "optbench.pytest_plugin", *SUITE, *options)
    assert status == 2
    (line,) = seen.errors
    assert line.startswith(said) and "\n" not in line


def test_other_runs_of_pytest_get_no_options(folder):
    status, _ = project("-p", "optbench.pytest_plugin", "test_mine.py", "--algo", "sgd")
    assert status == 4


def test_the_example_of_its_docstring_runs():
    (found,) = doctest.DocTestFinder().find(testing.parametrize_with_checks, "it", globs=vars(testing))
    assert doctest.DocTestRunner(verbose=False).run(found).failed == 0 and found.examples
