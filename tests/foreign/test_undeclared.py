"""Classes that nobody declared: what is found out about them, and what laws without a formula catch."""

import sys
import textwrap

import pytest

from optbench import laws, planning, registry, subjects
from optbench.case import AsTensor
from optbench.checking import check
from optbench.errors import UsageError
from optbench.foreign import acquaintance, undeclared
from optbench.planning import Plan

CODE = '''
    import torch
    from optbench import Adapter

    class Base(torch.optim.Optimizer):
        """Gradient descent with what `new_state` keeps and `move` makes of it."""

        def __init__(self, params, lr=3e-4, **rest):
            super().__init__(params, {"lr": lr, **rest})

        def new_state(self, p, group):
            return {}

        @torch.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        state = self.state[p]
                        if not state:
                            state.update(self.new_state(p, group))
                        self.move(p, p.grad, state, group)

        def move(self, p, g, state, group):
            p.sub_(g, alpha=group["lr"])

    class Momentum(Base):
        def __init__(self, params, lr=3e-4, momentum=0.0, nesterov=False, weight_decay=0.0, foreach=None, odd=3):
            if nesterov and not momentum:
                raise ValueError("nesterov needs momentum")
            super().__init__(params, lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)

        def new_state(self, p, group):
            kept = {"t": 0, "scale": torch.tensor(0.5, dtype=p.dtype)}
            return {**kept, "buffer": torch.zeros_like(p)} if group["momentum"] else kept

        def move(self, p, g, state, group):
            state["t"] += 1
            g = g + group["weight_decay"] * p
            if group["momentum"]:
                state["buffer"].mul_(group["momentum"]).add_(g)
                g = g + group["momentum"] * state["buffer"] if group["nesterov"] else state["buffer"]
            p.sub_(group["lr"] * g * (state["scale"] * 2))

    class Needy(Base):
        values = Adapter(options={"rate": "lr"}, values={"d0": (1.0, 2.0)})

        def __init__(self, params, rate, betas, d0, huge=True):
            if not huge:
                raise NotImplementedError
            super().__init__(params, rate * d0, betas=betas)

    class Unknown(Base):
        def __init__(self, params, warp, lr=0.1):
            super().__init__(params, lr)

    class RateLess(Base):
        def __init__(self, params, weight_decay=0.0):
            super().__init__(params, 0.125, weight_decay=weight_decay)

        def move(self, p, g, state, group):
            p.sub_((g + group["weight_decay"] * p) * 0.125)

    class Normed(Base):
        def move(self, p, g, state, group):
            p.sub_(group["lr"] * g / (1 + g.norm()))

    class Clipped(Base):
        @torch.no_grad()
        def step(self, closure=None):
            norms = [p.grad.norm() for group in self.param_groups for p in group["params"] if p.grad is not None]
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        p.sub_(group["lr"] * p.grad / (1 + torch.stack(norms).norm()))

    class Noisy(Base):
        def move(self, p, g, state, group):
            p.sub_(group["lr"] * g * (1 + torch.rand_like(p)))

    class Matrices(Base):
        def move(self, p, g, state, group):
            if p.ndim != 2:
                raise ValueError("matrices only")
            p.sub_(group["lr"] * g @ (g.mT @ g))

    class Closure(Base):
        @torch.no_grad()
        def step(self, closure):
            with torch.enable_grad():
                loss = closure()
            super().step()
            return loss

    class Counted(Base):
        """One counter in the group, for all parameters."""

        def __init__(self, params, lr=0.1, beta=0.9):
            super().__init__(params, lr, beta=beta)

        def new_state(self, p, group):
            return {"m": torch.zeros_like(p)}

        def step(self, closure=None):
            for group in self.param_groups:
                group["t"] = group.get("t", 0) + 1
            super().step()

        def move(self, p, g, state, group):
            state["m"].lerp_(g, 1 - group["beta"])
            p.sub_(state["m"], alpha=group["lr"] / (1 - group["beta"] ** group["t"]))

    class Broken(Base):
        def __init__(self, params, lr=0.1):
            raise ValueError("not today")

    class WritesGradient(Momentum):
        def move(self, p, g, state, group):
            g.mul_(2)
            super().move(p, g, state, group)

    class PairsByMemory(Momentum):
        """Reads the gradient in the order of its memory."""

        def move(self, p, g, state, group):
            lies = g.t() if g.ndim == 2 and not g.is_contiguous() else g
            super().move(p, lies.reshape(p.shape), state, group)

    class SkipsTail(Momentum):
        def move(self, p, g, state, group):
            kept = p.reshape(-1)[-1].clone() if p.numel() > 1000 else None
            super().move(p, g, state, group)
            if kept is not None:
                p.view(-1)[-1] = kept

    class ForgetsState(Momentum):
        """Keeps its buffers where no checkpoint finds them."""

        def __init__(self, params, lr=3e-4, momentum=0.9):
            super().__init__(params, lr, momentum)
            self.buffers = {}

        def new_state(self, p, group):
            return {"t": 0, "scale": torch.tensor(0.5, dtype=p.dtype), "buffer": torch.zeros_like(p)}

        def move(self, p, g, state, group):
            state["buffer"] = self.buffers.setdefault(id(p), torch.zeros_like(p))
            super().move(p, g, state, group)

    class Careful(Base):
        """Refuses a rate of zero beside one of its options; two others do nothing, and one is not its groups'."""

        def __init__(self, params, lr=0.1, scaled=False, unread=False, momentum=0.0, halved=False):
            if scaled and not lr:
                raise ValueError("no rate to scale by")
            super().__init__(params, lr, scaled=scaled)
            self.halved = halved

        def move(self, p, g, state, group):
            p.sub_(g, alpha=group["lr"] * (2 if group["scaled"] else 1) * (0.5 if self.halved else 1))

    class Renamed(Momentum):
        names = Adapter(state={"buffer": "momentum_buffer", "t": "step"})

    class Schedule:
        def __init__(self, optimizer):
            pass

        def get_last_lr(self):
            pass
'''


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "own.py").write_text(textwrap.dedent(CODE))
    yield
    subjects.adopt([])


