"""Two records compared: what counts as a regression, what is only told, what is refused."""

import json
import re

import pytest

from optbench.errors import NothingToRun, UsageError
from optbench.runs.diff import FIGURES, compare
from optbench.runs.results import VERDICTS
from tests.diff_records import baseline, record, save, timing

QUIET = {"spread": 0.01, "noise_floor": 0.01}


def timed(*rows, **environment):
    return record([*rows, baseline()], **environment)


def kinds(found, kind):
    return [row for row in found.rows if row.kind == kind]


def test_a_record_does_not_differ_from_itself():
    one = record([timing(**QUIET), baseline()], [{}, {"law": "opt.step", "verdict": "fail"}])
    found = compare(one, one)
    assert {row.verdict for row in found.rows} == {"same"}
    assert (len(kinds(found, "time")), len(kinds(found, "figure")), len(kinds(found, "law"))) == (1, 8, 2)
    assert found.regressions == found.only_before == found.only_after == found.marks == ()
    assert found.exit_status == 0
    assert found.sentence == (
        "OK: no regression beyond 10%: 1 ratio, 8 figures, 2 verdicts compared; of the ratios 1 same."
    )


@pytest.mark.parametrize(
    ("speed", "threshold", "regresses"),
    [(1 / 1.2, 0.1, True), (1 / 1.05, 0.1, False), (1 / 1.05, 0.04, True), (1.2, 0.0, False)],
)
def test_a_slowdown_counts_beyond_the_threshold(speed, threshold, regresses):
    found = compare(timed(timing(speed=1.0, **QUIET)), timed(timing(speed=speed, **QUIET)), threshold)
    (row,) = kinds(found, "time")
    assert row.verdict == ("slower" if speed < 1 else "faster")
    assert (bool(found.regressions), found.exit_status) == (regresses, int(regresses))
    if regresses:
        assert found.sentence.startswith("BROKEN: 1 regression; first: adam fused, 1x16M, float32 on cpu: 1x → ")


@pytest.mark.parametrize(
    "fields", [{"spread": 0.6}, {"noise_floor": 0.5}, {"judged": False}, {"curve": True}, {"threads": 1}]
)
def test_what_is_unsure_not_judged_or_coarse_is_no_regression(fields):
    found = compare(timed(timing(speed=1.0, **QUIET)), timed(timing(speed=0.7, **{**QUIET, **fields})))
    assert kinds(found, "time")[0].after == 0.7 and not found.regressions


@pytest.mark.parametrize("field", FIGURES)
def test_counted_figures_are_exact(field):
    less, more = timing(**QUIET), timing(**QUIET)
    more[field] += 1
    found = compare(timed(less), timed(more), threshold=10)
    (row,) = found.regressions
    assert (row.kind, row.what, row.after, row.verdict) == ("figure", FIGURES[field], more[field], "worse")
    better = compare(timed(more), timed(less))
    assert [row.what for row in better.rows if row.verdict == "better"] == [FIGURES[field]] and not better.regressions
    context = compare(timed(less), timed({**more, "judged": False}))
    assert "worse" in {row.verdict for row in context.rows} and not context.regressions


def test_a_figure_that_is_not_counted_any_more_is_told():
    found = compare(timed(timing(**QUIET)), timed(timing(**QUIET, dispatched_ops=None)))
    (row,) = (row for row in found.rows if row.verdict != "same")
    assert (row.what, row.before, row.after, row.verdict) == ("dispatched ops", 2, None, "changed")
    assert not found.regressions


WORSE = {"fail", "error", "crash", "xpass"}


@pytest.mark.parametrize("after", VERDICTS)
@pytest.mark.parametrize("before", VERDICTS)
def test_a_law_that_breaks_is_a_regression(before, after):
    found = compare(record(results=[{"verdict": before}]), record(results=[{"verdict": after, "message": "m by 3"}]))
    (row,) = found.rows
    assert row.regression == (after in WORSE and before not in WORSE)
    assert (row.verdict == "same") == (before == after)
    if before in WORSE and after == "pass":
        assert row.verdict == "better"
    if row.regression:
        assert found.sentence.startswith(
            f"BROKEN: 1 regression; first: adam fused: opt.layouts[strided] {before} → {after} (m by 3)."
        )


def test_losing_precision_is_told_and_not_counted():
    found = compare(record(results=[{}]), record(results=[{"verdict": "precision"}]))
    assert found.rows[0].verdict == "worse" and not found.regressions


@pytest.mark.parametrize("why", ["context", "grade", "drop-in"])
def test_a_broken_law_that_is_not_judged_is_told_and_not_counted(why):
    fields = {
        "context": {"judged": False},
        "grade": {},
        "drop-in": {"implementation": "my.py:Adam", "level": "torch"},
    }[why]
    before, after = (record(results=[{"verdict": verdict, **fields}]) for verdict in ("pass", "fail"))
    after["laws"] = {"opt.layouts": {"grade": why == "grade"}}
    found = compare(before, after)
    assert found.rows[0].verdict == "worse" and not found.regressions
    if why == "drop-in":
        after["plan"] = {"require_torch": True}
        assert compare(before, after).regressions


