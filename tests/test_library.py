"""`optbench.check`: what it is given, what it gives, and what it refuses."""

import doctest
import subprocess
import sys
import textwrap

import pytest
import torch

import optbench
from optbench import library
from optbench.errors import NothingToRun, UsageError


class Plain(torch.optim.Optimizer):
    """Gradient descent; its default rate is not torch's."""

    rate = 1.0

    def __init__(self, params, lr=0.5):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.sub_(p.grad, alpha=self.rate * group["lr"])


class Fast(Plain):
    rate = 1.01


class Writing(Plain):
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.sub_(p.grad.mul_(group["lr"]))


QUICK = {"laws": ["opt.oracle", "opt.pure"], "dtypes": "float32"}


def test_the_examples_of_its_docstrings_run():
    for function in (library.check, library.Report):
        (found,) = doctest.DocTestFinder(recurse=False).find(function, "check", globs=vars(library))
        assert doctest.DocTestRunner(verbose=False).run(found).failed == 0 and found.examples


def test_a_report_is_a_sequence_of_results_with_a_verdict():
    report = optbench.check("sgd", Plain, **QUICK)
    assert report.ok and not report.broken
    name = f"{__name__}:Plain"
    assert report.sentence.startswith(f"OK: {name} keeps all 2 laws in ")
    assert {result.law for result in report} == {"opt.oracle", "opt.pure"} and len(report) == len(list(report))
    assert isinstance(report[0], type(report[-1])) and report[:2] == tuple(report)[:2]
    assert {result.subject for result in report} == {"sgd"}
    assert repr(report) == f"<optbench.Report of {len(report)} results: {report.sentence}>"
    lines = str(report).splitlines()
    assert lines[0] == "sgd" and lines[-1] == report.sentence and any("opt.oracle  ✓" in line for line in lines)


def test_what_is_broken_is_told():
    report = optbench.check("sgd", Fast, **QUICK)
    assert not report.ok and {result.law for result in report.broken} == {"opt.oracle"}
    assert "scaled error" in report.broken[0].message
    assert report.broken[0].reproduce.startswith(f"optbench check --algo sgd --impl {__name__}:Fast -k 'opt.oracle[")
    assert f"✗ {__name__}:Fast breaks opt.oracle: [float32/" in str(report)


def test_without_an_algorithm_and_with_an_oracle():
    report = optbench.check(None, Fast, **QUICK)
    assert report.ok and {result.law for result in report} == {"opt.pure"} and report[0].subject == "Fast"
    assert not optbench.check(None, Writing, **QUICK).ok
    judged = optbench.check(None, Fast, oracle=Plain, **QUICK)
    assert {result.law for result in judged.broken} == {"opt.oracle"}
    assert f"--impl {__name__}:Fast --oracle {__name__}:Plain" in judged.broken[0].reproduce
    # The algorithm's own rule says the same, whatever an oracle said before.
    assert not optbench.check("sgd", Fast, **QUICK).ok and optbench.check("sgd", Plain, **QUICK).ok


def test_of_two_classes_of_one_name_each_is_judged_by_itself():
    def made(rate):
        return type("Twin", (Plain,), {"rate": rate, "__module__": __name__})

    for cls, ok in ((made(1.0), True), (made(1.01), False), (made(1.0), True)):
        assert optbench.check(None, cls, oracle=Plain, **QUICK).ok == ok
    assert optbench.check(None, made(3.0), oracle=made(3.0), **QUICK).ok


def test_levels_count_as_on_the_command_line():
    loose = optbench.check("sgd", Plain, laws="opt.errors", dtypes="float32")
    assert loose.ok and any(result.broken for result in loose) and not loose.broken
    assert not optbench.check("sgd", Plain, laws="opt.errors", dtypes="float32", require_torch=True).ok
    assert optbench.check("sgd", "reference", laws="opt.errors", dtypes="float32").ok


