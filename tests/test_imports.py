"""Who may import whom, read off the source: the tiers are independent of one another and of the harness."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {
    "optbench": "optbench",
    "reference": "optbench.reference",
    "impls": "optbench.impls",
    "suites": "optbench.suites",
    "reports": "optbench.reports",
}
# Absolute names that each folder may import besides the standard library and itself.
ALLOWED = {
    "reference": {"torch"},
    "impls": {"torch", "numpy", "numba", "llvmlite", "triton"},
    "reports": {"pandas", "matplotlib", "jinja2", "markupsafe", "numpy"},
    "suites": {"optbench", "pytest", "pytest_benchmark", "asv", "asv_runner", "torch", "numpy"},
    "optbench": {"torch", "numpy", "numba", "typer", "optbench", "hypothesis"},
}
# optbench.optim is the face for people who train: it picks a tier, and so it names them.
FACE = {f"optbench/optim/{name}.py" for name in ("face", "lr_scheduler", "optimizers", "swa_utils")}
# What other people's tests import, and pytest itself.
FOR_PYTEST = {"optbench/testing.py", "optbench/pytest_plugin.py"}
TIERS = ("optbench.impls.foreach", "optbench.impls.fused", "optbench.reference")


def sources(folder):
    return sorted(path for path in (ROOT / folder).rglob("*.py") if "__pycache__" not in path.parts)


def module_name(path):
    """(package, module): what relative imports start from, and the module itself."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    full = [FOLDERS[parts[0]], *parts[1:]]
    if full[-1] == "__init__":
        return ".".join(full[:-1]), ".".join(full[:-1])
    return ".".join(full[:-1]), ".".join(full)


def imported(path):
    """Absolute names of everything that a file imports, anywhere in it, with their lines."""
    package, _ = module_name(path)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield f"{stem}.{alias.name}", node.lineno


def within(name, package):
    return name == package or name.startswith(package + ".")


@pytest.mark.parametrize("folder", FOLDERS)
def test_folder_imports_only_what_it_may(folder):
    wrong = []
    for path in sources(folder):
        for name, line in imported(path):
            top = name.split(".")[0]
            own = within(name, FOLDERS[folder]) and folder != "optbench"
            own |= top == "pytest" and str(path.relative_to(ROOT)) in FOR_PYTEST
            if not (own or top in sys.stdlib_module_names or top in ALLOWED[folder]):
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {name}")
    assert sources(folder) or folder == "suites"
    assert wrong == []


def test_harness_reaches_implementations_by_registry_only():
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in sources("optbench")
        if str(path.relative_to(ROOT).as_posix()) not in FACE
        for name, line in imported(path)
        if within(name, "optbench.impls") or within(name, "optbench.reference") or within(name, "optbench.suites")
    ]
    assert wrong == []


def test_reports_are_asked_for_in_one_place():
    users = {
        path.relative_to(ROOT).as_posix()
        for path in sources("optbench")
        for name, _ in imported(path)
        if within(name, "optbench.reports")
    }
    assert users == {"optbench/cli/report.py"}


@pytest.mark.parametrize("tier", TIERS)
def test_tiers_share_nothing_but_the_common_base(tier):
    folder = ROOT / {v: k for k, v in FOLDERS.items()}.get(tier, tier.removeprefix("optbench.").replace(".", "/"))
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in sorted(folder.rglob("*.py"))
        for name, line in imported(path)
        for other in TIERS
        if other != tier and within(name, other)
    ]
    assert any(folder.rglob("*.py"))
    assert wrong == []


def test_a_fault_would_be_seen(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    planted = tmp_path / "reference" / "adam.py"
    planted.parent.mkdir()
    planted.write_text("import numpy\n\ndef f():\n    from ..impls.fused import adam\n    from . import base\n")
    assert list(imported(planted)) == [
        ("numpy", 1),
        ("optbench.impls.fused.adam", 4),
        ("optbench.reference.base", 5),
    ]
    with pytest.raises(AssertionError, match="imports numpy"):
        test_folder_imports_only_what_it_may("reference")
