"""Classes that break a law in a module of their own, and scripts about them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from optbench import laws, subjects
from optbench.checking import Task, check
from optbench.failures.localise import localise
from optbench.foreign.loading import describe
from optbench.law import Scope
from optbench.runs.results import Result


def plant(code: str, folder: Path, monkeypatch: pytest.MonkeyPatch, module: str = "planted") -> Path:
    """A folder to work in, with the code as a module."""
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    sys.modules.pop(module, None)
    (folder / f"{module}.py").write_text(code)
    return folder


def shown(target: str, law: str, subject: str, variant: str = "") -> Result:
    """The first failure of a law's cases of this variant, localised."""
    about = describe(target) if ":" in target else {"options": None, "named": ()}
    options = None if about["options"] is None else frozenset(about["options"])
    for case in laws.entries()[law].cases(subjects.load(subject), Scope("quick")):
        task = Task(law, case, target, True, "", options=options, named=frozenset(about["named"]))
        if case.variant.startswith(variant) and check(task).broken:
            return localise(task, check(task))
    raise AssertionError(f"{target} keeps {law}")


def passes(text: str) -> bool:
    exec(compile(text, "script", "exec"), {})
    return True
