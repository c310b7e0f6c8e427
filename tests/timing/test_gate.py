"""No number for a wrong result: planted faults are refused, honest implementations pass."""

from collections.abc import Callable

import pytest
import torch

from optbench import registry, subjects
from optbench.registry import Implementation
from optbench.timing.arena import Arena
from optbench.timing.entrant import Entrant, Refused
from optbench.timing.gate import Gate
from optbench.timing.workloads import parse

Plant = Callable[..., Implementation]
ADAM = subjects.load("adam")


def admit(
    implementation: Implementation, workload: str = "3x200", dtype: str = "float32", limit: int = 1 << 16
) -> tuple[Gate, Entrant]:
    arena = Arena(parse(workload), dtype, "cpu", seed=0)
    gate = Gate(ADAM, {}, arena, "cpu", limit=limit)
    entrant = Entrant(implementation, ADAM, {}, arena)
    gate.admit(entrant)
    return gate, entrant


@pytest.mark.parametrize("name", ["reference", "foreach", "fused", "torch-forloop", "torch-foreach", "torch-fused"])
@pytest.mark.parametrize("workload", ["3x200", "3x200/autograd"])
def test_honest_implementations_pass(name: str, workload: str) -> None:
    gate, entrant = admit(registry.find(name), workload)
    gate.still(entrant)


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_other_dtypes(dtype: str) -> None:
    for name in ("reference", "torch-forloop"):
        admit(registry.find(name), dtype=dtype)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("Wrong", "it does not match the oracle on this workload: step 1, exp_avg_sq"),
        ("Lazy", "it does not match the oracle on this workload: step 1"),
        ("SkipsTheTail", "it does not match the oracle on this workload: step 1, parameters"),
        ("Remembers", "it does not match the oracle on this workload: step 2, exp_avg"),
        ("WritesGradients", "it leaves .grad alone: it wrote into it"),
        ("Raises", "its step raised FloatingPointError: no such kernel in this build"),
    ],
)
@pytest.mark.parametrize("workload", ["3x200", "3x200/autograd"])
def test_faults_are_refused(plant: Plant, fault: str, says: str, workload: str) -> None:
    with pytest.raises(Refused) as caught:
        admit(plant(fault), workload)
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_a_fault_in_the_last_elements_of_a_large_tensor_is_in_the_sample(plant: Plant) -> None:
    admit(plant("Honest"), "1x64K", limit=500)
    with pytest.raises(Refused, match="parameters"):
        admit(plant("SkipsTheTail"), "1x64K", limit=500)


def test_an_implementation_that_tires_is_found_out_afterwards(plant: Plant) -> None:
    gate, entrant = admit(plant("Tires"))
    gate.still(entrant)
    for _ in range(30):
        entrant.step()
    with pytest.raises(Refused, match="no longer matches the oracle once it has been timed"):
        gate.still(entrant)


def test_an_impostor_is_refused(plant: Plant) -> None:
    with pytest.raises(Refused, match="it is not fused"):
        admit(plant("ClaimsToBeFused", name="fused", backend="numba"))


def test_one_who_writes_gradients_does_not_spoil_the_next(plant: Plant) -> None:
    arena = Arena(parse("3x200"), "float32", "cpu", seed=0)
    gate = Gate(ADAM, {}, arena, "cpu")
    for fault in ("WritesGradients", "SkipsTheTail", "Wrong"):
        with pytest.raises(Refused):
            gate.admit(Entrant(plant(fault), ADAM, {}, arena))
    gate.admit(Entrant(plant("Honest"), ADAM, {}, arena))
    gate.admit(Entrant(registry.find("torch-fused"), ADAM, {}, arena))


def test_state_moves_into_the_arena_and_gradients_are_as_before() -> None:
    arena = Arena(parse("2x50"), "float32", "cpu", seed=0)
    grads = [grad.clone() for grad in arena.grads]
    gate = Gate(ADAM, {}, arena, "cpu")
    entrants = [Entrant(registry.find(name), ADAM, {}, arena) for name in ("torch-forloop", "foreach", "fused")]
    for entrant in entrants:
        gate.admit(entrant)
        gate.still(entrant)
        for i, param in enumerate(arena.params):
            assert entrant.optimizer.state[param]["exp_avg"] is arena.state["exp_avg"][i]
    assert [entrant.steps_taken() for entrant in entrants] == [4, 4, 4]
    assert all(torch.equal(a, b) for a, b in zip(arena.grads, grads, strict=True))


def test_a_constructor_that_raises_is_refused(plant: Plant) -> None:
    with pytest.raises(Refused, match="it cannot be built: RuntimeError: needs a newer driver"):
        admit(plant("CannotBeBuilt"))


def test_sgd_with_and_without_state() -> None:
    sgd = subjects.load("sgd")
    for options in ({}, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}):
        arena = Arena(parse("3x200"), "float32", "cpu", seed=0)
        gate = Gate(sgd, options, arena, "cpu")
        for name in ("reference", "torch-forloop", "torch-foreach"):
            entrant = Entrant(registry.find(name), sgd, options, arena)
            gate.admit(entrant)
            gate.still(entrant)
        with pytest.raises(Refused, match="parameters"):
            gate.admit(Entrant(registry.find("torch-forloop"), sgd, {**options, "lr": 1.0001e-3}, arena))
