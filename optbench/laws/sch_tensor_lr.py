"""sch.tensor_lr: a rate that is a tensor stays that tensor."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from optbench.case import Case
from optbench.law import Law, Scope
from optbench.subjects import Subject
from optbench.subjects._schedule import Part

if TYPE_CHECKING:
    from torch import Tensor

    from optbench.trials.schedulers import Run, Trial

    # What is held where, in words and in Python.
    Held = tuple[str, str, Tensor]

LAW = Law(
    id="sch.tensor_lr",
    level="torch",
    statement="a tensor lr is written in place, keeps type and identity, and shares memory with no record of itself",
    catches="a tensor replaced by a float, initial_lr or base_lrs that move with the rate, get_last_lr that does",
    kind="scheduler",
)

_FORMS = ("tensor-float64", "tensor-float32", "tensor with a dimension", "tensor that requires a gradient")
_ONE = ("one of two groups", "the other of two groups")
_RESUMED = "tensor, resumed"
_CONTINUED = "tensor, resumed by last_epoch"
_JOINED = "tensor, a group joins late"
_BOUNDS, _LISTED = "tensor bounds, a group joins late", "tensor bounds in lists"
# Options that bound a schedule, and may be tensors as well.
_BOUNDING = ("base_lr", "max_lr", "swa_lr", "base_momentum", "max_momentum")
_EPOCHS = 6
# A part that is begun for another has records, too.
_NESTED: dict[str, Any] = {
    "schedulers": (Part("linearlr", {}), Part("chainedscheduler", {"schedulers": (Part("steplr", {"step_size": 2}),)})),
    "milestones": (2,),
}
_BETAS = "tensor betas"
_LR = "optimizer.param_groups[{}]['lr']"
# One rounding of float32, however many steps there were; one a step where a rate comes from the last one only.
_FLOAT32, _FLOAT32_EPOCHS = 2.0**-23, 30
_RECURSIVE = ("multiplicativelr",)


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    for variant in (*_FORMS, _RESUMED, _JOINED):
        yield scope.case(subject, {}, scope.dtypes[0], variant=variant)
    if subject.name not in ("reducelronplateau", "chainedscheduler"):
        yield scope.case(subject, {}, scope.dtypes[0], variant=_CONTINUED)
    for variant in _ONE:
        yield scope.case(subject, subject.fullest, scope.dtypes[0], variant=variant)
    if subject.name == "sequentiallr":
        yield scope.case(subject, _NESTED, scope.dtypes[0], variant=_FORMS[0])
    if any(name in subject.defaults for name in _BOUNDING):
        for variant in (_BOUNDS, _LISTED):
            yield scope.case(subject, {}, scope.dtypes[0], variant=variant)
    if "cycle_momentum" in subject.defaults:
        yield scope.case(subject, {}, scope.dtypes[0], variant=_BETAS)


def check(trial: Trial) -> None:
    if trial.case.variant == _BETAS:
        _betas(trial)
    elif trial.case.variant == _LISTED:
        _listed(trial)
    elif trial.case.variant == _BOUNDS:
        _bounds(trial)
    else:
        _rates(trial)


def _betas(trial: Trial) -> None:
    """beta1 is a tensor: it is written in place too."""
    from optbench.trials.schedulers import Run

    optimizer = trial.optimizer(like=_BETAS)
    held = [group["betas"] for group in optimizer.param_groups]
    trial.keep("held", held, "[group['betas'] for group in optimizer.param_groups]")
    beta2s = [float(betas[1]) for betas in held]
    run = Run(trial, optimizer, trial.build(optimizer))
    for epoch in range(trial.last(_EPOCHS) + 1):
        if epoch:
            run.step(epoch)
        trial.judge("tensor betas", run, epoch)
        for i, (group, betas, beta2) in enumerate(zip(optimizer.param_groups, held, beta2s, strict=True)):
            same = all(now is then for now, then in zip(group["betas"], betas, strict=True))
            trial.checker.true(f"betas of group {i} are the same tensors at epoch {epoch}", same, repr(group["betas"]),
                               f"all(map(operator.is_, optimizer.param_groups[{i}]['betas'], held[{i}]))")  # fmt: skip
            trial.checker.same(f"beta2 of group {i} at epoch {epoch}", float(group["betas"][1]), beta2,
                               shown=f"float(optimizer.param_groups[{i}]['betas'][1]) == {beta2!r}")  # fmt: skip


def _bounds(trial: Trial) -> None:
    """Bounds that are tensors are read: nobody writes to them, and what one group holds is no other's."""
    import torch

    from optbench.trials.schedulers import Run

    full, optimizer = trial.full(), trial.optimizer()
    given = {name: torch.tensor(full[name], dtype=torch.float64) for name in _BOUNDING if name in full}
    trial.keep("given", given)
    run = Run(trial, optimizer, trial.build(optimizer, {**trial.case.options, **given}))
    trial.follow("tensor bounds", run, 0, trial.last(_EPOCHS))
    optimizer.add_param_group({"params": list(trial.optimizer().param_groups[0]["params"]), "lr": 0.02})
    run.step(trial.last(_EPOCHS) + 1)
    _apart(trial, [*((name, f"given[{name!r}]", tensor) for name, tensor in given.items()), *_held(run)])
    for name, tensor in given.items():
        trial.checker.same(f"{name} that was given, at the end", float(tensor), full[name],
                           shown=f"float(given[{name!r}]) == {full[name]!r}")  # fmt: skip


