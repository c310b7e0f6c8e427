"""What CONTRIBUTING.md quotes stands in the files that it names."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
# "From `file.py`:", an empty line, indented lines.
QUOTES = re.findall(r"From\s`([\w/]+\.py)`:\n\n((?:    .*\n|\n)+)", TEXT)


def lines(text):
    return "\n".join(line.strip() for line in text.strip().splitlines())


def test_every_file_of_the_example_is_quoted():
    files = [file for file, _ in QUOTES]
    assert files == [
        "optbench/subjects/lion.py",
        "reference/lion.py",
        "tests/recurrences/lion.py",
        "impls/foreach/lion.py",
        "impls/fused/lion.py",
    ]


@pytest.mark.parametrize(("file", "quote"), QUOTES, ids=[file for file, _ in QUOTES])
def test_a_quote_stands_in_its_file(file, quote):
    assert lines(quote) in lines((ROOT / file).read_text(encoding="utf-8"))


def test_files_and_folders_that_are_named_exist():
    named = re.findall(r"`([\w.]+(?:/[\w.]+)*/?)`", TEXT)
    paths = [name for name in named if "/" in name or name.endswith((".py", ".txt", ".toml"))]
    assert len(paths) > 10
    assert [path for path in paths if not (ROOT / path).exists() and path not in ("file.py", "__init__.py")] == []
