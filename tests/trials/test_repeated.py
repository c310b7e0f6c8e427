"""A tensor that repeats a pattern is right where its pattern is, and one that ends too soon is found."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from optbench.case import Case
from optbench.checking import Task, check
from optbench.law import Scope
from optbench.laws import opt_shapes
from optbench.registry import IMPLEMENTATIONS, Implementation
from optbench.runs.results import Result
from optbench.subjects import load
from optbench.trials import repeated


def case(subject: str, dtype: str = "float32") -> Case:
    listed = opt_shapes.cases(load(subject), Scope("full", "cuda", (dtype,)))
    found = next(case for case in listed if case.variant.startswith("repeated"))
    return Case(**{**vars(found), "device": "cpu"})


def result(subject: str, item: Implementation, dtype: str = "float32") -> Result:
    return check(Task("opt.shapes", case(subject, dtype), item.name, True, ""), item)


@pytest.mark.parametrize("name", ["reference", "foreach", "fused", "torch-forloop"])
@pytest.mark.parametrize("subject", ["adam", "sgd", "rprop"])
def test_what_is_right_is_right_as_often_as_it_is_repeated(
    monkeypatch: pytest.MonkeyPatch, subject: str, name: str
) -> None:
    monkeypatch.setattr(repeated, "ELEMENTS", 3 * 4099 + 17)
    monkeypatch.setattr(repeated, "_ROWS", 2)
    seen = result(subject, IMPLEMENTATIONS[name])
    assert (seen.verdict, seen.message) == ("pass", "")


class Ends(torch.optim.SGD):
    """Leaves what lies beyond 8192 elements as it was."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        (param,) = self.param_groups[0]["params"]
        kept = param[8192:].clone()
        super().step()
        param[8192:] = kept


def test_a_step_that_ends_too_soon_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeated, "ELEMENTS", 3 * 4099 + 17)
    item = Implementation("planted", "planted", target="planted:Ends", made=lambda name, submodule: Ends)
    seen = result("sgd", item)
    assert seen.verdict == "fail" and "param from element 0 on" in seen.message


def test_without_memory_it_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeated, "free_bytes", lambda device: 3 << 30)
    seen = result("adam", IMPLEMENTATIONS["foreach"])
    assert seen.verdict == "skip" and seen.message == "it takes 48 GiB of memory, and 3 are free"


@pytest.mark.slow
def test_more_elements_than_32_bits_count() -> None:
    seen = result("sgd", IMPLEMENTATIONS["fused"], "bfloat16")
    if seen.verdict == "skip":
        pytest.skip(seen.message)
    assert seen.verdict == "pass", seen.message


def test_the_quick_suite_and_the_cpu_leave_it_out() -> None:
    for scope in (Scope("quick", "cuda"), Scope("full", "cpu")):
        assert not any(case.variant for case in opt_shapes.cases(load("adam"), scope))