def test_expected_failures(tmp_path):
    path = tmp_path / "expected.toml"
    entry = '[[expected]]\nlaw = "opt.errors"\nsubject = "sgd"\ncase = "*illegal*"\nreason = "x"\n'
    path.write_text(entry)
    strict = {"laws": "opt.errors", "dtypes": "float32", "require_torch": True}
    report = optbench.check("sgd", Plain, expected=path, keyword="illegal and lr", **strict)
    assert report.ok and {result.verdict for result in report} == {"xfail"}
    passing = optbench.check("sgd", torch.optim.SGD, expected=path, keyword="illegal and lr", **strict)
    assert not passing.ok and {result.verdict for result in passing} == {"xpass"}
    path.write_text(entry.replace("illegal", "nowhere"))
    with pytest.warns(UserWarning, match=r"expected\.toml: entry 1 \(opt\.errors, sgd, \*nowhere\*\) is about no case"):
        optbench.check("sgd", Plain, expected=path, **strict)


def test_an_isolated_class_is_found_again_in_another_process(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import os
            import optbench, optbench.failures.localise, torch

            # Each try to make a crash smaller takes another process.
            optbench.failures.localise._SLOW_BUDGET = 0

            class Dying(torch.optim.SGD):
                def step(self, closure=None):
                    os._exit(3)

            if __name__ == "__main__":
                report = optbench.check("sgd", Dying, isolate=True, laws="opt.shapes", keyword="float32/scalars")
                print(report[0].verdict, report[0].message)
            """
        )
    )
    root = str(library.Path(optbench.__file__).parents[1])
    done = subprocess.run([sys.executable, script], cwd=tmp_path, env={**_environment(), "PYTHONPATH": root},
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert done.stdout == "crash it left with exit status 3\n"


def _environment():
    import os

    return os.environ


def test_what_is_no_class_of_a_module_cannot_be_isolated():
    class Local(Plain):
        pass

    with pytest.raises(UsageError, match=r"^isolate=True: .*Local is not at the top level of a module or script"):
        optbench.check(None, Local, isolate=True)
    assert optbench.check(None, Local, laws="opt.version", dtypes="float32").ok


WRONG = [
    ((Plain,), {}, "what is to be checked? Write optbench.check(None, MyOptimizer), or optbench.check('adamw', "),
    ((None, 3), {}, "optbench.check: 3 is no class: give the class itself, or its name."),
    (("sdg", Plain), {}, "unknown algorithm 'sdg': did you mean 'sgd'?"),
    (("steplr", Plain), {}, "--algo 'steplr' is of another kind"),
    ((None, "fused"), {}, "fused has many algorithms: name one by --algo"),
    ((None, torch.optim.lr_scheduler.StepLR), {}, "is a scheduler: name what it computes by --algo"),
    ((None, dict), {}, "dict is no optimizer: it lacks `step` and `param_groups`."),
    (("sgd", Plain), {"laws": "opt.pur"}, "unknown law 'opt.pur': did you mean 'opt.pure'?"),
    (("sgd", Plain), {"suite": "slow"}, "unknown suite 'slow': write 'quick' or 'full'."),
    (("sgd", Plain), {"keyword": "("}, "-k '(' cannot be read"),
    (("sgd", Plain), {"dtypes": "float33"}, "--dtype float33: sgd takes float32, "),
    (("sgd", Plain), {"device": "gpu"}, "--device 'gpu': Expected one of cpu"),
    (("sgd", Plain), {"oracle": "reference"}, "--oracle 'reference' is ours, and judges already"),
    (("sgd", Plain), {"expected": "none.toml"}, "--expect 'none.toml': there is no such file."),
    (("adam,sgd", Plain), {"oracle": Plain}, "computes one optimizer: --algo 'adam,sgd' is more, or another."),
]


@pytest.mark.parametrize(("arguments", "options", "said"), WRONG, ids=[case[2][:30] for case in WRONG])
def test_wrong_use_is_one_line(arguments, options, said):
    with pytest.raises(UsageError) as caught:
        optbench.check(*arguments, **options)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_nothing_to_run_is_told():
    with pytest.raises(NothingToRun, match="not there"):
        optbench.check("sgd", Plain, device="xpu")


def test_importing_the_package_imports_nothing_heavy():
    code = (
        "import optbench, sys; optbench.check, optbench.adapt, optbench.Adapter\n"
        "assert not {'torch', 'typer', 'numpy', 'optbench.laws'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
