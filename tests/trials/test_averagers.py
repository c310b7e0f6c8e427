"""The trial of averagers: what it shows them, what it takes from foreign ones, and that its laws notice faults."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.optim import swa_utils

from optbench import laws, planning, subjects
from optbench.case import Case
from optbench.checking import Task, check
from optbench.errors import NothingToRun, UsageError
from optbench.law import Scope
from optbench.planning import Plan
from optbench.registry import IMPLEMENTATIONS, Implementation
from optbench.trials.averagers import Trial
from optbench.trials.base import Unsupported
from optbench.trials.checker import Checker
from optbench.trials.weights import Source, tensors, value

TORCH = IMPLEMENTATIONS["torch-forloop"]


def trial(case: Case, implementation: Implementation = TORCH, **rest: Any) -> Trial:
    return Trial(subjects.load(case.subject), implementation, case, Checker(), **{"state_alias": {}, **rest})


def foreign(monkeypatch: pytest.MonkeyPatch, cls: type[Any]) -> Implementation:
    monkeypatch.setattr("optbench.foreign.loading.load_factory", lambda target, class_name: cls)
    return Implementation("theirs.py:Average", "", target="theirs.py:Average")


class Average:
    """A foreign average with names of its own."""

    def __init__(self, model: torch.nn.Module, decay: float = 0.999) -> None:
        self.ema_model = torch.optim.swa_utils.AveragedModel(model).module
        self.decay = decay

    @torch.no_grad()
    def absorb(self, model: torch.nn.Module) -> None:
        for mine, theirs in zip(self.ema_model.parameters(), model.parameters(), strict=True):
            mine.mul_(self.decay).add_(theirs, alpha=1 - self.decay)
        for mine, theirs in zip(self.ema_model.buffers(), model.buffers(), strict=True):
            mine.copy_(theirs)


NAMES = {"ema_model": "module", "absorb": "update_parameters"}


def test_a_model_has_tensors_of_every_kind_whose_values_its_dtypes_hold() -> None:
    case = Case("swa", dtype="bfloat16", layout="strided", variant="other dtypes")
    placed: list[Any] = []
    model = Source(case, placed)
    found = tensors(model)
    assert model.tail.weight is model.weight0
    assert not list(model.parameters())[-1].requires_grad
    assert {tensor.dtype for tensor in found.values()} == {
        torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.int64, torch.int32,
    }  # fmt: skip
    for name, tensor in found.items():
        first, again, later = (value(case, name, tensor, k) for k in (1, 1, 2))
        assert torch.equal(first, again) and first.shape == tensor.shape
        if tensor.numel():
            assert not torch.equal(first, later)
        assert torch.equal(first.to(tensor.dtype).to(first.dtype), first)


def test_a_run_judges_each_kind_of_tensor() -> None:
    case = Case("swa", {"use_buffers": True}, "float64")
    run = trial(case, IMPLEMENTATIONS["reference"]).run()
    for k in range(2):
        run.update(k)
    run.judge("update 2")
    assert run.trial.checker.failures == []
    with torch.no_grad():
        run.averager.module.tail.count += 2
        run.averager.module.weight2[0, 1] += 1e-12
    run.judge("update 2")
    assert run.trial.checker.failed == 2
    assert "weight2" in run.trial.checker.message


def test_buffers_have_to_be_copies_where_they_are_not_averaged() -> None:
    run = trial(Case("ema", {"decay": 0.5})).run()
    run.update(0)
    run.update(1)
    run.averager.module.tail.codes[0] += 1
    run.judge("update 2")
    assert "tail.codes, which is copied" in run.trial.checker.message


@pytest.mark.parametrize("what", ["resume", "overwrite", "replace"])
def test_an_average_goes_on_from_what_it_holds(what: str) -> None:
    run = trial(Case("swa", dtype="float64")).run()
    for k in range(2):
        run.update(k)
    getattr(run, what)()
    for k in range(2, 4):
        run.update(k)
        run.judge(f"update {k + 1}")
    assert run.trial.checker.failures == []
    assert int(run.averager.n_averaged) == 4


def test_the_form_of_a_function_is_the_implementations() -> None:
    case = Case("ema", {"decay": 0.9})
    assert set(trial(case).arguments("")) == {"avg_fn"}
    assert set(trial(case, IMPLEMENTATIONS["torch-foreach"]).arguments("")) == {"multi_avg_fn"}
    assert trial(case).arguments("default") == {}
    with pytest.raises(Unsupported, match="get_ema_multi_avg_fn"):
        trial(case).arguments("multi_avg_fn")


def test_foreign_code_goes_by_its_own_names_and_options(monkeypatch: pytest.MonkeyPatch) -> None:
    item = foreign(monkeypatch, Average)
    found = trial(Case("ema", {"decay": 0.9}), item, state_alias=NAMES, options=frozenset({"decay"}))
    run = found.run()
    for k in range(3):
        run.update(k)
        run.judge(f"update {k + 1}")
    assert found.checker.failures == []
    assert run.averager.decay == 0.9
    with pytest.raises(Unsupported, match="avg_fn"):
        found.build(run.model, {"avg_fn": None})
    with pytest.raises(Unsupported, match="update_bn"):
        found.load("update_bn")


def task(law: str, case: Case) -> Task:
    return Task(law, case, "planted", True, "")


def planted(**names: Any) -> Implementation:
    return Implementation("planted", "", made=lambda name, module: names.get(name, getattr(swa_utils, name)))


def cases(law: str, subject: str) -> list[Case]:
    return list(laws.entries()[law].cases(subjects.load(subject), Scope()))


@pytest.mark.parametrize("law", ["avg.oracle", "avg.pure", "avg.precision", "avg.round_trip"])
@pytest.mark.parametrize("subject", ["swa", "ema"])
def test_ids_are_unique(law: str, subject: str) -> None:
    found = [case.id for case in cases(law, subject)]
    assert len(found) == len(set(found)) > 5 - 3 * (law == "avg.precision")


def test_functions_of_batch_norm_and_the_page_are_asked_once() -> None:
    assert cases("avg.bn", "swa") and not cases("avg.bn", "ema")
    both = [{case.variant for case in cases("page.examples", name)} for name in ("swa", "ema")]
    assert not both[0] & both[1] and len(both[0] | both[1]) >= 16


def test_a_missing_function_is_an_error_where_the_package_should_have_it() -> None:
    item = Implementation("planted", "", module="optbench.reference")
    with pytest.raises(NothingToRun):
        trial(Case("swa"), item).load("get_no_such_fn")


def test_a_module_left_in_training_is_seen_where_the_loader_raises() -> None:
    chosen = next(case for case in cases("avg.bn", "swa") if case.variant == "the loader raises")
    result = check(task("avg.bn", chosen), planted())
    assert result.verdict == "fail" and "momenta" in result.message


def test_an_average_that_stands_still_is_seen() -> None:
    chosen = next(case for case in cases("avg.precision", "swa") if case.dtype == "bfloat16")
    result = check(task("avg.precision", chosen), planted())
    assert result.verdict == "fail" and "scaled error" in result.message


def test_a_page_that_computes_something_else_is_seen() -> None:
    class Halved(swa_utils.AveragedModel):
        def forward(self, *args: Any) -> Any:
            return super().forward(*args) / 2

    def made(name: str, module: str) -> Any:
        return Halved if name == "AveragedModel" else getattr(getattr(torch.optim, module, torch.optim), name)

    chosen = next(case for case in cases("page.examples", "swa") if case.variant == "swa")
    assert check(task("page.examples", chosen), Implementation("planted", "", made=made)).verdict == "fail"
    assert check(task("page.examples", chosen), planted()).verdict == "error"


def test_foreign_code_is_asked_the_laws_of_its_kind_only() -> None:
    item = Implementation("own.py:Average", "", target="own.py:Average", worker=True)
    about = {item.name: {"kind": "averager", "options": ["decay"], "state": NAMES}}
    found = planning.tasks(Plan("ema,adam", (item.name,)), [item], about)
    assert {task.case.subject for task in found} == {"ema"}
    assert not any("use_buffers" in task.case.options for task in found)
    with pytest.raises(UsageError, match="is of kind averager"):
        planning.tasks(Plan("adam", (item.name,)), [item], about)
