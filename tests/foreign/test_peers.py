"""Packages by name on the command line: what is asked of them, and what is said where they are not there."""

import importlib.util
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
import torch
from optbench.impls.peers.peer import Peer

from optbench import laws, registry, subjects
from optbench.cli.app import run
from optbench.errors import NothingToRun, UsageError
from optbench.foreign import peers
from optbench.planning import Plan, cases, tasks
from optbench.registry import IMPLEMENTATIONS

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("pytorch_optimizer", "optimi", "timm", "heavyball")
TIMM = IMPLEMENTATIONS["timm"]


@pytest.fixture
def absent(monkeypatch):
    """A machine where none of the packages is installed."""
    _pretend(monkeypatch, None)


@pytest.fixture
def present(monkeypatch):
    """A machine where all of the packages are installed, though their classes are none of theirs."""
    _pretend(monkeypatch, ModuleSpec("a package", None))
    for name in PACKAGES:
        monkeypatch.delattr(peers._module(IMPLEMENTATIONS[name].target), "prepare", raising=False)
    monkeypatch.setattr(Peer, "load", lambda peer: torch.optim.SGD)


def _pretend(monkeypatch, spec):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: spec if name in PACKAGES else found(name, *rest)
    )


def asked(package, algo, **plan):
    """What a run asks of a package."""
    item = IMPLEMENTATIONS[package]
    return tasks(Plan(algo, (package,), **plan), [item], {package: peers.describe(item.target)})


@pytest.mark.parametrize("package", PACKAGES)
def test_a_missing_package_is_told_with_the_way_out(absent, package):
    target = IMPLEMENTATIONS[package].target
    for call in (lambda: peers.describe(target), lambda: IMPLEMENTATIONS[package].load("AdamW")):
        with pytest.raises(NothingToRun) as caught:
            call()
        assert str(caught.value) == f"{package} is not installed: pip install 'optbench[peers]'"


@pytest.mark.skipif(bool(importlib.util.find_spec("timm")), reason="timm is installed")
def test_a_run_without_the_package_ends_with_one_line(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(["check", "--algo", "adamw", "--impl", "timm"]) == 3
    out, err = capsys.readouterr()
    assert out == "" and err == "optbench: timm is not installed: pip install 'optbench[peers]'\n"


def test_what_nothing_stands_for_is_told(present):
    said = "timm has nothing that stands for ASGD, but for AdamW, Lion, Muon, NAdam, RAdam, SGD."
    for call in (lambda: peers.describe(TIMM.target, "ASGD"), lambda: TIMM.load("ASGD")):
        with pytest.raises(NothingToRun) as caught:
            call()
        assert str(caught.value) == said
    with pytest.raises(UsageError, match="--algo 'asgd' is of another kind: timm has AdamW, Lion"):
        asked("timm", "asgd")


def test_only_what_a_package_has_is_asked_of_it(present):
    found = asked("timm", "optimizers", laws=("opt.shapes",))
    assert {task.case.subject for task in found} == {"adamw", "lion", "muon", "nadam", "radam", "sgd"}
    assert all(task.judged and task.implementation == "timm" for task in found)
    adamw = next(task for task in found if task.case.subject == "adamw")
    assert adamw.options == adamw.named == {"lr", "betas", "eps", "weight_decay", "amsgrad", "maximize"}
    assert "load_state_dict" in adamw.inherits and adamw.adopted is None


def test_a_package_beside_another_is_asked_the_same_cases(present):
    items = [IMPLEMENTATIONS[name] for name in ("optimi", "timm", "reference")]
    about = {item.name: peers.describe(item.target) for item in items if item.target}
    found = tasks(Plan("lion", tuple(item.name for item in items)), items, about)
    cases = {item.name: set() for item in items}
    for task in found:
        cases[task.implementation].add((task.law, task.case.id))
    assert cases["optimi"] == cases["timm"] == cases["reference"] and cases["timm"]
    assert not any("maximize" in task.case.options for task in found), "optimi has no such option"


def test_what_is_documented_to_be_another_algorithm_is_not_asked(present):
    sgd = asked("timm", "sgd", laws=("opt.sparse_in_time", "opt.oracle"))
    assert sgd and all(not task.case.options.get("weight_decay") for task in sgd)
    adamw = asked("heavyball", "adamw", laws=("opt.eps_regime", "opt.oracle", "opt.shapes"))
    assert {task.law for task in adamw} == {"opt.oracle", "opt.shapes"}, "there is no eps to ask about"
    assert all(task.case.options["eps"] == 1e-30 and task.case.dtype == "float32" for task in adamw)
    assert all("eps" not in task.adopted.defaults and task.adopted.dtypes == ("float32",) for task in adamw)


def test_names_are_listed_without_torch_and_without_the_packages():
    code = (
        "import sys; from optbench.cli.app import run; run(['list']); "
        "heavy = {'torch', 'timm', 'optimi', 'heavyball', 'pytorch_optimizer'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name in PACKAGES:
        assert f"  {name} " in done.stdout


def test_a_run_that_names_nobody_leaves_packages_alone():
    assert not any(item.target for item in registry.select([]))
    assert all(item.worker and not item.default and not item.ours for item in IMPLEMENTATIONS.values() if item.target)


def test_a_subject_is_narrowed_to_what_both_mean():
    adamw = subjects.load("adamw").narrowed({"eps": (0.0,), "weight_decay": (0,), "lr": (1e-3, 0.1)}, ("float32",))
    values = {option.name: option.values for option in adamw.options}
    assert {"eps", "weight_decay"}.isdisjoint(values) and values["lr"] == (1e-3, 0.1) and len(values["betas"]) > 1
    assert adamw.base == {"eps": 0.0, "weight_decay": 0} and adamw.dtypes == ("float32",)
    assert adamw.fullest == {"amsgrad": True}
    plain = subjects.load("sgd")
    assert plain.narrowed({}) == plain


def test_gradients_are_not_scaled_to_an_eps_that_is_none():
    radam = subjects.load("radam")
    law = laws.entries()["opt.eps_regime"]
    assert cases(law, radam, Plan("radam"))
    assert not cases(law, radam.narrowed({"eps": (1e-30,)}), Plan("radam"))
