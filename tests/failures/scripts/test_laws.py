"""Scripts about what is more than steps: groups, checkpoints, copies, refusals, changes by the caller."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from optbench.case import AsTensor, Case
from optbench.checking import Task, check
from optbench.failures.localise import localise
from optbench.failures.scripts import script
from optbench.runs.results import Result

from .planting import plant

CODE = '''
import copy
from collections import OrderedDict

import torch

OPTIONS = {"lr": 1e-3, "momentum": 0.0, "weight_decay": 0.0, "maximize": False}


class Right(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-3, momentum=0.0, weight_decay=0.0, maximize=False):
        self.legal(lr)
        super().__init__(params, {**OPTIONS, "lr": lr, "momentum": momentum, "weight_decay": weight_decay,
                                  "maximize": maximize})

    def legal(self, lr):
        if lr < 0:
            raise ValueError(f"Invalid learning rate: {lr}")

    def load_state_dict(self, saved):
        super().load_state_dict(copy.deepcopy(saved))
        for group in self.param_groups:
            group.update({name: value for name, value in OPTIONS.items() if name not in group})

    def options(self, group):
        return group

    def absent(self, p):
        pass

    def rows(self, grad):
        return grad.to_dense()

    @torch.no_grad()
    def step(self, closure=None):
        if getattr(self, "found_inf", 0) and self.heeds_scaling:
            return
        with torch.enable_grad():
            loss = closure() if closure else None
        for group in self.param_groups:
            options = self.options(group)
            for p in group["params"]:
                if p.grad is None:
                    self.absent(p)
                    continue
                grad = (-p.grad if options["maximize"] else p.grad)
                grad = (self.rows(grad) if grad.is_sparse else grad) + options["weight_decay"] * p
                if getattr(self, "grad_scale", None) is not None:
                    grad = grad / self.grad_scale
                if options["momentum"]:
                    state = self.state[p]
                    if "momentum_buffer" not in state:
                        state["momentum_buffer"] = grad.clone()
                    else:
                        state["momentum_buffer"].mul_(options["momentum"]).add_(grad)
                    grad = state["momentum_buffer"]
                self.move(p, options["lr"] * grad)
        return loss

    _step_supports_amp_scaling = heeds_scaling = True

    def move(self, p, change):
        p.sub_(change)


class Hidden(Right):
    steps = 0

    def move(self, p, change):
        self.steps += 1
        p.sub_(change if self.steps < 4 else change / 2)


class Halves(Right):
    def load_state_dict(self, saved):
        super().load_state_dict(saved)
        for entry in self.state.values():
            entry["momentum_buffer"] = entry["momentum_buffer"].half().float()


class Counted(Right):
    @torch.no_grad()
    def step(self, closure=None):
        super().step(closure)
        for p in self.param_groups[0]["params"]:
            self.state[p]["count"] = self.state[p].get("count", 0) + 1


class Forgets(Counted):
    def load_state_dict(self, saved):
        super().load_state_dict(saved)
        for entry in self.state.values():
            entry["count"] = 1


class Drops(Right):
    def load_state_dict(self, saved):
        super().load_state_dict(saved)
        self.state.clear()


class Shares(Right):
    def load_state_dict(self, saved):
        torch.optim.Optimizer.load_state_dict(self, saved)


class Writes(Right):
    def load_state_dict(self, saved):
        saved["state"][0]["momentum_buffer"].mul_(0.5)
        super().load_state_dict(saved)


class Copies(Right):
    def state_dict(self):
        return copy.deepcopy(super().state_dict())


class First(Right):
    def options(self, group):
        return self.param_groups[0]


class Accepts(Right):
    def legal(self, lr):
        pass


class Asserts(Right):
    def legal(self, lr):
        assert lr >= 0, lr


class Counts(Right):
    def __init__(self, params, *args, **named):
        assert len(params)
        super().__init__(params, *args, **named)


class Turns(Right):
    def __init__(self, *args, **named):
        super().__init__(*args, **named)
        self.param_groups[0]["params"].reverse()


class Once(Right):
    def rows(self, grad):
        dense = torch.zeros(grad.shape, dtype=grad.dtype)
        dense[grad._indices()[0]] = grad._values()
        return dense


class Moves(Right):
    def absent(self, p):
        if "momentum_buffer" in self.state[p]:
            p.sub_(self.state[p]["momentum_buffer"])


class Remembers(Right):
    def move(self, p, change):
        self.memory = getattr(self, "memory", {})
        self.memory.setdefault(p, p.detach()).sub_(change)


class Keeps(Right):
    def options(self, group):
        self.old = getattr(self, "old", {})
        buffer = self.old.setdefault(group["params"][0], self.state[group["params"][0]])
        self.state[group["params"][0]] = buffer
        return group


class Neighbours(Right):
    def options(self, group):
        self.first = group["params"][0]
        return group

    def move(self, p, change):
        p.sub_(change if p is self.first else change * 1.5)


class Demands(Right):
    def load_state_dict(self, saved):
        saved["param_groups"][0]["maximize"]
        super().load_state_dict(saved)


class Nameless(Right):
    def load_state_dict(self, saved):
        super().load_state_dict(saved)
        self.param_groups[0].pop("param_names", None)


class Replaces(Right):
    def zero_grad(self, set_to_none=True):
        for p in self.param_groups[0]["params"]:
            p.grad = None if set_to_none or p.grad is None else torch.zeros_like(p)


class Silent(Right):
    def step(self, closure=None):
        if closure:
            closure()
        super().step()


class Muted(Right):
    @torch.no_grad()
    def step(self, closure=None):
        loss = closure() if closure else None
        super().step()
        return loss


class Deaf(Right):
    def step(self, closure=None):
        super().step()


class Swallows(Right):
    def step(self, closure=None):
        try:
            return super().step(closure)
        except ArithmeticError:
            pass


class Stale(Right):
    def __init__(self, params, lr=1e-3, *args, **named):
        super().__init__(params, float(lr), *args, **named)


class Unscaled(Right):
    heeds_scaling = False


class Hooks(OrderedDict):
    def move_to_end(self, *given, **named):
        pass


NONE = property(lambda self: Hooks(), lambda self, hooks: None)


class Past(Right):
    _optimizer_step_pre_hooks = NONE


class Unasked(Right):
    _optimizer_state_dict_pre_hooks = NONE


class Unheard(Shares):
    _optimizer_load_state_dict_post_hooks = NONE


class Takes(Right):
    def __deepcopy__(self, memo):
        made = type(self).__new__(type(self))
        made.__setstate__(copy.deepcopy(self.__getstate__(), memo))
        made._optimizer_state_dict_pre_hooks = self._optimizer_state_dict_pre_hooks
        return made
'''
DIFFERENTIABLE = """
import torch


