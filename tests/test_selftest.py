"""Every planted fault is caught by the law that should, with the right quantity named; controls pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from optbench import laws, selftest
from optbench.errors import OptbenchError
from optbench.selftest.faults import FAULTS, Fault
from optbench.selftest.mutate import implementation


def test_all_faults_are_caught_and_all_controls_pass() -> None:
    outcomes = list(selftest.run())
    assert [outcome.fault for outcome in outcomes if not outcome.ok] == []
    assert len([outcome for outcome in outcomes if outcome.expected]) == len(FAULTS) >= 15


def test_every_law_but_the_grades_has_a_fault_that_it_catches() -> None:
    catching = {fault.caught_by for fault in FAULTS}
    # What is about other devices than a CPU has none to catch here.
    here = {name for name, entry in laws.entries().items() if not entry.law.device}
    assert catching == {name for name in here if not laws.entries()[name].law.grade}


def test_a_patch_that_no_longer_applies_is_an_error(tmp_path: Path) -> None:
    fault = Fault("gone", "gone", "adam", "reference", "opt.oracle", "", patches=(("no such line", ""),))
    with pytest.raises(OptbenchError, match="no longer applies"):
        implementation(fault, tmp_path)
