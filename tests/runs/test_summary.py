"""What a run comes to: the sentence, the exit status, the counts."""

import subprocess
import sys
from dataclasses import replace

import pytest

from optbench.errors import EXIT_NOTHING_RAN, NothingToRun, OptbenchError
from optbench.runs.results import WITH_DTYPE, WITH_TORCH, Measurement, Result
from optbench.runs.summary import Rules, count, summarise

OURS = frozenset({"reference", "foreach", "fused"})
RULES = Rules(OURS, OURS | {"torch-forloop", "torch-fused"}, frozenset({"opt.bit_exact"}))
FOREIGN = "mine.py:Mine"


def result(law="opt.layouts", implementation="fused", verdict="pass", judged=True, **fields):
    given = {"level": "math", "subject": "adam", "backend": "x", "case": "strided", "comparisons": 7, **fields}
    return Result(law=law, implementation=implementation, verdict=verdict, judged=judged, **given)


def measurement(implementation="fused", **fields):
    where = {"subject": "adam", "backend": "x", "workload": "1x16M", "device": "cpu", "dtype": "float32"}
    given = {**where, "judged": True, "median_s": 1e-3, "baseline": "torch-fused", **fields}
    return Measurement(implementation=implementation, **given)


def test_all_kept():
    rows = [result(implementation=name, law=law) for name in sorted(OURS) for law in ("opt.layouts", "opt.pure")]
    summary = summarise(rows, RULES)
    assert summary.sentence == "OK: our 3 keep all 2 laws in 2 cases."
    assert (summary.exit_status, summary.laws, summary.cases) == (0, 2, 2)


def test_one_implementation_one_law():
    assert summarise([result()], RULES).sentence == "OK: fused keeps opt.layouts in 1 case."


def test_context_is_told_and_changes_nothing():
    known = result(implementation="torch-fused", judged=False, verdict="fail", deviation="D-007")
    new = result(law="opt.pure", implementation="torch-fused", judged=False, verdict="crash")
    summary = summarise([result(), known, new], RULES)
    assert summary.exit_status == 0
    assert summary.sentence.endswith("Context: torch-fused breaks opt.pure and opt.layouts (known, D-007).")
    partly = [result(), known, replace(known, case="transposed", deviation=None)]
    assert summarise(partly, RULES).sentence.endswith("Context: torch-fused breaks opt.layouts.")


@pytest.mark.parametrize("verdict", ["fail", "error", "crash", "xpass"])
def test_a_judged_break_names_law_case_and_message(verdict):
    rows = [result(case="contiguous"), result(verdict=verdict, message="exp_avg is\noff")]
    summary = summarise(rows, RULES)
    assert summary.exit_status == 1
    assert summary.sentence == (
        "BROKEN: fused breaks opt.layouts in 1 of 2 cases; first: adam opt.layouts[strided]: exp_avg is off."
    )


def test_every_broken_law_is_named():
    broken = result(verdict="fail")
    rows = [broken, replace(broken, law="opt.pure"), replace(broken, implementation="foreach")]
    sentence = summarise(rows, RULES).sentence
    assert "fused breaks opt.layouts in 1 of 1 case and opt.pure in 1 of 1 case; foreach breaks opt.layouts" in sentence


def test_expected_failures_are_told_and_never_counted_as_kept():
    failing = [result("opt.pure", FOREIGN, "xfail", case=case) for case in "ab"]
    rows = [result(implementation=FOREIGN), result("opt.shapes", FOREIGN)]
    assert summarise([*rows, *failing], RULES).sentence == (
        "OK: mine.py:Mine keeps 2 of 3 laws in 4 cases and breaks opt.pure in 2 cases as expected."
    )
    summary = summarise(failing, RULES)
    assert (summary.sentence, summary.exit_status) == ("OK: mine.py:Mine breaks opt.pure in 2 cases as expected.", 0)
    ours = [result(implementation=name, verdict="xfail") for name in sorted(OURS)]
    assert summarise(ours, RULES).sentence == "OK: our 3 break opt.layouts in 3 cases as expected."


