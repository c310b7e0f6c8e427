"""Planted mistakes are named by their class; what is honest is named nothing."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from optbench import laws, planning, registry, subjects
from optbench.case import Case
from optbench.checking import Task, attempt, check
from optbench.failures.diagnosis import explain, likely
from optbench.failures.localise import localise
from optbench.failures.scene import of_step
from optbench.planning import Plan
from optbench.registry import Implementation
from optbench.runs.results import Result
from optbench.selftest.by_hand import FAULTS
from optbench.selftest.mutate import implementation
from optbench.trials import oracle
from optbench.trials.checker import Checker
from optbench.trials.optimizers import Trial

OPTIONS = {"lr": 0.1, "betas": (0.5, 0.8), "eps": 1e-3, "weight_decay": 0.25, "maximize": True}


class PlainAdam(torch.optim.Optimizer):
    """Adam in a few lines, with one of several mistakes in it, or none; its state has torch's names."""

    mistake = ""
    names = ("exp_avg", "exp_avg_sq")
    decoupled = False

    def __init__(self, params: Any, lr: float = 1e-3, betas: Any = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float | None = None, maximize: bool = False) -> None:  # fmt: skip
        weight_decay = 0.01 * self.decoupled if weight_decay is None else weight_decay
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "decay": weight_decay, "maximize": maximize})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is not None:
                    self._move(param, self.state[param], group)

    def _move(self, param: Any, state: Any, group: Any) -> None:
        has, (beta1, beta2), lr, decay = self.mistake.__eq__, group["betas"], float(group["lr"]), group["decay"]
        state["step"] = state.get("step", torch.zeros(())) + 1
        t = float(state["step"]) + has("later step")
        grad = -param.grad if group["maximize"] and not has("sign ignored") else param.grad
        if has("turned"):
            grad = -grad
        if self.decoupled != has("other decay") and not has("no decay"):
            param.mul_(1 - (1 if has("decay without lr") else lr) * decay)
        elif not has("no decay"):
            grad = grad + decay * param
        mean, square = (state.setdefault(name, torch.zeros_like(param)) for name in self.names)
        mean.lerp_(grad, 1 - beta1)
        kept = square.clone()
        square.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        corrected1, corrected2 = (1, 1) if has("uncorrected") else (1 - beta1**t, 1 - beta2**t)
        corrected1 = 1 if has("first uncorrected") else corrected1
        root = (square / corrected2).add(group["eps"] if has("eps inside") else 0).sqrt()
        root += group["eps"] / (corrected2**0.5 if has("eps early") else 1) if not has("eps inside") else 0
        param.addcdiv_(mean, root, value=-(lr * lr if has("lr twice") else lr) / corrected1)
        if has("not stored"):
            square.copy_(kept)


def planted(mistake: str, **more: Any) -> Implementation:
    cls = type("Planted", (PlainAdam,), {"mistake": mistake, **more})
    # Where the state has names of its own, nobody but foreign code may do so, and only its parameters are seen.
    target = "somewhere:Planted" if "names" in more else ""
    return Implementation("planted", "planted", target=target, made=lambda name, submodule: cls)


def result_of(item: Implementation, subject: str = "adam") -> Result:
    task = Task("opt.oracle", Case(subject, OPTIONS, shapes="pair", steps=3), "planted", True, "")
    result = check(task, item)
    return localise(task, result, implementation=item) if result.broken else result


@pytest.mark.parametrize("names", [("exp_avg", "exp_avg_sq"), ("m", "v")])
@pytest.mark.parametrize(
    ("mistake", "name"),
    [
        ("sign ignored", "sign of maximize ignored"),
        ("other decay", "decay decoupled"),
        ("no decay", "decay ignored"),
        ("lr twice", "lr applied twice"),
        ("uncorrected", "missing bias correction"),
        ("first uncorrected", "missing bias correction (of the first moment)"),
        ("later step", "step counter off by one"),
        ("eps early", "eps placement (before the bias correction)"),
        ("eps inside", "eps placement (inside the root)"),
    ],
)
def test_a_mistake_is_named_by_its_class(mistake: str, name: str, names: tuple[str, str]) -> None:
    more = {} if names[0] == "exp_avg" else {"names": names}
    result = result_of(planted(mistake, **more))
    assert result.verdict == "fail" and result.finding is not None
    assert result.finding["likely"] == name


@pytest.mark.parametrize(
    ("mistake", "name"), [("other decay", "decay coupled"), ("decay without lr", "decay not multiplied by lr")]
)
def test_mistakes_of_decoupled_decay(mistake: str, name: str) -> None:
    result = result_of(planted(mistake, decoupled=True), "adamw")
    assert result.finding is not None and result.finding["likely"] == name


def test_what_a_law_needs_stays_in_the_case(monkeypatch: pytest.MonkeyPatch) -> None:
    def needs_decay(trial: Trial) -> None:
        right = trial.implementation.name != "planted" and "weight_decay" in trial.case.options
        trial.checker.true("the update changes", right)

    entry = replace(laws.entries()["opt.knobs_alive"], check=needs_decay)
    monkeypatch.setattr(laws, "entries", lambda: {"opt.knobs_alive": entry})
    task = Task("opt.knobs_alive", Case("adam", OPTIONS, shapes="pair", steps=5), "planted", True, "")
    item = planted("no decay")
    result = localise(task, check(task, item), implementation=item)
    # Without decay it would fail for everybody.
    assert result.finding is not None and result.finding["case"] == "float32/1/1_steps/weight_decay=0.1"