def found(name, **arguments):
    return undeclared.find(f"own.py:{name}", **arguments)


def values(subject):
    return {option.name: option.values for option in subject.options}


def test_options_have_values_by_name_and_by_type_that_the_class_takes():
    subject = found("Momentum").subject
    assert (subject.name, subject.class_name, subject.kind, subject.rule) == ("Momentum", "Momentum", "optimizer", "")
    assert values(subject) == {
        "lr": (3e-4, 0.1, AsTensor(0.0625)), "momentum": (0.0, 0.5), "nesterov": (False, True),
        "weight_decay": (0.0, 0.1),
    }  # fmt: skip
    assert subject.forbidden == ((("nesterov", True), ("momentum", 0.0)),)
    assert subject.fullest == {"momentum": 0.5, "weight_decay": 0.1}


def test_required_options_have_known_values_or_an_adapters():
    assert values(found("Needy").subject) == {
        "lr": (1e-3, 0.1, AsTensor(0.0625)), "betas": ((0.9, 0.999), (0.5, 0.8)), "d0": (1.0, 2.0),
    }  # fmt: skip
    with pytest.raises(UsageError) as caught:
        found("Unknown")
    assert str(caught.value) == (
        "--impl 'own.py:Unknown': nobody knows values of its argument 'warp', which has no default: give it one, or "
        "two values by optbench.Adapter(values=...)."
    )


def test_what_needs_two_others_is_combined_legally_only():
    subject = undeclared.find("torch.optim:SGD").subject
    assert set(subject.forbidden) == {
        (("nesterov", True), ("momentum", 0)), (("dampening", 0.5), ("nesterov", True)),
    }  # fmt: skip
    needs = {option.name: option.needs for option in subject.options if option.needs}
    # One is refused without momentum, the other changes nothing.
    assert needs == {"nesterov": {"momentum": 0.5}, "dampening": {"momentum": 0.5}}
    # Buffers are made by the first step.
    assert [option.name for option in found("Momentum").subject.options if option.settled] == ["momentum", "nesterov"]


