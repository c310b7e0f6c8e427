"""Figures without a clock: the same again and again, and each planted regression is seen by the one that should."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from optbench import registry, subjects
from optbench.errors import NothingToRun
from optbench.registry import Implementation
from optbench.runs import kept
from optbench.timing import steady

FILE = Path(__file__).parents[2] / "suites" / "steady" / "cpu.json"


def count(algo: str, implementation: Implementation, which: int = 0) -> dict[str, Any]:
    subject = subjects.load(algo)
    with steady.one_thread():
        return steady.measure(subject, implementation, steady.workloads(subject)[which]).to_json()


def wrapped(name: str, more: Callable[[Any], None]) -> Implementation:
    """One of ours whose optimizers do something more after every step, under its own name."""
    real = registry.find(name)

    def made(class_name: str, submodule: str) -> Any:
        class Planted(real.load(class_name, submodule)):  # type: ignore[misc]
            def step(self, closure: Any = None) -> Any:
                result = super().step(closure)
                more(self)
                return result

        return Planted

    return Implementation(name, "planted", module=real.module, ours=True, made=made)


def tensors(optimizer: Any) -> list[torch.Tensor]:
    return [param.detach() for group in optimizer.param_groups for param in group["params"]]


def nothing(optimizer: Any) -> None:
    pass


def an_extra_operation(optimizer: Any) -> None:
    torch.empty(0)


def an_extra_pass(optimizer: Any) -> None:
    torch._foreach_mul_(tensors(optimizer), 1.0)


def an_extra_launch(optimizer: Any) -> None:
    """The fused tier's own kernels, a second time: torch's dispatcher sees nothing of it."""
    optimizer._plan.run(optimizer, None)


def a_lost_table(optimizer: Any) -> None:
    optimizer._plan = None


def a_temporary(optimizer: Any) -> None:
    torch.empty(100_000)


def worse(algo: str, name: str, more: Callable[[Any], None]) -> set[str]:
    """The figures that the gate finds worse where something was planted."""
    plain, planted = count(algo, wrapped(name, nothing)), count(algo, wrapped(name, more))
    changes = kept.compare(kept.figures([plain]), kept.figures([planted]))
    return {change.figure for change in changes if change.fails}


@pytest.mark.parametrize("name", ["reference", "foreach", "fused"])
def test_nothing_planted_nothing_found(name: str) -> None:
    assert worse("adam", name, nothing) == set()


@pytest.mark.parametrize(
    ("name", "more", "figures"),
    [
        ("reference", an_extra_operation, {"dispatched_ops"}),
        ("foreach", an_extra_operation, {"dispatched_ops"}),
        ("fused", an_extra_operation, {"dispatched_ops"}),
        ("foreach", an_extra_pass, {"dispatched_ops", "launches", "moved_bytes"}),
        ("fused", an_extra_pass, {"dispatched_ops", "launches", "moved_bytes"}),
        ("fused", an_extra_launch, {"launches", "moved_bytes"}),
        ("fused", a_lost_table, {"host_calls"}),
        ("foreach", a_temporary, {"dispatched_ops", "temporary_bytes"}),
    ],
)
def test_planted_regressions_are_found(name: str, more: Callable[[Any], None], figures: set[str]) -> None:
    # A pass over a hundred tensors takes some calls too, of which a few are within the margin.
    assert worse("adam", name, more) - {"host_calls"} == figures - {"host_calls"}
    assert "host_calls" not in figures or "host_calls" in worse("adam", name, more)


def test_an_array_more_in_a_kernel_is_found() -> None:
    # What AMSGrad reads and writes beside Adam's arrays, within the same launch.
    subject = subjects.load("adam")

    class Wider(registry.find("fused").load("Adam")):  # type: ignore[misc]
        def __init__(self, params: Any, **options: Any) -> None:
            super().__init__(params, amsgrad=True, **options)

    planted = Implementation(
        "fused", "planted", module="optbench.impls.fused", ours=True, made=lambda name, submodule: Wider
    )
    before, after = count("adam", registry.find("fused")), count("adam", planted)
    changes = kept.compare(kept.figures([before]), kept.figures([after]))
    assert {change.figure for change in changes if change.fails} == {"moved_bytes", "state_bytes"}
    assert after["moved_bytes"] - before["moved_bytes"] == 8 * steady.workloads(subject)[0].elements


@pytest.mark.parametrize("algo", ["adam", "muon", "sparse_adam", "lbfgs", "adafactor", "onecyclelr", "ema"])
@pytest.mark.parametrize("name", ["reference", "foreach", "fused"])
def test_figures_are_those_that_are_kept(algo: str, name: str) -> None:
    """In whatever order, with whatever before: these run alone, and what is kept was counted with all others."""
    versions, figures = kept.read(FILE)
    try:
        names = kept.comparable(FILE, versions, steady.versions())
    except NothingToRun as why:
        pytest.skip(str(why))
    rows = [count(algo, registry.find(name), which) for which in (0, 1)]
    for row, found in kept.figures(rows).items():
        for figure in set(names) - {kept.CALLS}:
            assert found[figure] == figures[row][figure], (row, figure)
    assert [str(each) for each in kept.compare(figures, kept.figures(rows), about=(), names=names) if each.fails] == []


def test_a_fused_step_moves_the_fewest_bytes() -> None:
    row = count("adam", registry.find("fused"))
    assert row["moved_bytes"] == 28 * 6400 and row["launches"] == 2 and row["dispatched_ops"] == 0


def test_everything_of_ours_has_figures_that_are_kept() -> None:
    _, figures = kept.read(FILE)
    expected = {
        f"{subject.name} {each.name} {workload.name}"
        for subject in subjects.select("all")
        for each in steady.implementations()
        for workload in steady.workloads(subject)
    }
    assert figures.keys() == expected


def test_what_cannot_be_built_is_left_out() -> None:
    rows = list(steady.collect([subjects.load("rprop")], [registry.find("torch-fused")]))
    assert rows == []


def test_torch_has_figures_too() -> None:
    rows = list(steady.collect([subjects.load("adam")], [registry.find("torch-foreach")]))
    assert [row.workload for row in rows] == ["100x64", "ragged"]
    assert all(row.launches > 2 and row.moved_bytes > 28 * 6400 * (row.workload == "100x64") for row in rows)