def test_a_state_that_is_not_stored() -> None:
    result = result_of(planted("not stored"))
    assert result.finding is not None and result.finding["likely"] == "state not stored (exp_avg_sq)"


@pytest.mark.parametrize("names", [{}, {"names": ("m", "v")}])
@pytest.mark.parametrize(("decoupled", "subject"), [(False, "adam"), (True, "adamw")])
def test_the_same_code_without_a_mistake_passes(decoupled: bool, subject: str, names: dict[str, Any]) -> None:
    result = result_of(planted("", decoupled=decoupled, **names), subject)
    assert (result.verdict, result.finding) == ("pass", None)


SELFTEST = {
    "adam-eps-before-bias-correction": "eps placement (before the bias correction)",
    "adam-amsgrad-never-stored": "state not stored (max_exp_avg_sq)",
    "sgd-dampening-on-first-step": "first step mistaken (the first step as a later one)",
    "adam-decoupled-for-coupled": "decay decoupled",
    "adamw-decay-without-lr": "decay not multiplied by lr",
    "adam-decay-into-grad": "gradient mutated",
    "adam-pairs-by-memory-order": "stride pairing",
    "sgd-16-bit-not-updated": "not updated at all",
    "adam-complex-square": "complex square (exp_avg_sq)",
    "adam-stale-pointer": "stale tensor (the parameter)",
    "adam-step-off-by-one": "step counter off by one (in the first bias correction)",
    "sgd-decay-off-by-a-thousandth": "constant off (as if weight_decay=0.1001)",
    "sgd-first-groups-options": "wrong group's option",
    "sgd-tail-skipped": "tail skipped (the last 1 of 17 elements)",
    "adam-version-not-raised": "version counter not raised",
    "swalr-strategy-ignored": "option ignored (as if anneal_strategy=linear)",
    "restarts-cursor-not-saved": "epoch off by one (it lags behind)",
    "multistep-keys-stay-strings": "rate stands still",
    "exponential-fourth-digit": "",
}


@pytest.mark.parametrize("fault", SELFTEST)
def test_shipped_bugs_are_named(fault: str, tmp_path: Path) -> None:
    planted = next(item for item in FAULTS if item.id == fault)
    mutant = implementation(planted, tmp_path)
    entry = laws.entries()[planted.caught_by]
    for case in planning.cases(entry, subjects.load(planted.subject), Plan(planted.subject)):
        result, trial = attempt(Task(planted.caught_by, case, planted.tier, True, ""), mutant)
        if result.broken:
            break
    assert likely(planted.caught_by, [trial]) == SELFTEST[fault]


@pytest.mark.parametrize("name", ["adam", "sgd", "rmsprop", "nadam", "adagrad", "lion", "muon", "sparse_adam"])
@pytest.mark.parametrize("tier", ["foreach", "torch-forloop"])
def test_an_honest_step_is_named_nothing(name: str, tier: str) -> None:
    subject = subjects.load(name)
    if not subject.in_torch and tier.startswith("torch"):
        return
    for dtype in ("float32", "bfloat16"):
        case = Case(name, subject.fullest, dtype, shapes="matrices", stream="wide")
        trial = Trial(subject, registry.find(tier), case, Checker(), {})
        run = trial.run()
        for k in range(2):
            befores = [run.before(i, k) for i in range(len(run.params))]
            run.step(k)
            afters = oracle.step(subject, case.options, befores, trial.problem.dtype)
            scenes = [of_step(trial, run, i, befores[i], after) for i, after in enumerate(afters) if after is not None]
            assert scenes and explain(scenes) == ""


class PlainAverage(torch.nn.Module):
    """An exponential average in a few lines, with one of several mistakes in it, or none."""

    mistake = ""

    def __init__(self, model: Any, decay: float = 0.999) -> None:
        super().__init__()
        self.module, self.decay = copy.deepcopy(model), decay

    @torch.no_grad()
    def update_parameters(self, model: Any) -> None:
        decay = {"swapped": 1 - self.decay, "newest": 0.0, "still": 1.0, "ignored": 0.999}.get(self.mistake, self.decay)
        for average, current in zip(self.module.parameters(), model.parameters(), strict=True):
            average.mul_(decay).add_(current, alpha=1 - decay)
        for average, current in zip(self.module.buffers(), model.buffers(), strict=True):
            if self.mistake != "buffers":
                average.copy_(current)


def averaged(mistake: str) -> Result:
    """A case of avg.oracle without anything special, localised where it is broken."""
    cls = type("Planted", (PlainAverage,), {"mistake": mistake})
    item = Implementation("planted", "planted", target="planted:Planted", made=lambda name, submodule: cls)
    entry, subject = laws.entries()["avg.oracle"], subjects.load("ema")
    cases = planning.cases(entry, subject, Plan())
    some = next(case for case in cases if case.dtype == "float32" and case.variant == "multi_avg_fn")
    plain = replace(some, options={"decay": 0.9}, layout="contiguous", moment="every step")
    task = Task("avg.oracle", plain, "planted", True, "")
    result = check(task, item)
    return localise(task, result, implementation=item) if result.broken else result


@pytest.mark.parametrize(
    ("mistake", "named"),
    [
        ("still", "average stands still"),
        ("newest", "newest model in place of an average"),
        ("swapped", "weights swapped"),
        ("ignored", "option ignored (as if decay=0.999)"),
        ("buffers", "buffer not copied"),
    ],
)
def test_mistakes_of_averages(mistake: str, named: str) -> None:
    result = averaged(mistake)
    assert result.finding is not None and result.finding["likely"] == named


def test_a_right_average_is_named_nothing() -> None:
    assert averaged("").verdict == "pass"
