"""Faults are planted where they should be, and caught; what survives, and what is listed for nothing, is told."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from optbench import laws, subjects
from optbench.errors import OptbenchError, UsageError
from optbench.selftest import Outcome, asking, equivalents, necessity, report
from optbench.selftest.by_hand import FAULTS
from optbench.selftest.equivalents import Equivalent
from optbench.selftest.fault import Fault
from optbench.selftest.mutate import implementation
from optbench.selftest.operators import catalogue, sources
from optbench.selftest.operators.catalogue import Mutant

run = importlib.import_module("optbench.selftest.run")

# Of each operator, in each way that there is, a mutant that dies soon: its unit, and how its id begins.
MUTANTS = [
    ("sgd", "reference", "sgd/reference/drop-term@update:momentum_buffer.mul_(momentum)=>momentum_buffer"),
    ("sgd", "reference", "sgd/reference/swap-order@update:iffirst_step:"),
    ("sgd", "foreach", "sgd/foreach/off-by-one@_sgd:1-group['dampening']=>2-group['dampening']"),
    ("sgd", "foreach", "sgd/foreach/fourth-digit@_sgd:1-group['dampening']=>1.00048828125-group['dampening']"),
    ("sgd", "foreach", "sgd/foreach/dead-option@_sgd:ifgroup['maximize']:"),
    ("sgd", "reference", "sgd/reference/dead-check@SGD.__init__:ifvalue<0.0:"),
    ("constantlr", "reference", "lr_scheduler._base/reference/wrong-group@Schedule._closed:self.base_lrs[index]"),
    ("sgd", "reference", "sgd/reference/stale-state@SGD._entries:"),
    ("sgd", "reference", "sgd/reference/shared-storage@load_state_dict"),
    ("sgd", "reference", "sgd/reference/wrong-dtype@param"),
    ("sgd", "reference", "sgd/reference/skipped-tail@update:for"),
    ("sgd", "reference", "sgd/reference/mutated-input@update:-grad=>grad.neg_()"),
    ("sgd", "fused", "sgd/fused/drop-term@update:lr*direction=>lr"),
    ("exponentiallr", "fused", "exponentiallr/fused/drop-term@rate:"),
    ("swa", "reference", "swa/reference/off-by-one@n_averaged"),
    ("swa", "reference", "swa/reference/skipped-tail@batches of update_bn"),
]


def found(subject: str, tier: str, begins: str) -> Mutant:
    return next(mutant for mutant in catalogue.unit(subject, tier) if mutant.id.startswith(begins))


@pytest.mark.parametrize(("subject", "tier", "begins"), MUTANTS)
def test_a_mutant_of_each_operator_is_caught(subject: str, tier: str, begins: str) -> None:
    outcome, killer = asking.generated(subject, tier, found(subject, tier, begins).id, False, 0, ())
    assert outcome.status == "caught" and outcome.quantity
    assert killer == (outcome.subject, outcome.caught_by, outcome.case)


def test_every_operator_has_such_a_mutant() -> None:
    tried = {found(*key).operator for key in MUTANTS}
    assert tried == {mutant.operator for subject in ("sgd", "steplr", "swa") for mutant in whole(subject)}


def whole(subject: str) -> Iterator[Mutant]:
    for tier in catalogue.TIERS:
        yield from catalogue.unit(subject, tier)


def test_a_planted_mutant_changes_the_code_and_leaves_nothing_behind() -> None:
    from optbench.reference import sgd

    mutant = found("sgd", "reference", "sgd/reference/drop-term@update:-grad=>grad")
    assert mutant.source is not None
    before = sgd.update.__code__
    with sources.planted(mutant.source):
        assert sgd.update.__code__.co_code != before.co_code
    assert sgd.update.__code__ is before


def test_every_mutant_of_a_source_can_be_planted() -> None:
    for subject, tier in (("sgd", "reference"), ("cycliclr", "foreach"), ("nadam", "fused"), ("swa", "reference")):
        for mutant in catalogue.unit(subject, tier):
            if mutant.source:
                with sources.planted(mutant.source):
                    pass


def test_ids_are_unique_without_blanks_and_the_same_every_time() -> None:
    ids = [mutant.id for subject in subjects.NAMES for mutant in whole(subject)]
    assert len(ids) == len(set(ids)) > 5000
    for module in ("optbench.reference.adam", "optbench.impls.fused.adam"):
        once, again = (sources.mutants(module, "adam/x", {}) for _ in range(2))
        assert [mutant.id for mutant in once] == [mutant.id for mutant in again]
        assert not any(letter.isspace() for mutant in once for letter in mutant.id)


def in_process(worker: Any, unit: Any, fault: str, function: str, *arguments: Any) -> Any:
    return getattr(asking, function)(*arguments)


def planted(monkeypatch: pytest.MonkeyPatch, wrap: Callable[[Any], Any]) -> str:
    """A mutant that stands alone in the catalogue of sgd's reference tier."""
    mutant = Mutant("sgd/reference/drop-term@planted", "drop-term", ("sgd",), "reference", wrap=wrap)
    monkeypatch.setattr(catalogue, "unit", lambda subject, tier: (mutant,) if tier == "reference" else ())
    monkeypatch.setattr(run, "_call", in_process)
    monkeypatch.setattr(run, "FAULTS", ())
    return mutant.id


