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
    variant = opt_shapes.BEYOND if dtype == "bfloat16" else opt_shapes.MILLION
    found = next(case for case in listed if case.variant == variant)
    return Case(**{**vars(found), "device": "cpu"})


def result(subject: str, item: Implementation, dtype: str = "float32") -> Result:
    return check(Task("opt.shapes", case(subject, dtype), item.name, True, ""), item)


@pytest.mark.parametrize("name", ["reference", "foreach", "fused", "torch-forloop"])
@pytest.mark.parametrize("subject", ["adam", "sgd", "rprop"])
def test_what_is_right_is_right_as_often_as_it_is_repeated(
    monkeypatch: pytest.MonkeyPatch, subject: str, name: str
) -> None:
    monkeypatch.setattr(repeated, "_ROWS", 100)
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


def test_a_step_that_ends_too_soon_is_found() -> None:
    item = Implementation("planted", "planted", target="planted:Ends", made=lambda name, submodule: Ends)
    seen = result("sgd", item)
    assert seen.verdict == "fail" and "param from element 0 on" in seen.message


def test_without_memory_it_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeated, "free_bytes", lambda device: 3 << 30)
    seen = result("adam", IMPLEMENTATIONS["foreach"], "bfloat16")
    assert seen.verdict == "skip" and seen.message == "it takes 24 GiB of memory, and 3 are free"


def test_nothing_is_repeated_in_an_interpreter() -> None:
    assert result("sgd", IMPLEMENTATIONS["fused-triton"]).verdict == "skip"


@pytest.mark.slow
def test_more_elements_than_32_bits_count() -> None:
    seen = result("sgd", IMPLEMENTATIONS["fused"], "bfloat16")
    if seen.verdict == "skip":
        pytest.skip(seen.message)
    assert seen.verdict == "pass", seen.message


def test_2_to_the_31_is_for_the_full_suite_on_a_device() -> None:
    for scope, repeats in ((Scope("quick", "cuda"), 1), (Scope("full", "cpu"), 1), (Scope("full", "cuda"), 2)):
        variants = [case.variant for case in opt_shapes.cases(load("adam"), scope)]
        assert sum(variant.startswith("repeated") for variant in variants) == repeats
