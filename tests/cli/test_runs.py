"""compare, check, bench and report: streams, files, exit statuses, interruption and resumption."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from optbench import laws
from optbench.cli.app import run
from optbench.errors import NothingToRun, UsageError
from optbench.runs.records import read
from tests.cli.fakes import measurement, result

LAWS = ["--law", "opt.layouts,opt.version"]


def records():
    return sorted(Path(".optbench/runs").glob("*.json"))


def test_check_ends_with_the_sentence_and_keeps_a_record(fakes, capsys):
    assert run(["check", "--algo", "adam", *LAWS]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[-1] == "OK: fused keeps all 2 laws in 2 cases."
    assert err == ""
    (path,) = records()
    assert f"Record: {path}" in lines
    record = read(path)
    assert record["summary"] == {"sentence": lines[-1], "exit_status": 0, "laws": 2, "cases": 2}
    assert [row["law"] for row in record["results"]] == ["opt.layouts", "opt.version"]
    assert record["command"] == "optbench check --algo adam --law opt.layouts,opt.version"
    assert record["laws"]["opt.layouts"]["statement"]
    assert not list(Path(".optbench").rglob("*.jsonl")) and not fakes.bench_plans


def test_compare_writes_a_report_and_both_tables(fakes, capsys):
    fakes.results.append(result(law="opt.oracle"))
    assert run(["compare", "--algo", "adam", "--law", "opt.layouts,opt.version,opt.oracle"]) == 0
    out = capsys.readouterr().out
    assert "Pairwise coverage: 12 of 12 pairs (100%) of dtype, layout." in out
    assert "1x16M, float32 on cpu; ratios over torch-fused, which strays 2.0% from itself" in out
    assert "fused         12,100  19.4   92%  1.31x [1.28, 1.35]  faster" in out
    (report,) = Path(".optbench/runs").glob("*.html")
    assert f"Report: {report}" in out and "<html" in report.read_text()
    assert out.splitlines()[-1].endswith("Speed on 1x16M: fused 1.31x torch-fused (faster).")


def test_options_reach_the_plans(fakes):
    arguments = "compare --algo adam,sgd --impl fused,reference --impl foreach --device cpu --dtype bfloat16,float32"
    arguments += " --suite full -k layouts --law opt.lay* --seed 3 --require torch --workload 1x16M --baseline torch"
    assert run(arguments.split()) == 0
    plan = fakes.plan
    assert (plan.algo, plan.implementations, plan.suite) == ("adam,sgd", ("fused", "reference", "foreach"), "full")
    assert (plan.dtypes, plan.keyword, plan.laws, plan.seed) == (("bfloat16", "float32"), "layouts", ("opt.lay*",), 3)
    assert plan.require_torch
    adam, sgd = fakes.bench_plans
    assert [subject.name for subject in (*adam.subjects, *sgd.subjects)] == ["adam", "sgd"]
    assert (adam.dtype, adam.baseline, adam.seed, adam.suite) == ("bfloat16", "torch", 3, "full")
    assert adam.judged == {"fused", "reference", "foreach"}


@pytest.mark.parametrize(
    ("options", "checked", "timed"), [(["--no-bench"], True, False), (["--no-check"], False, True), ([], True, True)]
)
def test_halves_can_be_left_out(fakes, options, checked, timed):
    assert run(["compare", "--algo", "adam", *LAWS, *options]) == 0
    assert (fakes.plan is not None, bool(fakes.bench_plans)) == (checked, timed)


def test_a_broken_law_exits_1_and_says_how_to_rerun(fakes, capsys):
    fakes.results.append(result(case="transposed", verdict="fail", message="parameter 0: scaled error 144 (cap 8)"))
    assert run(["check", "--algo", "adam", *LAWS]) == 1
    out = capsys.readouterr().out
    assert "✗ fused breaks opt.layouts: [transposed] parameter 0: scaled error 144 (cap 8)" in out
    assert "  optbench check --algo adam -k 'opt.layouts[strided]'" in out
    assert out.splitlines()[-1].startswith("BROKEN: fused breaks opt.layouts in 1 of 2 cases; first: adam")


def test_a_broken_law_tells_what_makes_it_appear_and_how_to_see_the_smallest_case(fakes, capsys):
    finding = {"options": {"weight_decay": "0.1"}, "likely": "decay decoupled", "reproduce": "optbench check -k 'x[1]'"}
    fakes.results.append(result(case="transposed", verdict="fail", message="parameter 0: wrong", finding=finding))
    assert run(["check", "--algo", "adam", *LAWS]) == 1
    lines = capsys.readouterr().out.splitlines()
    at = lines.index("✗ fused breaks opt.layouts: [transposed] parameter 0: wrong")
    assert lines[at + 1] == "  Appears with weight_decay=0.1. Likely: decay decoupled."
    assert lines[at + 2] == "  optbench check -k 'x[1]'"
    (path,) = records()
    assert read(path)["results"][-1]["finding"] == finding


def test_a_law_that_compared_nothing_fails_the_run(fakes, capsys):
    assert run(["check", "--algo", "adam", "--law", "opt.layouts,opt.version,opt.pure"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "BROKEN: opt.pure made no comparison."
    # A case chosen by name leaves the other laws out on purpose.
    assert run(["check", "--algo", "adam", "-k", "opt.layouts[strided]"]) == 0


EXPECTED = '[[expected]]\nlaw = "opt.layouts"\nsubject = "adam"\ncase = "{}"\nreason = "why"\n'


def test_expected_failures_are_told_in_every_format(fakes, capsys):
    Path("expected.toml").write_text(EXPECTED.format("strided"))
    fakes.results[0] = replace(fakes.results[0], verdict="xfail", message="expected, why: parameter 0 is off")
    arguments = ["compare", "--no-bench", "--algo", "adam", *LAWS, "--expect", "expected.toml"]
    sentence = "OK: fused keeps 1 of 2 laws in 2 cases and breaks opt.layouts in 1 case as expected."
    assert run([*arguments, "--html", "report.html"]) == 0
    out = capsys.readouterr().out
    assert "opt.layouts  (✗) 1/1\n" in out and out.splitlines()[-1] == sentence
    assert fakes.plan.expected.source == "expected.toml"
    html = Path("report.html").read_text()
    assert "broken, as its owner declares" in html and "expected, why: parameter 0 is off" in html
    assert run([*arguments, "--format", "junit"]) == 0
    junit = capsys.readouterr().out
    assert '<skipped message="expected, why: parameter 0 is off" />' in junit and "<failure" not in junit
    assert run([*arguments, "--format", "github"]) == 0
    assert capsys.readouterr().out == f"::notice title=optbench::{sentence}\n"


def test_an_expected_failure_that_passes_is_an_error_everywhere(fakes, capsys):
    fakes.results[0] = replace(fakes.results[0], verdict="xpass", message="it passes")
    arguments = ["compare", "--no-bench", "--algo", "adam", *LAWS]
    assert run([*arguments, "--html", "report.html"]) == 1
    assert "✗ fused breaks opt.layouts: [strided] it passes" in capsys.readouterr().out
    assert "kept, although its owner declares it broken" in Path("report.html").read_text()
    assert run([*arguments, "--format", "junit"]) == 1
    assert '<failure message="it passes" type="xpass">' in capsys.readouterr().out
    assert run([*arguments, "--format", "github"]) == 1
    assert "::error title=fused breaks opt.layouts (adam)::" in capsys.readouterr().out


def test_expected_failures_of_no_case_are_told_where_every_case_ran(fakes, capsys):
    Path("expected.toml").write_text(EXPECTED.format("nowhere"))
    # Where a part of the cases is asked, nobody can tell.
    for part in (["-k", "strided"], ["--dtype", "float32"], ["--law", "opt.version"]):
        assert run(["check", "--algo", "adam", *part, "--expect", "expected.toml"]) in (0, 1)
        assert capsys.readouterr().err == ""
    fakes.results = [result(law=law) for law in laws.entries()]
    assert run(["check", "--algo", "adam", "--expect", "expected.toml"]) == 0
    assert capsys.readouterr().err == (
        "--expect expected.toml: entry 1 (opt.layouts, adam, nowhere) is about no case of this run: strike it, or "
        "mend it.\n"
    )
    assert run(["check", "--algo", "adam", "--expect", "none.toml"]) == 2
    assert capsys.readouterr().err == "optbench: --expect 'none.toml': there is no such file.\n"


def test_rows_stand_in_order_however_they_came(fakes, capsys):
    laws = ("opt.version", "opt.layouts")
    fakes.results = [result(law=law, implementation=name) for law in laws for name in ("fused", "reference")]
    assert run(["check", "--algo", "adam", *LAWS]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split() == ["reference", "fused"] or lines[3].split() == ["reference", "fused"]
    assert [line.split()[0] for line in lines if line.startswith("opt.")] == ["opt.layouts", "opt.version"]


def test_no_results_at_all_exits_3(fakes, capsys):
    fakes.results = []
    assert run(["check", "--algo", "adam"]) == 3
    err = capsys.readouterr().err
    assert err.startswith("optbench: nothing was selected") and err.count("\n") == 1


@pytest.mark.parametrize(("error", "status"), [(UsageError("wrong x"), 2), (NothingToRun("no x"), 3)])
def test_errors_of_a_run_are_one_line(fakes, capsys, error, status):
    fakes.results = [error]
    assert run(["check", "--algo", "adam"]) == status
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"optbench: {error}\n")
    assert list(Path(".optbench/runs").iterdir()) == []


def test_a_bug_is_one_line_and_its_traceback_a_file(fakes, capsys, monkeypatch):
    monkeypatch.delenv("OPTBENCH_TRACEBACK", raising=False)
    fakes.results.append(ZeroDivisionError("of\nzero"))
    assert run(["check", "--algo", "adam"]) == 4
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert err.startswith(
        "optbench: a bug of optbench: ZeroDivisionError: of zero; its traceback is in .optbench/crash-"
    )
    (crash,) = Path(".optbench").glob("crash-*.txt")
    assert "Traceback (most recent call last)" in crash.read_text() and str(crash) in err
    # What was found before it stays.
    (journal,) = Path(".optbench/runs").glob("*.jsonl")
    assert len(read(journal)["results"]) == 2
    monkeypatch.setenv("OPTBENCH_TRACEBACK", "1")
    assert run(["check", "--algo", "adam"]) == 4
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_interrupted_says_what_is_kept_and_the_run_goes_on_from_there(fakes, capsys):
    whole = fakes.results
    fakes.results = [whole[0], KeyboardInterrupt()]
    assert run(["check", "--algo", "adam", *LAWS]) == 130
    out, err = capsys.readouterr()
    (journal,) = Path(".optbench/runs").glob("*.jsonl")
    assert out == ""
    assert err == (
        f"optbench: interrupted; 1 result is kept in {journal}. "
        f"To go on: optbench check --algo adam --law opt.layouts,opt.version --resume {journal}\n"
    )
    fakes.results = whole
    assert run(["check", "--algo", "adam", *LAWS, "--resume", str(journal)]) == 0
    assert fakes.done("opt.layouts", "adam", "fused", "strided")
    assert not fakes.done("opt.version", "adam", "fused", "strided")
    (path,) = records()
    assert [row["law"] for row in read(path)["results"]] == ["opt.layouts", "opt.version"]
    assert not journal.exists()


def test_resuming_with_other_options_is_refused(fakes, capsys):
    assert run(["check", "--algo", "adam", *LAWS]) == 0
    (path,) = records()
    capsys.readouterr()
    assert run(["check", "--algo", "adam", *LAWS, "--seed", "1", "--resume", str(path)]) == 2
    assert "its plan has seed = 0, this run 1" in capsys.readouterr().err


def test_timed_workloads_are_not_timed_again(fakes):
    fakes.measurements = [measurement(), KeyboardInterrupt()]
    workloads = ["--workload", "1x16M,1000x64"]
    assert run(["bench", "--algo", "adam", *workloads]) == 130
    (journal,) = Path(".optbench/runs").glob("*.jsonl")
    fakes.measurements = [measurement(workload="1000x64")]
    assert run(["bench", "--algo", "adam", *workloads, "--resume", str(journal)]) == 0
    assert [workload.name for workload in fakes.bench_plans[-1].workloads] == ["1000x64"]
    assert fakes.bench_plans[-1].seconds < 10
    (path,) = records()
    assert [row["workload"] for row in read(path)["measurements"]] == ["1x16M", "1000x64"]


def test_interrupted_before_anything_leaves_nothing(fakes, capsys):
    fakes.results = [KeyboardInterrupt()]
    assert run(["check", "--algo", "adam"]) == 130
    assert "nothing is kept" in capsys.readouterr().err
    assert list(Path(".optbench/runs").iterdir()) == []


def test_json_on_standard_output_is_the_record(fakes, capsys):
    assert run(["compare", "--algo", "adam", *LAWS, "--format", "json"]) == 0
    out, err = capsys.readouterr()
    record = json.loads(out)
    assert record["schema"] == "optbench.run/1" and len(record["results"]) == 2 and len(record["measurements"]) == 2
    assert err.splitlines()[0] == f"record: {records()[0]}"
    assert err.splitlines()[-1] == record["summary"]["sentence"]


def test_json_to_a_file(fakes, capsys):
    assert run(["check", "--algo", "adam", *LAWS, "--format", "json", "-o", "run.json"]) == 0
    assert capsys.readouterr().out == ""
    assert read("run.json")["summary"]["exit_status"] == 0
    assert records() == []


def test_table_to_a_file_has_no_colour(fakes, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert run(["check", "--algo", "adam", *LAWS, "-o", "table.txt"]) == 0
    out, err = capsys.readouterr()
    text = Path("table.txt").read_text(encoding="utf-8")
    assert out == "" and "\x1b" not in text and text.splitlines()[-1] == err.splitlines()[-1]


@pytest.mark.parametrize("no_colour", [True, False])
def test_colour_on_a_terminal_unless_no_color(fakes, capsys, monkeypatch, no_colour):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1" if no_colour else "")
    assert run(["check", "--algo", "adam", *LAWS]) == 0
    assert ("\x1b" in capsys.readouterr().out) != no_colour


def test_progress_on_a_terminal_only(fakes, capsys, monkeypatch):
    from optbench import conformance

    def check(plan, progress=None, done=None, workers=None):
        for number, row in enumerate(fakes.results, 1):
            progress(conformance.Progress(number, len(fakes.results), row.law))
            yield row

    monkeypatch.setattr(conformance, "run", check)
    assert run(["check", "--algo", "adam", *LAWS]) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert run(["check", "--algo", "adam", *LAWS]) == 0
    err = capsys.readouterr().err
    assert "2/2 opt.version" in err and err.endswith("\r\x1b[K") and "\n" not in err


def test_junit(fakes, capsys):
    fakes.results += [
        result(case="a", verdict="fail", message="off by <1> & \x00"),
        result(case="b", verdict="crash", message="SIGSEGV"),
        result(case="c", verdict="skip", comparisons=0, message="no such option: x"),
        result(case="d", implementation="torch-fused", judged=False, verdict="fail", message="known"),
    ]
    assert run(["check", "--algo", "adam", *LAWS, "--format", "junit"]) == 1
    root = ElementTree.fromstring(capsys.readouterr().out)
    ours, torchs = root.findall("testsuite")
    assert [ours.get(name) for name in ("name", "tests", "failures", "errors", "skipped")] == [
        "adam.fused",
        "5",
        "1",
        "1",
        "1",
    ]
    assert [torchs.get(name) for name in ("tests", "failures", "errors", "skipped")] == ["1", "0", "0", "1"]
    failure = ours.find("testcase[@name='opt.layouts[a]']/failure")
    assert (
        failure is not None and failure.get("message") == "off by <1> & ?" and "optbench check" in (failure.text or "")
    )
    assert torchs.find("testcase/skipped").get("message") == "not judged: fail: known"


def test_github(fakes, capsys):
    broken = result(case="a", verdict="fail", message="100% off")
    fakes.results += [broken, replace(broken, case="b"), replace(broken, implementation="torch-fused", judged=False)]
    assert run(["check", "--algo", "adam", *LAWS, "--format", "github"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "::error title=fused breaks opt.layouts (adam)::2 cases, the first: [a] 100%25 off%0A"
        "optbench check --algo adam -k 'opt.layouts[strided]'"
    )
    assert lines[1].startswith("::error title=optbench::BROKEN: fused breaks opt.layouts in 2 of 3 cases")
    assert len(lines) == 2


def test_a_report_that_cannot_be_drawn_costs_no_result(fakes, capsys, monkeypatch):
    def fail(records, names):
        raise NothingToRun("the report needs pandas, which is not installed here.")

    monkeypatch.setattr("optbench.cli.report.render", fail)
    assert run(["compare", "--algo", "adam", *LAWS]) == 3
    out, err = capsys.readouterr()
    assert out.splitlines()[-1].startswith("OK: ") and "needs pandas" in err
    assert len(records()) == 1


def test_report_from_records(fakes, capsys):
    assert run(["check", "--algo", "adam", *LAWS]) == 0
    (path,) = records()
    capsys.readouterr()
    assert run(["report", str(path), str(path), "-o", "report.html"]) == 0
    assert capsys.readouterr().out == "report.html\n"
    assert path.stem in Path("report.html").read_text()
    assert run(["report", str(path), "-o", "-"]) == 0
    assert "<html" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ('{"schema": "optbench.run/1", "res', "is cut short"),
        ('{"schema": "other/9"}', "has schema 'other/9'"),
    ],
)
def test_bad_records_are_one_line(fakes, capsys, text, said):
    Path("bad.json").write_text(text)
    assert run(["report", "bad.json", "-o", "report.html"]) == 2
    err = capsys.readouterr().err
    assert said in err and "bad.json" in err and err.count("\n") == 1
    assert not Path("report.html").exists()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written(fakes, capsys):
    Path(".").chmod(0o500)
    assert run(["check", "--algo", "adam", *LAWS]) == 2
    assert capsys.readouterr().err.count("\n") == 1