def nothing(cls: Any) -> Any:
    return type(cls)("Same", (cls,), {})


def test_a_survivor_fails_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    name = planted(monkeypatch, nothing)
    outcomes = list(run.run(algo="sgd"))
    assert [outcome.status for outcome in outcomes] == ["survived", "passes"]
    told = report.Report(outcomes)
    assert not told.ok and told.sentence().startswith("BROKEN: 0 of 1 faults are caught")
    assert any(name in line and "survived" in line for line in told.lines(200))


def test_a_run_that_is_ended_early_tells_what_it_saw_and_is_not_ok() -> None:
    caught = Outcome("sgd/a", "drop-term", "", "", "sgd", "reference", "", "caught", "opt.oracle")
    told = report.Report([caught], whole=False, planned=7)
    assert not told.ok and not told.to_json()["ok"]
    assert told.sentence() == ("INTERRUPTED: 1 of 7 faults and controls were looked at; 0 are not as they should be.")
    lost = replace(caught, fault="sgd/b", status="survived", caught_by="")
    assert (
        report.Report([caught, lost], whole=False, planned=7)
        .sentence()
        .endswith("1 are not as they should be; first: sgd/b.")
    )


def test_a_survivor_that_is_listed_is_equivalent(monkeypatch: pytest.MonkeyPatch) -> None:
    planted(monkeypatch, nothing)
    monkeypatch.setattr(equivalents, "listed", lambda: (Equivalent("sgd/*@planted", "it does nothing"),))
    outcomes = list(run.run("full", algo="sgd", keyword="planted"))
    assert next((outcome.status, outcome.what) for outcome in outcomes) == ("equivalent", "it does nothing")
    assert report.Report(outcomes, whole=False).ok
    # The quick suite does not ask every law of what is known to be seen by none.
    with pytest.raises(UsageError):
        run.plan("quick", "sgd")


def test_what_is_listed_and_caught_after_all_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    name = planted(monkeypatch, partial(_never_steps))
    monkeypatch.setattr(equivalents, "listed", lambda: (Equivalent(name, "it does nothing"),))
    told = report.Report(list(run.run("full", algo="sgd", keyword="planted")), whole=False)
    assert told.ok and told.outcomes[0].status == "caught"
    assert any(line.startswith("⚠ listed as equivalent, but caught") for line in told.lines(80))


def _never_steps(cls: Any) -> Any:
    return type(cls)("Never", (cls,), {"step": lambda self, closure=None: None})


def test_what_is_listed_and_no_mutant_any_more_is_told() -> None:
    table = (Equivalent("adam/*/gone@*", "it was so"), Equivalent("adam/*@update:*", "it is so"))
    assert equivalents.unmatched(["adam/reference/drop-term@update:a+b=>a"], table) == ["adam/*/gone@*"]
    caught = Outcome("a", "drop-term", "", "", "adam", "foreach", "", "caught", "opt.oracle")
    told = report.Report([caught], ["adam/*/gone@*"])
    assert any("no mutant any more: adam/*/gone@*" in line for line in told.lines(80))


def test_patterns_know_one_wildcard() -> None:
    assert Equivalent("a[0]*b?", "").covers("a[0]=>b?")
    assert not Equivalent("a[0]*b?", "").covers("a0=>bc")


def test_what_is_listed_is_a_mutant_and_has_an_argument() -> None:
    assert run.stale() == []
    assert all(len(item.because) > 20 for item in equivalents.listed())


def test_a_law_is_needed_where_it_alone_sees_a_fault() -> None:
    caught = Outcome("a", "by hand", "", "", "adam", "foreach", "opt.pure", "caught", "opt.pure", also_by=())
    seen = replace(caught, fault="b", caught_by="opt.oracle", also_by=("opt.groups",))
    asked = replace(caught, fault="c", caught_by="opt.shapes", also_by=None)
    needed = report.Report([caught, seen, asked]).needed
    assert needed["opt.pure"] == ["a"]
    assert needed["opt.oracle"] == needed["opt.shapes"] == []
    assert set(needed) == {name for name, entry in laws.entries().items() if not entry.law.grade}