@pytest.mark.parametrize("verdict", ["precision", "xfail", "skip"])
def test_verdicts_that_break_nothing(verdict):
    summary = summarise([result(case="other"), result(verdict=verdict, comparisons=verdict != "skip")], RULES)
    assert summary.exit_status == 0
    assert ("Precision is lost by fused in 1 case." in summary.sentence) == (verdict == "precision")


def test_torch_is_judged_when_named():
    assert summarise([result(implementation="torch-fused", verdict="fail")], RULES).exit_status == 1


@pytest.mark.parametrize("judged", [True, False])
def test_foreign_code_is_graded_as_a_drop_in(judged):
    rows = [result(implementation=FOREIGN), result("opt.version", FOREIGN, "fail", judged, level="torch")]
    summary = summarise(rows, RULES)
    assert summary.exit_status == 0
    assert summary.sentence == (
        "OK: mine.py:Mine keeps opt.layouts in 1 case. "
        "Drop-in for torch.optim: 0 of 1 law (not opt.version; --require torch makes that count)."
    )


def test_what_was_not_asked_is_told_with_the_way_to_ask():
    reasons = (f"a tensor lr {WITH_TORCH}", f"capturable {WITH_TORCH}", f"complex parameters {WITH_DTYPE}", "why")
    skips = [result("opt.oracle", FOREIGN, "skip", message=reason) for reason in reasons]
    assert summarise([result(implementation=FOREIGN), *skips], RULES).sentence == (
        "OK: mine.py:Mine keeps opt.layouts in 1 case. "
        "Not asked: a tensor lr and capturable (--require torch) and complex parameters (--dtype)."
    )


def test_grades_alone_are_no_empty_run():
    rows = [result("opt.version", FOREIGN, "fail", False, level="torch")]
    assert summarise(rows, RULES).sentence == (
        "OK: only grades were asked for, which nothing can break. "
        "Drop-in for torch.optim: 0 of 1 law (not opt.version; --require torch makes that count)."
    )
    with pytest.raises(NothingToRun, match=r"could run: why\.$"):
        summarise([result("opt.version", FOREIGN, "skip", False, level="torch", message="why")], RULES)


def test_what_it_inherits_from_torch_makes_nobody_less_of_a_drop_in():
    known = result("opt.params", FOREIGN, "fail", False, level="torch", deviation="D-057")
    rows = [result(implementation=FOREIGN), known, replace(known, law="opt.version", deviation=None)]
    assert summarise(rows, RULES).sentence.endswith("1 of 2 laws (not opt.version; --require torch makes that count).")


def test_foreign_code_has_to_be_a_drop_in_where_that_is_required():
    rows = [result(implementation=FOREIGN), result("opt.version", FOREIGN, "fail", level="torch")]
    assert summarise(rows, replace(RULES, require_torch=True)).exit_status == 1
    assert summarise([result("opt.pure", FOREIGN, "fail", level="state")], RULES).exit_status == 1


def test_our_tiers_are_judged_on_every_level():
    assert summarise([result("opt.version", "fused", "fail", level="torch")], RULES).exit_status == 1


def test_a_grade_breaks_nothing():
    summary = summarise([result(), result("opt.bit_exact", verdict="fail")], RULES)
    assert summary.exit_status == 0 and summary.cells["opt.bit_exact", "fused"].symbol == "~"
    assert "only grades" in summarise([result("opt.bit_exact", verdict="precision")], RULES).sentence


def test_no_comparison_is_no_success():
    with pytest.raises(OptbenchError, match="passed without a comparison") as caught:
        summarise([result(comparisons=0)], RULES)
    assert caught.value.exit_status == 4
    expected = replace(RULES, expected=("opt.layouts", "opt.pure", "opt.bit_exact"))
    summary = summarise([result()], expected)
    assert summary.exit_status == 1 and summary.sentence == "BROKEN: opt.pure made no comparison."
    rows = [result(), result("opt.pure", verdict="skip", comparisons=0)]
    alone = replace(expected, ours=frozenset(("fused",)))
    assert summarise(rows, alone).sentence == "BROKEN: opt.pure made no comparison."
    # One tier alone may refuse what a law is about.
    assert summarise(rows, expected).exit_status == 0
    elsewhere = replace(RULES, expected=("opt.layouts",), elsewhere=frozenset(("opt.pure",)))
    assert summarise(rows, elsewhere).exit_status == 0


