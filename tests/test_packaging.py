"""What a wheel would hold, and that the pins, the metadata and the makefile agree."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import optbench

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SETUPTOOLS = PROJECT["tool"]["setuptools"]
FOLDERS = {folder: package for package, folder in SETUPTOOLS["package-dir"].items()}
PINS = {
    canonicalize_name(requirement.name): requirement
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
    for requirement in [Requirement(line)]
}


def packages():
    """Every folder that is a package, under its name."""
    for folder, package in FOLDERS.items():
        for path in sorted(file.parent for file in (ROOT / folder).rglob("__init__.py")):
            if "__pycache__" not in path.parts:
                yield ".".join([package, *path.relative_to(ROOT / folder).parts])


def test_every_package_is_listed_once():
    found, listed = set(packages()), SETUPTOOLS["packages"]
    assert len(listed) == len(set(listed))
    assert found - set(listed) == set(), "folders that a wheel would lack"


def test_every_listed_package_is_there():
    missing = []
    for package in SETUPTOOLS["packages"]:
        root = max(
            (known for known in FOLDERS.values() if package == known or package.startswith(known + ".")), key=len
        )
        folder = next(name for name, known in FOLDERS.items() if known == root)
        path = ROOT.joinpath(folder, *package.removeprefix(root).strip(".").split("."))
        if not (path / "__init__.py").is_file():
            missing.append(package)
    assert missing == []


def test_files_that_are_no_python_are_packed():
    patterns = SETUPTOOLS["package-data"]
    for path in sorted((ROOT / "reports" / "templates").iterdir()):
        assert any(path.match(pattern) for pattern in patterns["optbench.reports"]), path
    assert (ROOT / "optbench" / "py.typed").is_file() and "py.typed" in patterns["optbench"]


def test_version_stands_in_one_place():
    assert PROJECT["project"]["version"] == optbench.__version__


def test_every_requirement_is_pinned_exactly_and_within_its_range():
    extras = PROJECT["project"]["optional-dependencies"]
    requirements = [*PROJECT["project"]["dependencies"], *(item for extra in extras.values() for item in extra)]
    for text in (*requirements, *PROJECT["build-system"]["requires"]):
        requirement = Requirement(text)
        if requirement.name == "optbench":
            continue
        pin = PINS[canonicalize_name(requirement.name)]
        (version,) = [specifier.version for specifier in pin.specifier]
        assert requirement.specifier.contains(version), f"{text} is pinned to {version}"


def test_pins_are_exact_and_name_no_place():
    for pin in PINS.values():
        assert [specifier.operator for specifier in pin.specifier] == ["=="] and pin.url is None
    assert str(PINS["torch"].specifier) == "==2.13.0"
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert "://" not in text and "--" not in text


def test_triton_comes_with_the_extra_and_on_linux_only():
    extras = PROJECT["project"]["optional-dependencies"]
    (triton,) = extras["triton"]
    assert 'sys_platform == "linux"' in str(Requirement(triton).marker)
    assert not any(Requirement(item).name == "triton" for item in PROJECT["project"]["dependencies"])
    assert any("triton" in Requirement(item).extras for item in extras["dev"])


@pytest.mark.parametrize(
    "target", ["compare", "test", "test-slow", "lint", "types", "wheel", "gpu-evidence", "triton36", "clean", "help"]
)
def test_make_has_its_targets(target):
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{target}:.*##", text, flags=re.MULTILINE), "a target and its line in `make help`"


def test_first_screen_names_the_two_commands():
    first_screen = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:40]
    assert any("make compare" in line for line in first_screen) and any("make test" in line for line in first_screen)


def test_ci_calls_what_people_call():
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert ".ci/run" in workflow
    for target in ("lint", "types", "wheel", "test"):
        assert re.search(rf"make --no-print-directory {target}$", script, flags=re.MULTILINE)
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
