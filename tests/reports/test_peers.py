"""The page about other packages: it says what the tables say, of the versions that are pinned, and its scripts hold."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from optbench.registry import IMPLEMENTATIONS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "reports" / "published" / "peers.md").read_text(encoding="utf-8")
# What pip calls a package, where Python calls it otherwise.
PROJECTS = {"torch-optimi": "optimi"}
_SECTION = re.compile(r"^## (?P<name>\S+) (?P<version>\S+)\n(?P<text>.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
SECTIONS = {PROJECTS.get(found["name"], found["name"]): found for found in _SECTION.finditer(PAGE)}
SCRIPTS = [
    pytest.param(package, found[2], id=f"{package}: {found[1]}")
    for package, section in SECTIONS.items()
    for found in re.finditer(r"^### ([^\n]+)\n(?:(?!^###).)*?^```python\n(.*?)^```", section["text"], re.M | re.S)
]


def test_each_package_has_a_section_about_the_version_that_is_pinned():
    assert set(SECTIONS) == {name for name, item in IMPLEMENTATIONS.items() if item.target}
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    for section in SECTIONS.values():
        assert f"{section['name']}=={section['version']}" in pins
        assert f"{section['name']} {section['version']}" in PAGE[: PAGE.index("\n## ")]


@pytest.mark.parametrize("package", SECTIONS)
def test_conventions_are_listed_as_the_table_has_them(package):
    table, text = importlib.import_module(f"optbench.impls.peers.{package}"), SECTIONS[package]["text"]
    for name, peer in table.PEERS.items():
        (row,) = re.findall(rf"^\| `{peer.target.partition(':')[2]}` for {name} \| (.*)$", text, re.MULTILINE)
        assert all(line in row for line in peer.differs)
        assert re.search(rf"^\| law \|.* {name} \|", text, re.MULTILINE), f"{name} has no column"
    for name, why in table.OTHERS.items():
        assert f"- {name}: {why}." in text


@pytest.mark.parametrize("package", SECTIONS)
def test_each_finding_says_what_proves_it_and_has_a_short_script(package):
    findings = re.split(r"^### ", SECTIONS[package]["text"], flags=re.MULTILINE)[1:-1]
    assert findings
    for finding in findings:
        said = " ".join(finding.split())
        assert "Effect" in said and ("What proves it:" in said or "proof: as told" in said) and "Upstream: " in said
        assert finding.count("```python\n") == 1


@pytest.mark.parametrize(("package", "script"), SCRIPTS)
def test_scripts_use_torch_and_their_package_only(package, script):
    imported = set(re.findall(r"^(?:import|from) (\w+)", script, re.MULTILINE))
    assert imported - set(sys.stdlib_module_names) == {"torch", package}
    # Without blank lines, imports and what makes an exception an assertion.
    aside = re.compile(r"$|(import|from) |\s*(try|except|else)")
    lines = [line for line in script.splitlines() if not aside.match(line)]
    assert len(lines) <= 11 and "assert " in script


@pytest.mark.slow
@pytest.mark.parametrize(("package", "script"), SCRIPTS)
def test_scripts_hold_where_the_package_is_installed(package, script, tmp_path):
    modules = re.findall(r"^(?:import|from) ([\w.]+)", script, re.MULTILINE)
    module = next(module for module in modules if module.startswith(package))
    ready = subprocess.run([sys.executable, "-c", f"import {module}"], cwd=tmp_path, capture_output=True, text=True)
    if ready.returncode:
        pytest.skip(f"{module} cannot be imported here: {ready.stderr.strip().splitlines()[-1]}")
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
