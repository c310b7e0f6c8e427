"""Tables in plain text: what stands in a cell, and that 80 columns are enough."""

import pytest

from optbench.cli.tables import conformance, coverage, grid, throughput
from tests.cli.fakes import measurement, result

EVERYONE = ["reference", "foreach", "fused", "fused-triton", "torch-forloop", "torch-foreach", "torch-fused"]
NONE = frozenset()


def rows_of(names, laws=("opt.matches_reference", "opt.layouts"), cases=40):
    return [
        result(implementation=name, law=law, case=f"case{number}", judged=not name.startswith("torch"))
        for law in laws
        for name in names
        for number in range(cases)
    ]


def table(lines):
    """law -> cells, of the first table."""
    return {line.split()[0]: line.split()[1:] for line in lines if line.startswith("opt.")}


def test_everyone_fits_80_columns_side_by_side():
    lines = conformance(rows_of(EVERYONE), 80, NONE)
    assert max(map(len, lines)) <= 80
    header = "".join(lines[0].split()), lines[1].split()
    assert header == (
        "fused-torch-torch-torch-",
        ["reference", "foreach", "fused", "triton", "forloop", "foreach", "fused"],
    )
    assert table(lines)["opt.layouts"] == ["✓", "40"] * 7


def test_too_many_columns_become_two_tables():
    names = [f"package/some_module.py:Optimizer{number}" for number in range(8)]
    lines = conformance(rows_of(names), 80, NONE)
    assert max(map(len, lines)) <= 80
    assert sum(line.startswith("opt.layouts") for line in lines) == 3
    assert sum(line.count("Optimizer") for line in lines) == 8


@pytest.mark.parametrize(
    ("verdicts", "cell"),
    [
        (["pass", "pass"], "✓ 2"),
        (["pass", "fail", "crash", "skip"], "✗ 2/3"),
        (["pass", "precision"], "~ 1/2"),
        (["skip"], "–"),
        (["pass", "xfail"], "(✗) 1/2"),
        (["xfail", "xpass"], "✗ 1/2"),
        (["xfail", "precision"], "~ 1/2"),
    ],
)
def test_cells(verdicts, cell):
    rows = [result(case=str(number), verdict=verdict) for number, verdict in enumerate(verdicts)]
    assert " ".join(table(conformance(rows, 80, NONE))["opt.layouts"]) == cell


def test_the_legend_tells_of_expected_failures_where_there_are_some():
    said = "(✗) broken as its owner expects"
    assert said in " ".join(conformance([result(verdict="xfail")], 80, NONE))
    assert said not in " ".join(conformance([result()], 80, NONE))


def test_a_grade_that_is_not_reached_is_no_cross():
    lines = conformance([result(), result(case="b", verdict="fail")], 80, frozenset({"opt.layouts"}))
    assert table(lines)["opt.layouts"] == ["~", "1/2"] and not any("breaks" in line for line in lines)


def test_what_does_not_count_of_foreign_code_is_a_grade():
    foreign = {"implementation": "mine.py:Mine", "backend": "foreign", "verdict": "fail"}
    rows = [result(**{**foreign, "law": "opt.hooks"}, judged=False), result(**foreign), result(**foreign, judged=False)]
    lines = conformance(rows, 80, NONE)
    assert (table(lines)["opt.hooks"], table(lines)["opt.layouts"]) == (["~", "1/1"], ["✗", "2/2"])
    assert [line for line in lines if "breaks" in line] == ["✗ mine.py:Mine breaks opt.layouts: [strided] fail"]


def test_messages_of_the_judged_are_whole_and_the_others_short():
    rows = [
        result(
            implementation="torch-fused", judged=False, verdict="fail", deviation="D-007", message="pairs by memory"
        ),
        result(implementation="torch-fused", judged=False, verdict="fail", law="opt.pure"),
        result(verdict="fail", message="exp_avg is\noff"),
    ]
    lines = conformance(rows, 80, NONE)
    ours = lines.index("✗ fused breaks opt.layouts: [strided] exp_avg is off")
    assert lines[ours + 1] == "  optbench check --algo adam -k 'opt.layouts[strided]'"
    assert lines[ours + 2] == "✗ torch-fused breaks opt.layouts (known, D-007), opt.pure"


def test_colour_is_beside_a_symbol_and_does_not_move_columns():
    rows = [result(), result(implementation="foreach", verdict="fail")]
    plain, painted = (conformance(rows, 80, NONE, colour) for colour in (False, True))
    assert any("\x1b[31m✗ 1/1" in line for line in painted) and any("\x1b[32m✓ 1" in line for line in painted)
    stripped = [line.translate({27: None}) for line in painted]
    for code in ("[31m", "[32m", "[2m", "[0m"):
        stripped = [line.replace(code, "") for line in stripped]
    assert [line.rstrip() for line in stripped] == plain


def test_throughput():
    rows = [
        measurement(),
        measurement(implementation="torch-fused", ratio_to_baseline=1.0, verdict="same", median_s=2.1e-6),
        measurement(
            implementation="foreach", median_s=None, ratio_to_baseline=None, refused="it does not match\nthe oracle"
        ),
        measurement(workload="1x1K", curve=True),
    ]
    lines = throughput(rows, 80)
    assert max(map(len, lines)) <= 80
    cells = {line.split()[0]: line.split()[1:] for line in lines if line}
    assert cells["fused"] == ["12,100", "19.4", "92%", "1.31x", "[1.28,", "1.35]", "faster"]
    assert cells["torch-fused"] == ["2.1", "19.4", "92%", "baseline"]
    assert "foreach: no figure: it does not match the oracle" in lines
    assert "The curve of sizes (1x1K) is in the report." in lines


def test_a_curve_alone_is_shown():
    assert any("12,100" in line for line in throughput([measurement(workload="1x1K", curve=True)], 80))


@pytest.mark.parametrize(("covered", "total", "shown"), [(12, 12, "100%"), (99999, 100000, "99.9%"), (0, 0, "0%")])
def test_coverage_never_rounds_up_to_all(covered, total, shown):
    line = coverage({"factors": {"dtype": [], "layout": []}, "covered": covered, "total": total})
    assert line == f"Pairwise coverage: {covered} of {total} pairs ({shown}) of dtype, layout."


def test_grid_aligns():
    assert grid([["a", "1"], ["bb", "22"]], right=[1]) == ["a    1", "bb  22"]
    assert grid([]) == []