def _listed(trial: Trial) -> None:
    """The same of a tensor for each group."""
    import torch

    from optbench.trials.schedulers import Run

    full, optimizer = trial.full(), trial.optimizer()
    count = len(optimizer.param_groups)
    given = {name: [torch.tensor(full[name], dtype=torch.float64) for _ in range(count)]
             for name in _BOUNDING if name in full}  # fmt: skip
    trial.keep("given", given)
    run = Run(trial, optimizer, trial.build(optimizer, {**trial.case.options, **given}))
    trial.follow("tensor bounds", run, 0, trial.last(_EPOCHS))
    _apart(trial, [*((f"{name}[{i}] that was given", f"given[{name!r}][{i}]", each) for name, tensors in given.items()
                     for i, each in enumerate(tensors)), *_held(run)])  # fmt: skip
    optimizer = trial.optimizer()
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    run = Run(trial, optimizer, trial.build(optimizer, {**trial.case.options, **given}, last_epoch=1))
    _apart(trial, [*((f"{name}[{i}] that was given", f"given[{name!r}][{i}]", each) for name, tensors in given.items()
                     for i, each in enumerate(tensors)), *_held(run)])  # fmt: skip
    for name, tensors in given.items():
        read = [float(each) for each in tensors]
        trial.checker.same(f"{name} that was given, at the end", read, [full[name]] * count,
                           shown=f"[float(each) for each in given[{name!r}]] == {[full[name]] * count!r}")  # fmt: skip


def _held(run: Run) -> list[Held]:
    """Every tensor that the groups hold, or a list of the scheduler's."""
    import torch

    found = [(f"{name} of group {i}", f"optimizer.param_groups[{i}][{name!r}]", value)
             for i, group in enumerate(run.optimizer.param_groups) for name, value in group.items()]  # fmt: skip
    found += [(f"{name}[{i}]", f"scheduler.{name}[{i}]", value) for name, values in vars(run.scheduler).items()
              if isinstance(values, list) for i, value in enumerate(values)]  # fmt: skip
    return [held for held in found if isinstance(held[-1], torch.Tensor)]


def _rates(trial: Trial) -> None:
    import torch

    from optbench.trials.schedulers import LRS

    dtype = torch.float32 if trial.case.variant == "tensor-float32" else torch.float64
    shape = (1,) if trial.case.variant == _FORMS[2] else ()
    rates: list[Any] = [torch.full(shape, lr, dtype=dtype, device=trial.case.device) for lr in LRS]
    for rate in rates if trial.case.variant == _FORMS[3] else ():
        rate.requires_grad_()
    if trial.case.variant in _ONE:
        other = 1 - _ONE.index(trial.case.variant)
        rates[other] = LRS[other]
    run = trial.run(lrs=rates)
    begun = _resume(trial, run) if trial.case.variant == _RESUMED else 0
    if trial.case.variant == _CONTINUED:
        run, begun = _continued(trial, run), 2
    held = [group["lr"] for group in run.optimizer.param_groups]
    trial.keep("held", held, "[group['lr'] for group in optimizer.param_groups]")
    records = _records(trial, run)
    _apart(trial, [*records, *_lrs(run)])
    for what, where, tensor in records:
        trial.checker.true(f"{what} is part of no graph", tensor.grad_fn is None, repr(tensor),
                           f"{where}.grad_fn is None")  # fmt: skip
    kept = [tensor.clone() for *_, tensor in records]
    for epoch in range(begun, trial.last(_FLOAT32_EPOCHS if dtype is torch.float32 else _EPOCHS) + 1):
        if epoch > begun:
            run.step(epoch)
        roundings = max(1, epoch) if trial.subject.name in _RECURSIVE else 1
        _judge(trial, run, held, epoch, _FLOAT32 * roundings if dtype is torch.float32 else 1e-12)
    for (what, where, tensor), before in zip(records, kept, strict=True):
        trial.checker.equal(f"{what} at the end", tensor, before, shown=f"float({where}) == {float(before)!r}")
    if trial.case.variant == _JOINED:
        _joined(trial, run)


def _joined(trial: Trial, run: Run) -> None:
    """The tensors of a group that joins late are its own too."""
    import torch

    late = trial.keep("late", torch.tensor(0.02, dtype=torch.float64, device=trial.case.device))
    run.optimizer.add_param_group({"params": list(trial.optimizer().param_groups[0]["params"]), "lr": late})
    run.step(trial.last(_EPOCHS) + 1)
    groups = run.optimizer.param_groups
    trial.checker.true("lr of the group that joined is the same tensor", groups[-1]["lr"] is late,
                       shown="optimizer.param_groups[-1]['lr'] is late")  # fmt: skip
    _apart(trial, [*_records(trial, run), *_lrs(run)])


