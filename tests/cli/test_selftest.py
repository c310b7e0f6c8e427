"""What `optbench selftest` writes, also where it is ended early."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import optbench.selftest
from optbench.cli.app import run
from optbench.conformance import Progress
from optbench.selftest import Outcome

CAUGHT = Outcome("sgd/a", "drop-term", "", "", "sgd", "reference", "", "caught", "opt.oracle")
LOST = Outcome("sgd/b", "drop-term", "", "", "sgd", "reference", "", "survived")


def test_ctrl_c_loses_nothing_that_was_seen(monkeypatch, capsys):
    def ended(suite: str, seed: int, progress: Any, *selection: str) -> Iterator[Outcome]:
        for count, outcome in enumerate((CAUGHT, LOST), 1):
            progress(Progress(count, 7, outcome.fault))
            yield outcome
        raise KeyboardInterrupt

    monkeypatch.setattr(optbench.selftest, "run", ended)
    assert run(["selftest", "--format", "json"]) == 130
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert [outcome["fault"] for outcome in told["outcomes"]] == ["sgd/a", "sgd/b"] and not told["ok"]
    assert told["sentence"].startswith("INTERRUPTED: 2 of 7 faults and controls were looked at; 1 are not")
    # A survivor is told at once: a run takes minutes.
    assert err == "sgd/b: survived\noptbench: interrupted.\n"


def test_ctrl_c_before_the_first_outcome_is_an_interrupt(monkeypatch, capsys):
    def ended(*arguments: Any) -> Iterator[Outcome]:
        raise KeyboardInterrupt
        yield CAUGHT

    monkeypatch.setattr(optbench.selftest, "run", ended)
    assert run(["selftest"]) == 130
    assert capsys.readouterr() == ("", "optbench: interrupted.\n")