def test_what_others_lack_is_not_broken():
    lacking = result("opt.pure", FOREIGN, "skip", comparisons=0, message="no such option: x")
    rows = [result(implementation=FOREIGN), lacking]
    assert summarise(rows, RULES).sentence == "OK: mine.py:Mine keeps opt.layouts in 1 case."


def test_nothing_ran():
    with pytest.raises(NothingToRun, match="nothing was selected"):
        summarise([], RULES)
    rows = [result(verdict="skip", comparisons=0, message="no such option: lr"), result(judged=False)]
    with pytest.raises(NothingToRun, match="could run: no such option: lr") as caught:
        summarise(rows, RULES)
    assert caught.value.exit_status == EXIT_NOTHING_RAN
    with pytest.raises(NothingToRun, match="nothing could be timed: too large"):
        summarise([], RULES, [measurement(median_s=None, refused="too large")])


def test_speed_is_told_of_judged_implementations():
    rows = [
        measurement("reference", ratio_to_baseline=0.5, verdict="slower"),
        measurement(ratio_to_baseline=1.314, verdict="faster"),
        measurement(ratio_to_baseline=9.0, workload="1000x64"),
        measurement("torch-fused", judged=False, ratio_to_baseline=1.0),
    ]
    assert summarise([], RULES, rows).sentence == (
        "OK: 4 measurements on 2 workloads. Speed on 1x16M: fused 1.31x torch-fused (faster)."
    )
    assert summarise([result()], RULES, rows).sentence.endswith("Speed on 1x16M: fused 1.31x torch-fused (faster).")


def test_of_several_algorithms_the_slowest_and_the_fastest_are_told() -> None:
    rows = [
        measurement(subject=name, ratio_to_baseline=ratio, implementation=implementation)
        for name, ratio, implementation in (
            ("adam", 1.02, "fused"), ("adam", 0.4, "foreach"), ("rprop", 16.4, "fused"), ("sgd", 0.97, "foreach"),
        )
    ]  # fmt: skip
    told = summarise([], RULES, rows).sentence
    assert told.endswith("Speed on 1x16M: 0.97x torch-fused (sgd) to 16.40x torch-fused (rprop).")


@pytest.mark.parametrize("with_results", [True, False])
def test_a_wrong_result_on_a_workload_breaks_the_run(with_results):
    refused = "it does not match the oracle on this workload: step 2, exp_avg: scaled error 144 (cap 8)"
    rows = [measurement(median_s=None, refused=refused), measurement("torch-fused", judged=False)]
    summary = summarise([result()] if with_results else [], RULES, rows)
    assert summary.exit_status == 1
    assert summary.sentence.startswith("BROKEN: fused could not be timed on 1x16M: it does not match the oracle")
    context = [measurement(), replace(rows[0], implementation="torch-fused", judged=False)]
    assert summarise([], RULES, context).exit_status == 0


def test_cells_count():
    rows = [result(error_ulp=1.5), result(case="b", error_ulp=0.5), result(case="c", verdict="fail", deviation="D-001")]
    cell = count(rows)["opt.layouts", "fused"]
    assert (cell.ran, cell.broken, cell.comparisons, cell.error_ulp) == (3, 1, 21, 1.5)
    assert (cell.known, cell.symbol) == ("D-001", "✗")
    assert count([result(verdict="skip")])["opt.layouts", "fused"].symbol == "–"
    assert count([result(), result(verdict="precision")])["opt.layouts", "fused"].symbol == "~"
    assert count([result()])["opt.layouts", "fused"].symbol == "✓"


def test_importing_it_needs_no_torch():
    code = "import optbench.runs.summary, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
