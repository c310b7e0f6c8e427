"""Verdicts as Markdown: what is broken stands out, and what nobody was asked of a law is left out."""

from __future__ import annotations

from typing import Any

from optbench.reports.verdicts import render


def row(verdict: str, law: str = "opt.pure", subject: str = "sgd", **more: Any) -> dict[str, Any]:
    return {"law": law, "subject": subject, "implementation": "mine", "judged": True, "verdict": verdict, **more}


def table(*rows: dict[str, Any]) -> list[str]:
    return render({"results": list(rows)}).splitlines()[2:]


def test_a_line_a_law_and_a_column_an_algorithm() -> None:
    adam = [row("fail", subject="adam"), row("pass", subject="adam")]
    assert table(row("pass"), row("pass"), *adam, row("error", "opt.hooks")) == [
        "| law | adam | sgd |", "|---|---|---|", "| opt.hooks | – | ✗ 1/1 |", "| opt.pure | ✗ 1/2 | ✓ 2 |",
    ]  # fmt: skip


def test_what_is_known_of_torch_is_in_parentheses_unless_something_else_is_broken() -> None:
    known = row("fail", deviation="D-010")
    assert table(known, row("pass"))[-1] == "| opt.pure | (✗) 1/2 |"
    assert table(known, row("crash", deviation=None))[-1] == "| opt.pure | ✗ 2/2 |"


def test_precision_and_what_was_skipped() -> None:
    assert table(row("precision"), row("pass"), row("skip", "opt.graph"))[2:] == ["| opt.pure | ~ 1/2 |"]


def test_implementations_that_are_context_have_no_table() -> None:
    assert render({"results": [row("fail") | {"judged": False}]}) == ""


def test_what_foreign_code_inherits_from_torch_is_told_though_it_is_not_held_against_it() -> None:
    inherited = row("fail", deviation="D-010", judged=False, backend="foreign")
    assert table(inherited, row("pass"))[-1] == "| opt.pure | (✗) 1/2 |"
    assert table(inherited | {"level": "torch"}, row("pass"))[-1] == "| opt.pure | ✓ 1 |"
    # What nobody asks of foreign code unless it stands in for torch.optim.
    assert table(inherited | {"deviation": None}, row("pass"))[-1] == "| opt.pure | ✓ 1 |"


def test_a_grade_is_no_verdict() -> None:
    laws = {"opt.pure": {"grade": False}, "opt.bit_exact": {"grade": True}}
    rows = [row("pass"), row("precision", "opt.bit_exact")]
    assert "opt.bit_exact" not in render({"results": rows, "laws": laws})
