"""Run records: nothing is lost when a run is killed, and every bad file is told apart in one line."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from optbench.errors import OptbenchError, UsageError
from optbench.runs import records
from optbench.runs.results import Measurement, Result

ROOT = Path(records.__file__).parents[2]
ENVIRONMENT = {"machine": "abc", "torch": "2.13.0", "commit": "1" * 40, "seed": 0}
PLAN = {"subjects": ["adam"], "suite": "quick", "seed": 0}
SUMMARY = {"sentence": "OK: our 3 keep all 14 laws.", "exit_status": 0}


def result(case: str = "float32", **changes: Any) -> Result:
    row = Result("opt.layouts", "math", "adam", "fused", "numba", True, case, "pass", comparisons=10, error_ulp=1.5)
    return replace(row, **changes)


def measurement(**changes: Any) -> Measurement:
    return replace(Measurement("adam", "fused", "numba", "1 x 16M", "cpu", "float32", median_s=0.012), **changes)


def recorder(folder: Path, **changes: Any) -> records.Recorder:
    arguments: dict[str, Any] = {"environment": ENVIRONMENT, "plan": PLAN, "home": folder / ".optbench", **changes}
    return records.Recorder("compare-adam", "optbench compare --algo adam", **arguments)


def written(folder: Path) -> list[str]:
    return sorted(path.suffix for path in (folder / ".optbench" / "runs").iterdir())


def test_a_finished_run_reads_back_as_it_was(tmp_path: Path) -> None:
    coverage = {"adam": {"factors": {"dtype": ["float32"]}, "covered": 1, "total": 1, "pairs": []}}
    with recorder(tmp_path) as run:
        run.add(result())
        run.add(measurement(options={"betas": (0.9, 0.999)}))
        run.cover(coverage)
        path = run.finish(SUMMARY, deviations={"D-001": {"torch_does": "does not move"}})
    record = records.read(path)
    assert record["schema"] == "optbench.run/1"
    assert record["results"] == [result().to_json()]
    assert record["measurements"] == [measurement(options={"betas": [0.9, 0.999]}).to_json()]
    assert (record["environment"], record["plan"], record["coverage"]) == (ENVIRONMENT, PLAN, coverage)
    assert (record["summary"], record["deviations"]) == (SUMMARY, {"D-001": {"torch_does": "does not move"}})
    assert record["finished"] >= record["started"]
    assert written(tmp_path) == [".json"], "the journal goes when the record is there"


KILLED = """
import os, sys
from pathlib import Path
from optbench.runs.records import Recorder
from optbench.runs.results import Result
run = Recorder("check", "optbench check", {}, {}, home=Path(sys.argv[1]))
for number in range(5):
    run.add(Result("opt.layouts", "math", "adam", "fused", "numba", True, f"case{number}", "pass", 1))
os.kill(os.getpid(), 9)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_killed_run_keeps_every_result_that_was_added(tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], cwd=ROOT)
    assert killed.returncode == -9
    [journal] = (tmp_path / "runs").iterdir()
    record = records.read(journal)
    assert [row["case"] for row in record["results"]] == [f"case{number}" for number in range(5)]
    assert record["finished"] is None
    assert record["summary"]["sentence"] == "Unfinished: the run ended after 5 results and 0 measurements."


def test_a_journal_cut_anywhere_loses_only_the_row_in_flight(tmp_path: Path) -> None:
    with recorder(tmp_path) as run:
        for number in range(3):
            run.add(result(f"case{number}", message="✗ wrong: é"))
    content = run.journal.read_bytes()
    header_ends = content.index(b"\n") + 1
    for length in range(header_ends, len(content) + 1):
        run.journal.write_bytes(content[:length])
        kept = records.read(run.journal)["results"]
        assert len(kept) == content[header_ends:length].count(b"\n")
        assert [row["case"] for row in kept] == [f"case{number}" for number in range(len(kept))]


def test_a_run_that_raises_leaves_its_journal(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), recorder(tmp_path) as run:
        run.add(result())
        raise KeyboardInterrupt
    assert written(tmp_path) == [".jsonl"]
    assert len(records.read(run.journal)["results"]) == 1


def test_resume_goes_on_where_the_run_ended(tmp_path: Path) -> None:
    with recorder(tmp_path) as first:
        first.add(result("a", error_ulp=math.inf))
        first.add(measurement())
    resumed = records.resume(first.journal)
    assert records.key(result("a")) in resumed.done
    assert records.key(measurement()) in resumed.done
    assert records.key(measurement(gradients="autograd")) not in resumed.done
    assert records.key(result("b")) not in resumed.done
    with recorder(tmp_path, resumed=resumed) as second:
        second.add(result("b"))
        # Killed again here, the new journal would hold both sittings.
        assert [row["case"] for row in records.read(second.journal)["results"]] == ["a", "b"]
        path = second.finish(SUMMARY)
    record = records.read(path)
    assert [row["case"] for row in record["results"]] == ["a", "b"]
    assert record["results"][0]["error_ulp"] == math.inf
    assert len(record["measurements"]) == 1
    assert record["summary"] == SUMMARY
    assert written(tmp_path) == [".json"], "no journal is left of either sitting"