class Right(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-3, differentiable=False):
        super().__init__(params, {"lr": lr, "differentiable": differentiable})

    def rate(self, lr):
        return lr

    def grad(self, p):
        return p.grad

    def start(self, p):
        return p

    def step(self, closure=None):
        for group in self.param_groups:
            with torch.set_grad_enabled(group["differentiable"]):
                for p in group["params"]:
                    p.copy_(self.start(p) - self.grad(p) * self.rate(group["lr"]))


class Detached(Right):
    def rate(self, lr):
        return float(lr)


class Ungraded(Right):
    def grad(self, p):
        return p.grad.detach()


class Begun(Right):
    def start(self, p):
        return p.detach()
"""
MOMENTUM = {"momentum": 0.9, "lr": 0.1}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return plant(CODE, tmp_path, monkeypatch, "broken")


def shown(folder: Path, name: str, law: str, case: Case) -> Result:
    options = frozenset({"lr", "momentum", "weight_decay", "maximize"})
    task = Task(law, case, f"{folder}/broken.py:{name}", True, "optbench check …", options=options, require_torch=True,
                named=options)  # fmt: skip
    result = check(task)
    assert result.broken, name
    return localise(task, result)


@pytest.mark.parametrize(
    ("name", "law", "says", "case"),
    [
        ("Hidden", "opt.round_trip", "copy.deepcopy(optimizer_2)", {"variant": "deepcopy", "steps": 4}),
        ("Hidden", "opt.round_trip", "pickle.loads(pickle.dumps(", {"variant": "pickle", "steps": 4}),
        ("Halves", "opt.round_trip", ".load_state_dict(copy.deepcopy(saved", {"variant": "torch.save", "steps": 2}),
        ("Forgets", "opt.round_trip", '["count"], optimizer_2.state[', {"variant": "torch.save", "steps": 3}),
        ("Drops", "opt.round_trip", '"momentum_buffer" in optimizer.state.get(', {"variant": "torch.save", "steps": 2}),
        ("Shares", "opt.snapshot", ".data_ptr() !=", {"variant": "loaded", "steps": 3}),
        ("Writes", "opt.snapshot", "kept_2 = copy.deepcopy(kept)", {"variant": "loaded", "steps": 3}),
        ("Copies", "opt.snapshot", '] is optimizer.state[params[0]]["mom', {"variant": "returned", "steps": 2}),
        ("First", "opt.groups", ".add_param_group({", {"variant": "group joins late", "options": {}}),
        ("First", "opt.groups", '[{"params": params_3}, ', {"variant": "per-group options", "options": {}}),
        ("Accepts", "opt.errors", 'AssertionError("it was accepted")', {"variant": "illegal-0:lr=-0.5", "options": {}}),
        ("Asserts", "opt.errors", "assert type(error) is ValueError", {"variant": "illegal-0:lr=-0.5", "options": {}}),
        ("Counts", "opt.params", "(iter(params), ", {"variant": "a generator", "options": {}}),
        ("Turns", "opt.params", "list(map(id, params))", {"variant": "a list", "options": {}}),
        ("Once", "opt.sparse", "torch.sparse_coo_tensor([[", {"variant": "rows twice", "options": {}, "steps": 2}),
        ("Moves", "opt.sparse_in_time", "params[0].grad = None", {"moment": "gap", "steps": 2}),
        ("Remembers", "opt.replaced", "params[0].data = torch.tensor(", {"variant": "p.data = new", "steps": 3}),
        ("Keeps", "opt.replaced", "optimizer.state.clear()", {"variant": "state.clear", "steps": 3}),
        ("Neighbours", "opt.partition", "want = params_2[", {"variant": "reversed", "steps": 2}),
        ("Neighbours", "opt.partition", "kept = torch.cat([params[0].detach(), ", {"variant": "cut", "steps": 2}),
        ("Neighbours", "opt.partition", ".detach().split([", {"variant": "joined", "steps": 2}),
        ("Silent", "opt.hooks", "assert result is number, ", {"variant": "closure"}),
        ("Silent", "opt.hooks", "assert result == 0.75, ", {"variant": "value of a closure"}),
        ("Muted", "opt.hooks", "called.append(torch.is_grad_enabled())", {"variant": "closure"}),
        ("Deaf", "opt.hooks", "assert len(called) == 1, ", {"variant": "closure"}),
        ("Swallows", "opt.hooks", "raise ArithmeticError(", {"variant": "closure raises"}),
        ("Past", "opt.hooks", "log.append(", {"variant": "of step"}),
        ("Past", "opt.hooks", "2.5", {"variant": "new arguments"}),
        ("Unasked", "opt.hooks", "optimizer.register_state_dict_pre_hook(", {"variant": "of state_dict"}),
        ("Unheard", "opt.hooks", "optimizer.load_state_dict(", {"variant": "of load_state_dict"}),
        ("Takes", "opt.hooks", "copied = copy.deepcopy(optimizer)", {"variant": "copies"}),
        ("Demands", "opt.old_checkpoints", 'del kept["param_groups"][0]["maximize"]',
         {"variant": "without newer options", "options": {}, "steps": 3}),
        ("Nameless", "opt.old_checkpoints", '["param_names"] = ["layer.0"', {"variant": "names", "steps": 3}),
        ("Replaces", "opt.zero_grad", "kept = [param.grad for param in params]",
         {"variant": "to zero, one by one", "options": {}}),
        ("Stale", "opt.tensor_lr", "number = torch.tensor(0.0625)",
         {"variant": "lr, single", "options": {"lr": AsTensor(0.0625)}}),
        ("Unscaled", "opt.amp_skip", "optimizer.found_inf = torch.tensor(1.0)",
         {"variant": "scaled, overflow at step 1"}),
    ],
)  # fmt: skip
def test_a_script_fails_for_what_is_broken_and_passes_for_what_is_right(
    folder: Path, name: str, law: str, says: str, case: dict[str, Any]
) -> None:
    result = shown(folder, name, law, Case("sgd", **{"options": MOMENTUM, "shapes": "pair", **case}))
    text = script.whole(result)
    assert says in text and "import optbench" not in text and "@" not in text, text
    assert script.fails(text) and len(text.splitlines()) < 40
    honest = {"Forgets": "Counted", "Unheard": "Shares"}.get(name, "Right")
    right = text.replace(f"from broken import {name}", f"from broken import {honest} as {name}")
    exec(compile(right, "script", "exec"), {})


@pytest.mark.parametrize(
    ("name", "by", "says"),
    [
        ("Detached", "lr", "lr=number, differentiable=True"),
        ("Ungraded", "gradients", ".grad = number_2"),
        ("Begun", "start", "([number_3], "),
    ],
)
def test_a_derivative_is_taken_in_the_script(folder: Path, name: str, by: str, says: str) -> None:
    (folder / "broken.py").write_text(DIFFERENTIABLE)
    options = frozenset({"lr", "differentiable"})
    case = Case("sgd", {}, "float64", shapes="one", variant=f"derivative by {by}", steps=6)
    task = Task("opt.differentiable", case, f"{folder}/broken.py:{name}", True, "", options=options)
    text = script.whole(localise(task, check(task)))
    assert "torch.autograd.grad(" in text and says in text, text
    assert script.fails(text) and len(text.splitlines()) < 25
    exec(compile(text.replace(f"import {name}", f"import Right as {name}"), "script", "exec"), {})


def test_a_step_that_evaluates_anew_is_given_the_whole_objective(folder: Path) -> None:
    (folder / "broken.py").write_text(
        "import torch\n\n\nclass Right(torch.optim.LBFGS):\n    far = 1.0\n\n    def step(self, closure):\n"
        "        loss = super().step(closure)\n        self.param_groups[0]['params'][0].data.mul_(self.far)\n"
        "        return loss\n\n\nclass Far(Right):\n    far = 1.001\n"
    )
    task = Task("opt.oracle", Case("lbfgs", {}, shapes="pair", steps=2), f"{folder}/broken.py:Far", True, "")
    text = script.whole(localise(task, check(task)))
    assert "def closure():" in text and "\nterms = [(params[0], " in text
    assert script.fails(text) and len(text.splitlines()) < 40
    exec(compile(text.replace("import Far", "import Right as Far"), "script", "exec"), {})
