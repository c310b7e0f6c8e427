"""`optbench diff` as a user meets it."""

import json

import pytest

from optbench.cli.app import run
from optbench.cli.diff import part
from optbench.cli.differences import MOST_BYTES, markdown
from optbench.errors import UsageError
from optbench.runs.diff import compare
from tests.diff_records import baseline, record, save, timing

QUIET = {"spread": 0.01, "noise_floor": 0.01}


@pytest.fixture
def records(monkeypatch, tmp_path):
    """a.json and b.json: of three tiers one is slower, one makes an op more, one breaks a law."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    names = ("reference", "foreach", "fused")
    save(tmp_path / "a.json", [*(timing(name, 1.0, **QUIET) for name in names), baseline()], [{}, {"case": "gone"}])
    changed = [
        timing("reference", 1.2, **QUIET),
        timing("foreach", 1.0, **QUIET, dispatched_ops=3),
        timing("fused", 0.8, **QUIET),
        baseline(),
    ]
    save(tmp_path / "b.json", changed, [{"verdict": "fail", "message": "exp_avg | <b>off</b>\nby 7"}])


def test_the_table_tells_regressions_first_and_fits_80_columns(records, capsys):
    assert run(["diff", "a.json", "b.json"]) == 1
    out, err = capsys.readouterr()
    assert err == ""
    lines = out.splitlines()
    assert lines[0] == "Regressions"
    assert [line for line in lines if line.startswith("✗")] == [
        "✗ adam fused: opt.layouts[strided] pass → fail (exp_avg | <b>off</b> by 7)",
        "✗ adam foreach, 1x16M, float32 on cpu: dispatched ops 2 → 3",
        "✗ adam fused, 1x16M, float32 on cpu: 1x → 0.8x the speed of torch-fused, ×0.80",
    ]
    order = [line.split()[1] for line in lines if line.startswith("adam ")]
    assert order == ["fused", "reference", "foreach"]
    assert "Only in A: adam fused: opt.layouts[gone]." in lines
    assert lines[-1].startswith("BROKEN: 3 regressions; first: adam fused: opt.layouts[strided] pass → fail")
    assert max(map(len, lines[:-1])) <= 80


def test_the_same_record_is_no_difference(records, capsys):
    assert run(["diff", "a.json", "a.json"]) == 0
    out, _ = capsys.readouterr()
    assert "Regressions" not in out and "Other changes" not in out and "Only in" not in out
    assert out.splitlines()[-1].startswith("OK: no regression beyond 10%: 3 ratios, 16 figures, 2 verdicts compared")


def test_the_threshold_lets_time_pass_but_no_figure_and_no_law(records, capsys):
    assert run(["diff", "a.json", "b.json", "--threshold", "30%"]) == 1
    assert "BROKEN: 2 regressions" in capsys.readouterr().out
    assert run(["diff", "a.json", "a.json", "--threshold", "0"]) == 0


@pytest.mark.parametrize(("text", "value"), [("10%", 0.1), ("0.1", 0.1), (" 2.5 %", 0.025), ("150%", 1.5)])
def test_a_threshold_is_written_in_two_ways(text, value):
    assert part(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["10", "ten", "-1%", "nan", "inf%", "%", ""])
def test_a_threshold_that_could_mean_either_is_refused(text):
    with pytest.raises(UsageError, match=r"is no part: write 10% or 0\.1\."):
        part(text)


def test_json_goes_to_a_file_and_the_sentence_to_standard_error(records, capsys, tmp_path):
    assert run(["diff", "a.json", "b.json", "-f", "json", "-o", "d.json"]) == 1
    out, err = capsys.readouterr()
    told = json.loads((tmp_path / "d.json").read_text())
    assert out == "" and err == told["summary"]["sentence"] + "\n"
    assert [row["regression"] for row in told["rows"]][:4] == [True, True, True, False]


def test_two_machines_are_refused_in_one_line_and_forced_with_a_mark(records, capsys, tmp_path):
    save(tmp_path / "c.json", [timing("fused", 1.0, **QUIET), baseline()], machine="0123456789ab")
    assert run(["diff", "a.json", "c.json"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert "a.json on b888f84c3cff (AMD EPYC) and c.json on 0123456789ab (AMD EPYC)" in err
    assert run(["diff", "a.json", "c.json", "--force"]) == 0
    assert capsys.readouterr().out.startswith("⚠ not the same machine: ")


def test_records_with_nothing_in_common_are_no_success(records, capsys, tmp_path):
    save(tmp_path / "c.json", [timing(workload="1000x64")])
    assert run(["diff", "a.json", "c.json"]) == 3
    assert capsys.readouterr().err == "optbench: a.json and c.json tell of nothing in common.\n"


def test_github_gets_regressions_first_and_the_rest_folded(records, capsys):
    assert run(["diff", "a.json", "b.json", "-f", "github"]) == 1
    out, err = capsys.readouterr()
    assert err.startswith("BROKEN: 3 regressions")
    head, folded, *_ = out.split("<details>")
    rows = [line for line in head.splitlines() if line.startswith("| adam")]
    assert [row.split(" | ")[1] for row in rows] == ["fused", "foreach", "fused"]
    # What a message holds is text, and stays in its cell.
    assert rows[0].endswith("| worse: exp\\_avg \\| &lt;b&gt;off&lt;/b&gt; by 7 |")
    summary = "2 other ratios and changes; 15 figures and verdicts are the same"
    assert f"<summary>{summary}</summary>\n\n| algorithm" in folded
    assert "reference" in folded and folded.rstrip().endswith("</details>")
    assert out.count("<details>") == out.count("</details>") == 2


def test_github_never_gets_more_than_it_takes():
    many = [{"case": f"{n}", "message": "é" * 290} for n in range(4000)]
    before = record(results=many)
    after = record(results=[{**row, "verdict": "fail"} for row in many[:3000]])
    text = markdown(compare(before, after))
    assert 0.98 * MOST_BYTES < len(text.encode()) < MOST_BYTES
    shown = text.count("| adam |")
    assert f"… and {3000 - shown:,} more, which do not fit: `--format json` has all." in text
    assert text.count("<details>") == text.count("</details>")
    assert "1000 only in the first record" in text
