"""Running laws: what is judged, what is context, and that planted mistakes are caught and named."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from optbench import conformance, laws, planning, registry, subjects
from optbench.case import Case
from optbench.checking import Task, check
from optbench.errors import UsageError
from optbench.planning import Plan
from optbench.registry import Implementation

EVERYONE = [subjects.load(name) for name in subjects.NAMES]


class DoesNothing(torch.optim.SGD):
    def step(self, closure=None):  # type: ignore[no-untyped-def]
        return None


class ScaledAdam(torch.optim.Adam):
    """Adam whose lr is a tenth of a percent too large."""

    def __init__(self, params, lr=1e-3, **options):  # type: ignore[no-untyped-def]
        super().__init__(params, lr=lr * 1.001, **options)


def _check(cls: type, law: str, subject: str) -> list[str]:
    item = Implementation("planted", "planted", made=lambda name, submodule: cls)
    entry = laws.entries()[law]
    plan = Plan(subject)
    results = [
        check(Task(law, case, "planted", True, ""), item)
        for case in planning.cases(entry, subjects.load(subject), plan)
        if not case.options.get("capturable")
    ]
    return [result.verdict for result in results]


def test_an_optimizer_that_does_nothing_is_caught() -> None:
    verdicts = _check(DoesNothing, "opt.oracle", "sgd")
    assert verdicts.count("pass") == 0


def test_a_learning_rate_in_the_fourth_digit_is_caught() -> None:
    assert "fail" in _check(ScaledAdam, "opt.oracle", "adam")


def _concerned(law: str, subject: subjects.Subject) -> bool:
    if law.startswith("lbfgs."):
        return subject.name == "lbfgs"
    if law == "opt.complex":
        return any(dtype.startswith("complex") for dtype in subject.dtypes)
    if law == "opt.differentiable":
        return subject.differentiable
    if law == "opt.amp_skip":
        return not subject.closure
    if law == "opt.graph":
        return "capturable" in subject.defaults
    return True


@pytest.mark.parametrize("law", sorted(laws.entries()))
def test_every_law_makes_comparisons_in_every_case(law: str) -> None:
    entry = laws.entries()[law]
    asked = 0
    # Nothing is slower than a for loop, which the order of paths could compare it with.
    tier = "foreach" if law == "opt.tier_order" else "reference"
    for subject in EVERYONE:
        if subject.kind != entry.law.kind:
            continue
        found = planning.cases(entry, subject, Plan(subject.name))
        # Some laws are about few of their kind, those of schedulers and averagers mostly.
        assert found or subject.kind != "optimizer" or not _concerned(law, subject), subject.name
        asked += len(found)
        results = [check(Task(law, case, tier, True, "")) for case in found[:: max(1, len(found) // 4)]]
        for result in results:
            assert result.comparisons > 0 or result.verdict == "skip", result.case
            assert not result.broken, result.message
        assert not results or entry.law.device or any(result.comparisons for result in results), subject.name
    assert asked


@pytest.mark.parametrize("subject", EVERYONE, ids=lambda subject: subject.name)
def test_no_law_asks_for_options_that_foreign_code_lacks(subject: subjects.Subject) -> None:
    needy = [(option.name,) for option in subject.options if option.needs]
    for taken in ((), ("lr",), *needy):
        limited = subject.limited(taken)
        for entry in (entry for entry in laws.select() if entry.law.kind == subject.kind):
            for case in entry.cases(limited, Plan(subject.name).scope):
                assert set(case.options) <= {*limited.defaults, *subject.base}, (entry.law.id, case.id)


def test_case_ids_name_one_case_each_and_are_free_of_blanks() -> None:
    for subject in EVERYONE:
        for entry in (entry for entry in laws.select() if entry.law.kind == subject.kind):
            by_id: dict[str, Case] = {}
            for case in entry.cases(subject, Plan(subject.name).scope):
                assert by_id.setdefault(case.id, case) == case, entry.law.id
            assert not any(set(text) & set(" ()'") for text in by_id)


def test_a_whole_case_name_selects_that_case_only() -> None:
    entry = laws.entries()["opt.layouts"]
    for case in planning.cases(entry, subjects.load("adam"), Plan("adam")):
        chosen = planning.tasks(
            Plan("adam", ("reference",), keyword=f"opt.layouts[{case.id}]"), registry.select(["reference"])
        )
        assert [task.case.id for task in chosen] == [case.id]


def test_the_reproduce_command_names_everything_that_decides() -> None:
    plan = Plan("sgd", ("reference",), dtypes=("float32",), suite="full", seed=7, keyword="opt.version")
    task = planning.tasks(plan, registry.select(["reference"]))[0]
    for part in (
        "--algo sgd",
        "--impl reference",
        f"-k 'opt.version[{task.case.id}]'",
        "--dtype float32",
        "--suite full",
        "--seed 7",
    ):
        assert part in task.reproduce


def test_ours_are_judged_when_nothing_is_named_and_only_the_named_otherwise() -> None:
    everything = registry.select([])
    assert [item.name for item in everything if registry.judged(item, [])] == [
        item.name for item in everything if item.ours
    ]
    named = ["torch-fused"]
    assert [registry.judged(item, named) for item in registry.select(named)] == [True]


def test_an_exception_is_an_error_verdict_with_its_message() -> None:
    class Raises(torch.optim.SGD):
        def step(self, closure=None):  # type: ignore[no-untyped-def]
            raise ArithmeticError("planted")

    item = Implementation("planted", "planted", made=lambda name, submodule: Raises)
    case = next(iter(laws.entries()["opt.shapes"].cases(subjects.load("sgd"), Plan("sgd").scope)))
    result = check(Task("opt.shapes", case, "planted", True, ""), item)
    assert result.verdict == "error"
    assert result.message == "ArithmeticError: planted"


def test_documented_refusals_are_skipped_with_the_reason() -> None:
    results = list(conformance.run(Plan("adam", ("torch-foreach",), laws=("opt.pure",))))
    skipped = [result for result in results if result.verdict == "skip"]
    assert skipped and all(result.message for result in skipped)


def test_coverage_is_whole_and_counts_what_really_ran() -> None:
    plan = Plan("sgd", ("reference",), laws=("opt.oracle",))
    results = list(conformance.run(plan))
    whole = conformance.coverage(plan, results)["sgd"]
    assert whole["covered"] == whole["total"] > 100
    part = conformance.coverage(plan, results[:3])["sgd"]
    assert 0 < part["covered"] < part["total"]


def test_what_an_earlier_run_has_is_not_run_again() -> None:
    plan = Plan("sgd", ("reference",), laws=("opt.version",))
    first = list(conformance.run(plan))
    rest = list(conformance.run(plan, done=lambda law, subject, name, case: case != first[0].case))
    assert [result.case for result in rest] == [first[0].case]


def test_progress_ends_at_the_total() -> None:
    seen: list[conformance.Progress] = []
    list(conformance.run(Plan("sgd", ("reference",), laws=("opt.version",)), seen.append))
    assert [item.done for item in seen] == list(range(1, len(seen) + 1))
    assert seen[-1].done == seen[-1].total


def test_a_dtype_that_an_algorithm_does_not_take_is_named() -> None:
    with pytest.raises(UsageError, match="complex64: muon takes float32"):
        list(conformance.run(Plan("muon", ("reference",), dtypes=("complex64",))))


def test_an_expression_that_selects_nothing_is_named() -> None:
    with pytest.raises(UsageError, match="nonsense"):
        list(conformance.run(Plan("sgd", ("reference",), keyword="nonsense")))


def test_a_file_of_somebody_elses_is_judged_in_a_process_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "import torch\n"
        "class Mine(torch.optim.Optimizer):\n"
        "    def __init__(self, params, lr=1e-3):\n"
        "        super().__init__(params, {'lr': lr})\n"
        "    @torch.no_grad()\n"
        "    def step(self, closure=None):\n"
        "        for group in self.param_groups:\n"
        "            for p in group['params']:\n"
        "                if p.grad is not None:\n"
        "                    p -= group['lr'] * p.grad\n",
        encoding="utf-8",
    )
    results = list(conformance.run(Plan("sgd", (f"{path}:Mine",), laws=("opt.oracle", "opt.shapes"))))
    verdicts = {result.verdict for result in results}
    assert verdicts == {"pass", "skip"}
    assert any("no such option: " in result.message for result in results if result.verdict == "skip")
    assert all(result.judged for result in results)


@pytest.mark.parametrize("law", list(laws.entries()))
def test_the_quick_suites_cases_are_the_same_for_every_seed(law: str) -> None:
    entry = laws.entries()[law]
    for subject in (each for each in map(subjects.load, subjects.NAMES) if each.kind == entry.law.kind):
        first, other = ([case.id for case in entry.cases(subject, Plan(seed=seed).scope)] for seed in (0, 7))
        assert first == other, subject.name