def test_state_is_found_by_trying():
    subject = found("Momentum").subject
    assert {entry.name: (entry.form, entry.when) for entry in subject.state} == {
        "t": ("integer", None), "scale": ("number", None), "buffer": ("element", "momentum"),
    }  # fmt: skip
    assert subject.rests == {"lr": 0.0} and not subject.state_at_start
    factored = undeclared.find("torch.optim:Adafactor").subject
    assert {entry.name: entry.form for entry in factored.state} == {
        "step": "counter", "row_var": "own", "col_var": "own", "variance": "own",
    }  # fmt: skip
    assert undeclared.find("torch.optim:Adagrad").subject.state_at_start
    assert undeclared.find("torch.optim:SparseAdam").subject.sparse


@pytest.mark.parametrize(
    ("name", "sees", "refuses"),
    [
        ("Momentum", "element", ""),
        ("Normed", "tensor", ""),
        ("Clipped", "all", "an update depends on all parameters together"),
        ("Noisy", "all", "two equal runs differ"),
    ],
)
def test_what_an_update_sees_and_whether_it_can_be_its_own_oracle(name, sees, refuses):
    told = found(name)
    assert (told.subject.sees, told.oracle.refuses) == (sees, refuses)


def test_matrices_only_and_state_outside_of_the_state():
    assert found("Matrices").subject.dimensions == 2
    assert (found("Momentum").oracle.steps, found("Counted").oracle.steps) == (True, False)
    assert found("Counted").oracle.refuses == ""


def test_what_cannot_be_tried_is_asked_by_its_signature():
    told = found("Broken")
    assert told.oracle.refuses == "it takes no step with its default options"
    assert values(told.subject) == {"lr": (0.1, 0.0625, AsTensor(0.0625))}
    assert found("Momentum", untried="it died").oracle.refuses == "it died"


def test_what_is_no_optimizer_of_gradients_is_asked_for_its_algorithm():
    for name, why in (("Schedule", "is a scheduler"), ("Closure", "takes no step without a closure")):
        with pytest.raises(UsageError) as caught:
            found(name)
        assert str(caught.value) == (
            f"--impl 'own.py:{name}' {why}: name what it computes by --algo; `optbench list algos` shows all."
        )


def test_the_oracle_decides_options_and_state():
    told = found("Momentum", oracle="torch.optim:SGD")
    assert told.subject.rule == "as torch.optim:SGD computes it" and told.unasked == ()
    assert [entry.name for entry in told.subject.state] == ["momentum_buffer"]
    assert (told.oracle.name, told.oracle.steps) == ("torch.optim:SGD", True)
    told = found("Momentum", oracle="own.py:Base")
    assert sorted(told.subject.defaults) == ["lr", "momentum", "nesterov", "weight_decay"]
    told = found("Momentum", oracle="own.py:RateLess")
    assert sorted(told.subject.defaults) == ["weight_decay"]
    assert told.unasked == tuple(
        ("opt.oracle", f"option={name}", f"own.py:RateLess has no such option: {name}")
        for name in ("lr", "momentum", "nesterov")
    )
    declared = found("Momentum", oracle="torch.optim:SGD", declared=subjects.load("sgd")).subject
    assert declared.name == "sgd" and declared.illegal and declared.in_torch
    with pytest.raises(UsageError, match=r"^--oracle 'own\.py:Gone': it has no 'Gone'"):
        found("Base", oracle="own.py:Gone")
    with pytest.raises(UsageError, match="cannot judge one step of one parameter: an update depends on all"):
        found("Momentum", oracle="own.py:Clipped")
    with pytest.raises(UsageError, match=r"--oracle 'own\.py:Broken' takes no step with the options of 'own\.py:Base'"):
        found("Base", oracle="own.py:Broken")


def results(name, patterns, oracle="", most=None):
    """What laws find, in this process, in at most so many cases of each."""
    target = name if ":" in name else f"own.py:{name}"
    plan = Plan("", (target,), laws=patterns, dtypes=("float32", "bfloat16"), oracle=oracle)
    chosen = [registry.find(target)]
    asked, count = [], {}
    for task in planning.tasks(plan, chosen, acquaintance.look(plan, chosen, {})):
        if any(isinstance(value, AsTensor) for value in task.case.options.values()):
            # Asked with --require torch only.
            continue
        count[task.law] = count.get(task.law, 0) + 1
        if most is None or count[task.law] <= most:
            asked.append(task)
    return [check(task) for task in asked]


