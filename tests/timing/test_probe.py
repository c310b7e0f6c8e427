"""What a step dispatched, and whether it is of the kind that its name says."""

from collections.abc import Callable

import pytest
import torch

from optbench import registry
from optbench.registry import Implementation
from optbench.timing.probe import Tally, impostor, watch

Plant = Callable[..., Implementation]


def optimizer(cls: type, count: int = 10, size: int = 100, **options: object) -> torch.optim.Optimizer:
    params = [torch.randn(size, requires_grad=True) for _ in range(count)]
    for param in params:
        param.grad = torch.randn(size)
    built: torch.optim.Optimizer = cls(params, **options)
    built.step()
    return built


def tally_of(built: torch.optim.Optimizer) -> Tally:
    return watch(built.step, "cpu")


def test_operations_are_counted() -> None:
    forloop = tally_of(optimizer(torch.optim.SGD, foreach=False))
    assert dict(forloop.operations) == {"add_": 10}
    assert tally_of(optimizer(torch.optim.SGD, fused=True)).count == 1


def test_temporaries_are_what_is_held_at_one_time() -> None:
    # The for-loop makes a root and a quotient while it still holds the quotient before; foreach a root for all.
    assert tally_of(optimizer(torch.optim.Adam, foreach=False)).peak_bytes == pytest.approx(3 * 400, abs=64)
    assert tally_of(optimizer(torch.optim.Adam, foreach=True)).peak_bytes == pytest.approx(10 * 400, abs=200)
    assert tally_of(optimizer(torch.optim.SGD, foreach=False)).peak_bytes == 0


def test_what_is_kept_is_told_from_what_is_returned() -> None:
    held: list[torch.Tensor] = []
    tally = watch(lambda: held.append(torch.ones(1000)), "cpu")
    assert (tally.peak_bytes, tally.kept_bytes) == (4000, 4000)
    tally = watch(lambda: torch.ones(1000) + torch.ones(1000), "cpu")
    assert tally.kept_bytes == 0 and tally.peak_bytes == 12000


def test_a_view_or_an_in_place_result_is_no_new_memory() -> None:
    tensor = torch.ones(1000)
    assert watch(lambda: tensor.view(10, 100).t().mul_(2), "cpu").peak_bytes == 0


PATHS = {"torch-forloop": {"foreach": False}, "torch-foreach": {"foreach": True}, "torch-fused": {"fused": True}}


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("runs", PATHS)
def test_torchs_paths_are_told_apart(name: str, runs: str) -> None:
    built = optimizer(torch.optim.Adam, **PATHS[runs])
    reason = impostor(registry.IMPLEMENTATIONS[name], built, tally_of(built), "cpu")
    assert (reason is None) == (name == runs)


def test_our_tiers_are_held_to_their_names() -> None:
    forloop, foreach = (optimizer(torch.optim.Adam, foreach=flag) for flag in (False, True))
    foreach_tier, reference = registry.IMPLEMENTATIONS["foreach"], registry.IMPLEMENTATIONS["reference"]
    assert impostor(foreach_tier, foreach, tally_of(foreach), "cpu") is None
    assert "no _foreach_ operation ran" in str(impostor(foreach_tier, forloop, tally_of(forloop), "cpu"))
    assert impostor(reference, forloop, tally_of(forloop), "cpu") is None
    assert "horizontal or fused" in str(impostor(reference, foreach, tally_of(foreach), "cpu"))


def test_a_for_loop_that_claims_to_be_fused_is_caught(plant: Plant) -> None:
    implementation = plant("ClaimsToBeFused", name="fused", backend="numba")
    built = optimizer(implementation.load("Adam"))  # type: ignore[arg-type]
    assert "it is not fused" in str(impostor(implementation, built, tally_of(built), "cpu"))


def test_another_backend_than_declared_is_caught(plant: Plant) -> None:
    implementation = plant("OtherBackend", name="fused", backend="numba")
    built = optimizer(implementation.load("Adam"))  # type: ignore[arg-type]
    assert "the optimizer says 'triton-interpreter'" in str(impostor(implementation, built, tally_of(built), "cpu"))


def test_our_fused_tier_is_fused() -> None:
    fused = registry.IMPLEMENTATIONS["fused"]
    built = optimizer(fused.load("Adam"))  # type: ignore[arg-type]
    assert impostor(fused, built, tally_of(built), "cpu") is None
