"""What the command line tells of the table of deviations."""

from pathlib import Path

import pytest

from optbench.cli.app import run
from optbench.cli.report import render_deviations
from optbench.deviations import TABLE, TORCH, command, selection

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.id)
def test_a_row_is_shown_in_full_with_its_script_as_it_is(row, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert run(["show", row.id.lower()]) == 0
    prose, script = capsys.readouterr().out.split("\n\nimport ", 1)
    assert "import " + script == row.script
    # What cannot be broken, as a list of names in a command, may be longer.
    assert all(len(line) <= 80 or len(line.split()) == 1 for line in prose.splitlines())
    said = " ".join(prose.split())
    for told in (row.id, row.effect, row.torch_does, row.ours, row.upstream or "upstream not found", command(row)):
        assert " ".join(told.split()) in said
    assert " ".join(row.proof.split()) in said


def test_the_table_has_a_line_for_each_row(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert run(["list", "deviations"]) == 0
    out = capsys.readouterr().out
    heads = [line for line in out.splitlines() if not line.startswith(" ")]
    assert [line.split()[0] for line in heads] == [row.id for row in TABLE]
    assert "D-004  wrong result    sgd in torch-fused" in out and "(pytorch#191763)" in out


def test_the_page_is_written_where_it_is_asked_for(tmp_path, capsys):
    path = tmp_path / "torch.md"
    assert run(["list", "deviations", "-o", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}\n"
    assert path.read_text(encoding="utf-8") == render_deviations()


def test_the_page_that_is_published_is_the_table():
    page = ROOT / "reports" / "published" / f"torch-{TORCH}.md"
    current = page.read_text(encoding="utf-8") == render_deviations()
    assert current, f"out of date: optbench list deviations -o {page.relative_to(ROOT)}"


def test_a_command_names_one_algorithm_and_one_implementation():
    first = TABLE[0]
    algorithm, implementation, law, keyword = selection(first)
    assert (algorithm, implementation, law, keyword) == ("adagrad", "torch-fused", "opt.layouts", "expanded_grad")
    assert command(first).endswith("--algo adagrad --impl torch-fused --law opt.layouts -k expanded_grad")