FREE = [name for name, entry in laws.entries().items() if entry.law.kind == "optimizer" and not entry.law.formula]


@pytest.mark.parametrize("name", ["Momentum", "RateLess", "Normed", "Matrices", "torch.optim:SparseAdam"])
def test_honest_classes_keep_every_law_that_needs_no_formula(name):
    seen = results(name, (), most=3)
    assert {result.law for result in seen} <= set(FREE)
    assert [result.message for result in seen if result.broken and result.judged] == []
    compared = {result.law for result in seen if result.comparisons}
    assert compared >= {"opt.layouts", "opt.shapes", "opt.sparse_in_time", "opt.pure", "opt.round_trip", "opt.groups"}


@pytest.mark.parametrize(
    ("name", "law", "said"),
    [
        ("WritesGradient", "opt.pure", "gradient of parameter"),
        ("PairsByMemory", "opt.layouts", "scaled error"),
        ("SkipsTail", "opt.shapes", "scaled error"),
        ("ForgetsState", "opt.round_trip", "parameter 0"),
    ],
)
def test_faults_are_caught_without_a_formula(name, law, said):
    broken = [result for result in results(name, (law,)) if result.broken]
    assert broken and said in broken[0].message


def test_options_of_which_nothing_is_seen_are_told_and_break_nothing():
    told = found("Careful")
    said = "changed nothing when it was tried, alone or beside one other option: is it read?"
    assert told.unasked == tuple(
        ("opt.knobs_alive", f"option={name}", f"{name} {said}") for name in ("unread", "momentum")
    )
    # A rate of zero is not legal beside every option, and one of them is not the groups'.
    assert told.subject.rests is None
    seen = results("Careful", ("opt.knobs_alive", "opt.invariant", "opt.groups"))
    assert [result.message for result in seen if result.broken] == []
    assert not any("unread" in result.case or "rate_of_zero" in result.case for result in seen if "knobs" in result.law)


def test_groups_are_not_asked_where_they_depend_on_one_another():
    why = "an update depends on all parameters together, so that a group is not as if alone"
    assert found("Clipped").unasked == (("opt.groups", "several groups", why),)
    assert {result.law for result in results("Clipped", ("opt.groups", "opt.version"))} == {"opt.version"}


def test_what_cannot_be_judged_is_skipped_with_the_reason():
    (reason,) = {result.message for result in results("Clipped", ("opt.layouts",))}
    assert reason == (
        "nobody knows its formula, and it is no oracle of itself: an update depends on all parameters together"
    )
    steps = {result.verdict: result.message for result in results("Counted", ("opt.replaced", "opt.layouts"), most=2)}
    assert set(steps) == {"pass", "skip"}
    assert steps["skip"] == "own.py:Counted keeps more than its state tells, so that no step is judged alone"


def test_laws_with_a_formula_are_judged_by_the_users_oracle():
    right = results("Momentum", ("opt.oracle",), "own.py:Momentum", most=6)
    assert {result.verdict for result in right} == {"pass"}
    wrong = results("WritesGradient", ("opt.oracle",), "own.py:Momentum", most=6)
    assert "pass" not in {result.verdict for result in wrong} and wrong[0].verdict == "fail"
    assert "state not synchronised" not in wrong[0].message
    assert "--impl own.py:WritesGradient --oracle own.py:Momentum -k 'opt.oracle[" in wrong[0].reproduce
    assert "--algo" not in wrong[0].reproduce
    # Names that an Adapter gives count where the oracle has them.
    for oracle, alias in (("torch.optim:SGD", {"buffer": "momentum_buffer"}), ("own.py:Momentum", {})):
        plan = Plan("", ("own.py:Renamed",), oracle=oracle)
        about = acquaintance.look(plan, [registry.find("own.py:Renamed")], {})
        assert about["own.py:Renamed"]["state"] == alias
        assert {result.verdict for result in results("Renamed", ("opt.oracle",), oracle, most=2)} == {"pass"}
    # Its own default of lr is not the oracle's: both get the same.
    assert {result.verdict for result in results("Momentum", ("opt.oracle",), "torch.optim:SGD", most=3)} == {"pass"}