def test_a_finished_record_can_be_resumed_and_stays(tmp_path: Path) -> None:
    with recorder(tmp_path) as first:
        first.add(result("a"))
        path = first.finish({"sentence": "Interrupted.", "exit_status": 130})
    before = path.read_text()
    with recorder(tmp_path, resumed=records.resume(path)) as second:
        second.add(result("b"))
        later = second.finish(SUMMARY)
    assert path.read_text() == before
    assert [row["case"] for row in records.read(later)["results"]] == ["a", "b"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"plan": {**PLAN, "suite": "full"}}, "its plan has suite = 'quick', this run 'full'"),
        ({"environment": {**ENVIRONMENT, "torch": "2.14"}}, "its environment has torch = '2.13.0', this run '2.14'"),
    ],
)
def test_resume_refuses_rows_of_another_run(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    with recorder(tmp_path) as first:
        first.add(result())
    with pytest.raises(UsageError, match=message):
        recorder(tmp_path, resumed=records.resume(first.journal), **changed)
    assert len(records.read(first.journal)["results"]) == 1, "what was refused is not lost"


def test_no_run_overwrites_another(tmp_path: Path) -> None:
    paths = []
    for _ in range(3):
        with recorder(tmp_path) as run:
            paths.append(run.finish(SUMMARY))
    assert len(set(paths)) == 3
    with recorder(tmp_path) as open_run, recorder(tmp_path) as other:
        assert open_run.journal != other.journal


@pytest.mark.parametrize("failing", ["os.fsync", "pathlib.Path.replace"])
def test_the_named_output_is_replaced_in_one_step(
    failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "run.json"
    output.write_text("old")
    with recorder(tmp_path, output=output) as run:
        run.add(result())
        assert output.read_text() == "old"
        with monkeypatch.context() as patch, pytest.raises(OptbenchError) as caught:
            patch.setattr(failing, _no_space)
            run.finish(SUMMARY)
        assert output.read_text() == "old", "a failed write leaves the old file whole"
        assert str(run.journal) in str(caught.value)
        assert "No space left" in str(caught.value)
        assert run.finish(SUMMARY) == output
    assert records.read(output)["summary"] == SUMMARY
    assert sorted(path.name for path in tmp_path.iterdir()) == [".optbench", "run.json"], "no half file is left"


def _no_space(*arguments: Any) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_a_link_stays_a_link_and_a_device_a_device(tmp_path: Path) -> None:
    target, link = tmp_path / "target.html", tmp_path / "link.html"
    target.write_text("old")
    link.symlink_to(target)
    records.write_text(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    null = Path("/dev/null")
    records.write_text(null, "text")
    assert null.is_char_device()


def test_an_output_that_cannot_be_is_refused_before_the_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder; name a file in it"):
        recorder(tmp_path, output=tmp_path)
    with pytest.raises(UsageError, match="there is no folder"):
        recorder(tmp_path, output=tmp_path / "nowhere" / "run.json")
    (tmp_path / ".optbench").write_text("a file in the way")
    with pytest.raises(UsageError, match="cannot keep the run in"):
        recorder(tmp_path)


def test_non_finite_numbers_are_strict_json_and_come_back(tmp_path: Path) -> None:
    with recorder(tmp_path) as run:
        run.add(result("inf", error_ulp=math.inf, message="NaN"))
        run.add(result("nan", error_ulp=math.nan))
        run.add(measurement(ratio_low=-math.inf, options={"eps": math.inf}))
        path = run.finish(SUMMARY)
    json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    record = records.read(path)
    assert record["results"][0]["error_ulp"] == math.inf
    assert record["results"][0]["message"] == "NaN", "only float columns are numbers"
    assert math.isnan(record["results"][1]["error_ulp"])
    assert record["measurements"][0]["ratio_low"] == -math.inf
    assert record["measurements"][0]["options"] == {"eps": "Infinity"}
    assert records.dumps(record) == path.read_text()


def test_anything_a_caller_hands_over_can_be_written(tmp_path: Path) -> None:
    import numpy

    odd = {"path": Path("a"), "number": numpy.float32(0.5), "nan": numpy.float64("nan"), "text": "lone \udcff", 3: (1,)}
    with recorder(tmp_path, plan=odd) as run:
        path = run.finish(SUMMARY)
    plan = records.read(path)["plan"]
    assert plan == {"path": "a", "number": 0.5, "nan": "NaN", "text": "lone \\udcff", "3": [1]}


def test_a_record_has_a_line_for_each_row(tmp_path: Path) -> None:
    with recorder(tmp_path) as run:
        run.add(result("a"))
        run.add(result("b"))
        path = run.finish(SUMMARY)
    lines = [line for line in path.read_text().splitlines() if '"law"' in line]
    assert len(lines) == 2


def test_fields_that_a_later_version_adds_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "later.json"
    row = {**result().to_json(), "temperature": 20}
    del row["seconds"]
    path.write_text(json.dumps({"schema": records.SCHEMA, "results": [row], "weather": "fair"}))
    record = records.read(path)
    assert record["results"][0]["temperature"] == 20
    assert record["results"][0]["seconds"] == 0.0, "a missing field has its default"
    assert record["weather"] == "fair"
    assert record["measurements"] == []


WHOLE = records.dumps({"schema": records.SCHEMA, "command": "x", "results": [result().to_json()]})
BROKEN = {**result().to_json(), "verdict": "maybe"}
BAD_FILES = {
    "empty": ("", "is empty"),
    "prose": ("Dear Sir", "is not JSON: line 1, column 1"),
    "cut": (WHOLE[:-40], "is cut short after"),
    "cut early": (WHOLE[:20], "is cut short after"),
    "typo": (WHOLE.replace('"command"', "command", 1), "is not JSON: line 2, column"),
    "list": ("[1, 2]", "is JSON, but no record of optbench"),
    "other": ('{"name": "package"}', "is JSON, but no record of optbench: it names no schema"),
    "later": ('{"schema": "optbench.run/9"}', "has schema 'optbench.run/9'; this optbench reads 'optbench.run/1'"),
    "odd schema": ('{"schema": ["a"]}', r"has schema \['a'\]; this optbench reads"),
    "no rows": (json.dumps({"schema": records.SCHEMA, "results": {}}), "'results' is not a JSON array"),
    "odd part": (json.dumps({"schema": records.SCHEMA, "summary": 3}), "'summary' is not a JSON object"),
    "odd row": (json.dumps({"schema": records.SCHEMA, "results": [3]}), r"results\[0\] is not a JSON object"),
    "short row": (json.dumps({"schema": records.SCHEMA, "results": [{"law": "a"}]}), r"results\[0\] has no 'level'"),
    "odd verdict": (json.dumps({"schema": records.SCHEMA, "results": [BROKEN]}), "has verdict 'maybe'"),
    "odd number": (
        json.dumps({"schema": records.SCHEMA, "results": [{**result().to_json(), "error_ulp": "big"}]}),
        "has error_ulp = 'big', which is not float",
    ),
    "journal, cut": ('{"journal": "optbench.run/1", "com', "is cut short in its first line"),
    "journal, later": ('{"journal": "optbench.run/2"}\n', "has schema 'optbench.run/2'"),
    "journal, odd": ('{"journal": "optbench.run/1"}\n', "its first line has no 'command'"),
    "journal, line": ('{"journal": "optbench.run/1"}\n{oops}\n{}\n', "line 2 is not JSON"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_named_in_one_line(name: str, tmp_path: Path) -> None:
    text, message = BAD_FILES[name]
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=message) as caught:
        records.read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_status == 2


def test_what_is_no_file_at_all_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no record .*missing.json: `optbench compare -o"):
        records.read(tmp_path / "missing.json")
    with pytest.raises(UsageError, match="is a folder: there is no record in it"):
        records.read(tmp_path)
    (tmp_path / "run.json").write_text(WHOLE)
    with pytest.raises(UsageError, match=r"is a folder: name a record in it, such as .*run\.json"):
        records.read(tmp_path)
    (tmp_path / "picture.json").write_bytes(b"\x89PNG\r\n\xff\xfe")
    with pytest.raises(UsageError, match="is no record: it is not text"):
        records.read(tmp_path / "picture.json")


def test_a_cut_record_leads_to_its_journal(tmp_path: Path) -> None:
    with recorder(tmp_path) as run:
        run.add(result())
    cut = run.journal.with_suffix(".json")
    cut.write_text(WHOLE[:50])
    with pytest.raises(UsageError) as caught:
        records.read(cut)
    assert f"give {run.journal} instead" in str(caught.value)
    run.journal.unlink()
    with pytest.raises(UsageError, match=r"leaves a journal \(\*\.jsonl\) in .optbench.runs"):
        records.read(cut)


def test_records_need_no_torch() -> None:
    code = "import sys; sys.modules['torch'] = None; from optbench.runs import records; print('read' in dir(records))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "True", done.stderr
