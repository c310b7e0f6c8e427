"""Failures that a third party expects: what the file may say, and what comes of a result."""

import subprocess
import sys
import textwrap

import pytest

from optbench.errors import UsageError
from optbench.expected import load
from optbench.runs.results import Result

LAWS = ("opt.layouts", "opt.pure", "sch.formula")
GOOD = """
    [[expected]]
    law = "opt.layouts"
    subject = "adam*"
    case = "*/strided*"
    reason = "strided views are not supported,\\n issue 12"

    [[expected]]
    law = "opt.*"
    subject = "sgd"
    reason = "not finished"
"""


@pytest.fixture
def read(tmp_path):
    """What a file of this text declares."""

    def read(text):
        path = tmp_path / "expected.toml"
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return load(path, LAWS)

    return read


def result(law="opt.layouts", subject="adamw", case="float32/strided", verdict="fail"):
    return Result(law, "math", subject, "mine.py:Mine", "foreign", True, case, verdict, 3, message="parameter 0 is off")


@pytest.mark.parametrize("verdict", ["fail", "error", "crash"])
def test_what_breaks_as_expected_breaks_nothing(read, verdict):
    judged = read(GOOD).judge(result(verdict=verdict))
    assert (judged.verdict, judged.broken) == ("xfail", False)
    assert judged.message == "expected, strided views are not supported, issue 12: parameter 0 is off"


def test_what_passes_against_expectation_breaks(read):
    judged = read(GOOD).judge(result(verdict="pass"))
    assert (judged.verdict, judged.broken) == ("xpass", True)
    assert judged.message.startswith("it passes, and entry 1 (opt.layouts, adam*, */strided*) of ")
    assert judged.message.endswith("expected.toml expects it to fail: strike the entry, or narrow it.")


@pytest.mark.parametrize("verdict", ["skip", "precision"])
def test_what_neither_breaks_nor_passes_stays(read, verdict):
    assert read(GOOD).judge(result(verdict=verdict)) == result(verdict=verdict)


@pytest.mark.parametrize(
    "other", [{"law": "opt.pure"}, {"subject": "lion"}, {"case": "float32/transposed"}, {"subject": "my-adam"}]
)
def test_what_no_entry_names_stays(read, other):
    assert read(GOOD).judge(result(**other)) == result(**other)


def test_law_and_subject_may_be_globs_and_the_case_left_out(read):
    assert read(GOOD).judge(result("opt.pure", "sgd", "anything")).message.startswith("expected, not finished: ")
    assert read(GOOD).find("sch.formula", "sgd", "x") is None


def test_entries_about_no_case_are_told_unless_another_run_is_about_them(read):
    cases = [("opt.layouts", "adamw", "float32/offset"), ("opt.pure", "adamw", "x")]
    declared = read(GOOD)
    assert [entry.number for entry in declared.unmatched(cases)] == [1, 2]
    assert [entry.number for entry in declared.unmatched(cases, ["sgd", "adamw"])] == [1]
    assert [entry.number for entry in declared.unmatched(cases, laws=["opt.layouts"])] == [1, 2]
    assert [entry.number for entry in declared.unmatched(cases, laws=["opt.pure"])] == [2]
    assert declared.unmatched(cases, laws=["sch.formula"]) == []
    assert declared.unmatched([*cases, ("opt.layouts", "adam", "a/strided"), ("opt.pure", "sgd", "")]) == []


ENTRY = '[[expected]]\nlaw = "opt.pure"\nreason = "x"\n'
WRONG = [
    ("[[expected]]\nlaw = opt\n", "is no TOML: Invalid value (at line 2, column 7)."),
    ("[[expect]]\n", "unknown key 'expect': begin each entry with [[expected]]."),
    ("[expected]\nlaw = 'opt.pure'\n", "'expected' is no list of tables: begin each entry with [[expected]]."),
    (ENTRY + "[[expected]]\nreason = 'x'\n", ', entry 2 has no law: add law = "…".'),
    ("[[expected]]\nlaw = 'opt.pure'\n", ', entry 1 (opt.pure) has no reason: add reason = "…".'),
    (ENTRY.replace('"x"', '" "'), ", entry 1 (opt.pure): reason is ' ': write some text in quotes."),
    (ENTRY.replace('"x"', "3"), ", entry 1 (opt.pure): reason is 3: write some text in quotes."),
    (ENTRY + "cases = '*'\n", ", entry 1 (opt.pure): unknown key 'cases': did you mean 'case'?"),
    (ENTRY + "z = '*'\n", ", entry 1 (opt.pure): unknown key 'z': an entry has law, subject, case, reason."),
    (ENTRY.replace("pure", "pur"), ", entry 1 (opt.pur): unknown law 'opt.pur': did you mean 'opt.pure'?"),
]


@pytest.mark.parametrize(("text", "said"), WRONG, ids=[case[1][:40] for case in WRONG])
def test_what_is_wrong_with_a_file_is_one_line_that_names_the_entry(read, text, said):
    with pytest.raises(UsageError) as caught:
        read(text)
    message = str(caught.value)
    assert said in message and message.startswith("--expect '") and "\n" not in message


def test_a_file_that_is_not_there_or_no_text(tmp_path):
    with pytest.raises(UsageError, match=r"there is no such file\.$"):
        load(tmp_path / "none.toml", LAWS)
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="cannot be read"):
        load(tmp_path / "bytes.toml", LAWS)
    with pytest.raises(UsageError, match="cannot be read"):
        load(tmp_path, LAWS)


def test_importing_it_needs_no_torch():
    code = "import optbench.expected, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