def test_a_wrong_result_where_there_was_a_time_is_a_regression():
    refused = {"median_s": None, "refused": "does not match the oracle: exp_avg is off by 7"}
    found = compare(timed(timing(**QUIET)), timed(timing(**QUIET, **refused)))
    (row,) = found.regressions
    assert (row.kind, row.before, row.after, row.verdict) == ("timed", "yes", "no", "worse")
    unable = timed(timing(**QUIET, **{**refused, "refused": "needs 9 GiB"}))
    found = compare(timed(timing(**QUIET)), unable)
    assert [row.verdict for row in found.rows if row.kind == "timed"] == ["changed"] and not found.regressions
    assert "better" in {row.verdict for row in compare(unable, timed(timing(**QUIET))).rows}


def test_regressions_come_first_and_the_worst_of_them_before_the_others():
    names = ("reference", "foreach", "fused")
    before = record([*(timing(name, 1.0, **QUIET) for name in names), baseline()], [{}])
    speeds = zip(names, (1.5, 0.8, 0.6), strict=True)
    after = record([*(timing(name, speed, **QUIET) for name, speed in speeds), baseline()], [{"verdict": "fail"}])
    found = compare(before, after)
    assert [(row.kind, row.implementation) for row in found.regressions] == [
        ("law", "fused"), ("time", "fused"), ("time", "foreach"),
    ]  # fmt: skip
    assert found.rows[: len(found.regressions)] == found.regressions
    assert [row.verdict for row in found.rows[3:]] == ["faster", *["same"] * 16]


def test_a_regression_comes_before_what_is_worse_and_not_judged():
    law = {"judged": False}
    before = record([timing(speed=1.0, **QUIET), baseline()], [law])
    after = record([timing(speed=0.8, **QUIET), baseline()], [{**law, "verdict": "fail"}])
    assert [row.verdict for row in compare(before, after).rows[:2]] == ["slower", "worse"]


def test_a_difference_has_to_stand_out_among_all_that_are_judged():
    def many(speed, count):
        rows = [timing(speed=1.0, **QUIET, workload=f"{n}x64") for n in range(1, count)]
        return timed(timing(speed=speed, spread=0.03, noise_floor=0.01), *rows)

    alone, among = (compare(many(1.0, count), many(0.93, count), 0.05) for count in (1, 100))
    assert len(alone.regressions) == 1 and not among.regressions


def test_what_only_one_record_tells_of_is_told():
    before = record([timing(), timing("foreach"), baseline()], [{}])
    new = (timing(workload="1000x64"), timing(options={"amsgrad": True}))
    after = record([timing(), baseline(), *new], [{"case": "x"}])
    found = compare(before, after)
    assert found.only_before == (
        "adam fused: opt.layouts[strided]",
        "adam foreach: 1x16M, float32 on cpu, 16,777,216 elements in 1 tensors, gradients standing",
    )
    assert [name.split(", gradients")[0] for name in found.only_after] == [
        "adam fused: opt.layouts[x]",
        "adam fused: 1000x64, float32 on cpu, 16,777,216 elements in 1 tensors",
        "adam fused: 1x16M, float32 on cpu, amsgrad=True, 16,777,216 elements in 1 tensors",
    ]
    assert not found.regressions


def test_a_workload_that_changed_is_another_one():
    found = compare(timed(timing()), record([timing(elements=8), baseline()]))
    assert len(found.only_before) == len(found.only_after) == 1
    assert {row.implementation for row in found.rows} == {"torch-fused"}


def test_nothing_in_common_is_no_success():
    with pytest.raises(NothingToRun, match=r"the first record and the second record tell of nothing in common\."):
        compare(record([timing()]), record([timing(workload="1000x64")]))


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("machine", "0123456789ab", r"machine: .*a\.json on b888f84c3cff \(AMD EPYC\) and .*b\.json on 0123456789ab "),
        ("machine", None, r"machine: .* on an unknown one \(AMD EPYC\); --force compares them anyway, and marks it\.$"),
        ("torch", "2.12.0", r"version of torch: .*a\.json on torch 2\.13\.0\+cpu and .*b\.json on torch 2\.12\.0"),
    ],
)
def test_two_machines_and_two_versions_of_torch_are_refused_unless_forced(field, value, said, tmp_path):
    rows = [timing(**QUIET), baseline()]
    one, other = save(tmp_path / "a.json", rows), save(tmp_path / "b.json", rows, **{field: value})
    with pytest.raises(UsageError, match=r"^not the same ") as refused:
        compare(one, other)
    assert re.search(said, str(refused.value))
    assert "\n" not in str(refused.value)
    found = compare(one, other, force=True)
    assert found.exit_status == 0 and "what differs may be theirs" in found.marks[0]


def test_what_else_differs_is_marked():
    one, other = timed(timing()), timed(timing(), torch_threads=1, numba="0.62")
    other["finished"] = None
    assert compare(one, other).marks == (
        "numba: unknown before, 0.62 after", "torch threads: 2 before, 1 after", "the second record did not finish",
    )  # fmt: skip


@pytest.mark.parametrize("threshold", [-0.1, float("nan"), float("inf")])
def test_a_threshold_is_a_part(threshold):
    with pytest.raises(UsageError, match=r"is no slowdown: write 0\.1 for 10%\."):
        compare(timed(timing()), timed(timing()), threshold)


def test_json_holds_everything(tmp_path):
    one, other = timed(timing(speed=1.0, **QUIET)), timed(timing(speed=0.8, **QUIET))
    found = compare(one, other)
    told = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert (told["schema"], told["threshold"], told["only_before"]) == ("optbench.diff/1", 0.1, [])
    assert told["summary"] == {"sentence": found.sentence, "exit_status": 1}
    assert told["rows"][0]["regression"] is True and told["rows"][0]["change"] == pytest.approx(0.8)