def test_what_shows_a_law_to_be_needed_is_a_fault() -> None:
    witnesses = necessity.witnesses()
    units = ((subject, tier) for subject in subjects.NAMES for tier in catalogue.TIERS)
    known = {fault.id for fault in FAULTS} | {mutant.id for unit in units for mutant in catalogue.unit(*unit)}
    assert set(witnesses.values()) <= known


def test_each_law_is_shown_to_be_needed_or_cannot_be() -> None:
    cannot = necessity.not_shown()
    assert not cannot.keys() & necessity.witnesses().keys()
    assert cannot.keys() | necessity.witnesses().keys() == set(asking.expected_laws())
    # Why holds: there are cases where that device is only.
    assert all(laws.entries()[law].law.device for law in cannot)


def test_the_report_says_why_a_law_is_not_shown_to_be_needed() -> None:
    caught = Outcome("a", "by hand", "", "", "adam", "foreach", "opt.pure", "caught", "opt.pure", also_by=())
    lines = [line.split(maxsplit=2)[2] for line in report.Report([caught]).lines(200) if line.startswith("opt.graph ")]
    assert lines == [f"nothing: {necessity.not_shown()['opt.graph']}"]


@pytest.mark.slow
@pytest.mark.parametrize("law", sorted(necessity.witnesses()))
def test_without_the_law_its_fault_would_live(law: str) -> None:
    name = necessity.witnesses()[law]
    fault = next((fault for fault in FAULTS if fault.id == name), None)
    if fault is not None:
        outcome = asking.by_hand(name, True, 0)
    else:
        units = ((subject, tier) for subject in subjects.NAMES for tier in catalogue.TIERS)
        subject, tier = next(unit for unit in units if any(each.id == name for each in catalogue.unit(*unit)))
        outcome, _ = asking.generated(subject, tier, name, True, 0, ())
    assert (outcome.caught_by, outcome.also_by) == (law, ())


def test_the_report_fits_a_terminal() -> None:
    long = "adam/foreach/drop-term@_adam:" + "torch._foreach_mul_" * 6
    outcomes = [
        Outcome("control: foreach adam", "control", "", "", "adam", "foreach", "", "passes"),
        Outcome("x" * 50, "by hand", "", "", "adam", "foreach", "opt.oracle", "caught", "opt.oracle", "c", "q" * 60),
        Outcome(long, "drop-term", "", "", "adam", "foreach", "", "survived"),
    ]
    lines = list(report.Report(outcomes).lines(80))
    assert all(len(line) <= 80 for line in lines)
    assert any(line.startswith("drop-term") for line in lines)
    assert report.Report(outcomes).to_json()["schema"] == report.SCHEMA


def test_faults_by_hand_are_caught_in_processes_of_their_own() -> None:
    outcomes = list(run.run(algo="sgd,steplr", keyword="dampening-on-first or boundary-decays-twice"))
    assert {outcome.fault: outcome.status for outcome in outcomes} == {
        "sgd-dampening-on-first-step": "caught",
        "control: reference sgd": "passes",
        "step-boundary-decays-twice": "caught",
        "control: fused steplr": "passes",
    }


@pytest.mark.slow
def test_all_faults_by_hand_are_caught_and_all_controls_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "chosen", lambda mutants, suite, keyword="": [])
    outcomes = list(run.run())
    assert [outcome.fault for outcome in outcomes if not outcome.ok] == []
    assert len([outcome for outcome in outcomes if outcome.expected]) == len(FAULTS)


@pytest.mark.slow
def test_the_quick_suite_is_whole() -> None:
    told = report.Report(list(run.run()), run.stale())
    assert [outcome.fault for outcome in told.missed] == []


def test_every_law_but_the_grades_has_a_fault_that_it_catches() -> None:
    catching = {fault.caught_by for fault in FAULTS}
    assert catching == {name for name, entry in laws.entries().items() if not entry.law.grade and not entry.law.device}


def test_a_patch_that_no_longer_applies_is_an_error(tmp_path: Path) -> None:
    fault = Fault("gone", "gone", "adam", "reference", "opt.oracle", "", patches=(("no such line", ""),))
    with pytest.raises(OptbenchError, match="no longer applies"):
        implementation(fault, tmp_path)