def _resume(trial: Trial, run: Run) -> int:
    """Two epochs on, loaded from a run of the same rates: the tensors are this run's, and nobody else's."""
    import torch

    from optbench.trials.schedulers import LRS

    other = trial.run(lrs=[torch.tensor(lr, dtype=torch.float64, device=trial.case.device) for lr in LRS])
    for epoch in (1, 2):
        other.step(epoch)
    theirs = [group["lr"].data_ptr() for group in other.optimizer.param_groups]
    trial.keep("theirs", theirs, "[group['lr'].data_ptr() for group in optimizer.param_groups]")
    saved = other.optimizer.state_dict(), other.scheduler.state_dict()
    run.optimizer.load_state_dict(saved[0])
    run.scheduler.load_state_dict(saved[1])
    for i, group in enumerate(run.optimizer.param_groups):
        tensor = isinstance(group["lr"], torch.Tensor)
        trial.checker.true(f"lr of group {i} is a tensor when it is loaded", tensor,
                           shown=f"isinstance(optimizer.param_groups[{i}]['lr'], torch.Tensor)")  # fmt: skip
        trial.checker.true(f"lr of group {i} is not the saved run's", tensor and group["lr"].data_ptr() not in theirs,
                           shown=f"optimizer.param_groups[{i}]['lr'].data_ptr() not in theirs")  # fmt: skip
    return 2


def _continued(trial: Trial, run: Run) -> Run:
    """Two epochs on, in an optimizer that loaded the state of the first one's."""
    from optbench.trials.schedulers import Run

    for epoch in (1, 2):
        run.step(epoch)
    optimizer = trial.optimizer([lr.clone() for lr in (group["lr"] for group in run.optimizer.param_groups)])
    optimizer.load_state_dict(copy.deepcopy(run.optimizer.state_dict()))
    return Run(trial, optimizer, trial.build(optimizer, last_epoch=1))


def _judge(trial: Trial, run: Run, held: list[Any], epoch: int, tolerance: float) -> None:
    import torch

    checker = trial.checker
    for i, (group, rate) in enumerate(zip(run.optimizer.param_groups, trial.expected(epoch), strict=True)):
        now, told = group["lr"], run.scheduler.get_last_lr()[i]
        if isinstance(held[i], torch.Tensor):
            checker.true(f"lr of group {i} is the same tensor at epoch {epoch}", now is held[i], repr(now),
                         f"{_LR.format(i)} is held[{i}]")  # fmt: skip
            for where, told in [(where, part.get_last_lr()[i]) for where, part in run.due()]:
                own = isinstance(told, torch.Tensor) and told is not now and told.data_ptr() != now.data_ptr()
                checker.true(f"get_last_lr of group {i} is a tensor of its own at epoch {epoch}", own, repr(told),
                             f"{where}.get_last_lr()[{i}].data_ptr() != {_LR.format(i)}.data_ptr()")  # fmt: skip
        else:
            checker.true(f"lr of group {i} is a float at epoch {epoch}", type(now) is float, repr(type(now)),
                         f"type({_LR.format(i)}) is float")  # fmt: skip
        checker.near(f"lr of group {i} at epoch {epoch}", float(now), rate, tolerance,
                     shown=f"abs({_LR.format(i)} - {rate!r}) <= {tolerance * abs(rate)!r}")  # fmt: skip
        checker.same(f"get_last_lr of group {i} at epoch {epoch}", float(told), float(now),
                     shown=f"float(scheduler.get_last_lr()[{i}]) == float({_LR.format(i)})")  # fmt: skip


def _lrs(run: Run) -> list[Held]:
    import torch

    return [(f"lr of group {i}", _LR.format(i), group["lr"]) for i, group in enumerate(run.optimizer.param_groups)
            if isinstance(group["lr"], torch.Tensor)]  # fmt: skip


def _apart(trial: Trial, tensors: list[Held]) -> None:
    """Whoever writes to one of them writes to no other."""
    known: dict[int, tuple[str, str]] = {}
    for what, where, tensor in tensors:
        other, there = known.setdefault(tensor.data_ptr(), (what, where))
        trial.checker.true(f"{what} has memory of its own", other == what, f"it is that of {other}",
                           f"{where}.data_ptr() != {there}.data_ptr()")  # fmt: skip


def _records(trial: Trial, run: Run) -> list[Held]:
    """Tensors that say how the rate was at first: none of them may move."""
    import torch

    groups = run.optimizer.param_groups
    first = trial.make("first", run.scheduler.get_last_lr, "scheduler.get_last_lr()")
    found: list[tuple[str, str, Any]] = [
        (f"initial_lr of group {i}", f"optimizer.param_groups[{i}]['initial_lr']", group.get("initial_lr"))
        for i, group in enumerate(groups)
    ]
    found += [(f"base_lrs of group {i}", f"scheduler.base_lrs[{i}]", lr)
              for i, lr in enumerate(getattr(run.scheduler, "base_lrs", ()))]  # fmt: skip
    found += [(f"get_last_lr of group {i} at epoch 0", f"first[{i}]", lr) for i, lr in enumerate(first)]
    return [record for record in found if isinstance(record[-1], torch.Tensor)]
