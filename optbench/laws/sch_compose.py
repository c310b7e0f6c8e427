"""sch.compose: a composite of one is that one, nesting changes nothing, and order of building neither."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from optbench.case import Case
from optbench.law import Law, Scope
from optbench.subjects import Subject
from optbench.subjects._schedule import Part, Power

if TYPE_CHECKING:
    from optbench.registry import Implementation
    from optbench.trials.schedulers import Trial

LAW = Law(
    id="sch.compose",
    level="state",
    statement="Sequential([s]) = s = Chained([s]), nested = flat, and what was built before changes no schedule",
    catches="a part that is a step ahead, a first rate that the last part built has left, a nested part that fails",
    kind="scheduler",
    host=True,
)

_AFTER, _SECOND = "built after another", "second in a Sequential"
_UNTOLD = "Chained of it, whose optimizer is not given"
_IN_TORCHS = "second in Sequential of torch"
# Variant -> the composite, and whether torch's, or torch's part in ours.
_OF_ONE = {
    "Sequential of it": ("sequentiallr", False, False),
    "Chained of it": ("chainedscheduler", False, False),
    "Sequential of torch around it": ("sequentiallr", True, False),
    "Chained of torch around it": ("chainedscheduler", True, False),
    "Sequential around the one of torch": ("sequentiallr", False, True),
    "Chained around the one of torch": ("chainedscheduler", False, True),
}
_A, _B, _C = (
    Part("linearlr", {"total_iters": 4}),
    Part("exponentiallr", {"gamma": 0.9}),
    Part("steplr", {"step_size": 2}),
)
_CHAIN = Part("chainedscheduler", {"schedulers": (_B, _C)})
# Parts that scale the first rate, one of them deeper.
_SCALING = Part(
    "chainedscheduler",
    {"schedulers": (Part("constantlr", {"factor": 0.5}), Part("chainedscheduler", {"schedulers": (_A, _C)}))},
)
# What is absolute writes over what stands there.
_LAMBDA = Part("lambdalr", {"lr_lambda": Power(0.8)})
_ABSOLUTE = Part("chainedscheduler", {"schedulers": (_LAMBDA,)})


Pair = tuple[Part, Part | None]


def _sequence(*parts: Part, at: tuple[int, ...]) -> Part:
    return Part("sequentiallr", {"schedulers": parts, "milestones": at})


# The first is passed over.
_FOUR = _sequence(_A, _B, _C, _B, at=(0, 3, 6))
# A composite, and the flat one that it has to equal.
_NESTED: dict[str, dict[str, Pair]] = {
    "sequentiallr": {
        "nested first": (_sequence(_sequence(_A, _B, at=(3,)), _C, at=(6,)), _sequence(_A, _B, _C, at=(3, 6))),
        "nested second": (_sequence(_A, _sequence(_B, _C, at=(3,)), at=(2,)), _sequence(_A, _B, _C, at=(2, 5))),
        "nested between": (
            _sequence(_C, _sequence(_A, _B, at=(2,)), _B, at=(3, 8)),
            _sequence(_C, _A, _B, _B, at=(3, 5, 8)),
        ),
        "nested alone": (_sequence(_sequence(_A, _B, at=(3,)), at=()), _sequence(_A, _B, at=(3,))),
        "chained first": (_sequence(_CHAIN, _A, at=(5,)), None),
        "chained second": (_sequence(_A, _CHAIN, at=(3,)), None),
        "four": (_FOUR, None),
        "chained second, scaling": (_sequence(_A, _SCALING, at=(3,)), None),
        "one cycle last": (_sequence(_A, _B, Part("onecyclelr", {"max_lr": 1.0, "total_steps": 20}), at=(2, 5)), None),
        "chained second, absolute": (_sequence(_A, _ABSOLUTE, at=(3,)), None),
        "absolute alone": (_sequence(_A, _LAMBDA, at=(3,)), None),
        "four in a chain": (Part("chainedscheduler", {"schedulers": (_FOUR,)}), _FOUR),
    },
    "chainedscheduler": {
        "nested first": (
            Part("chainedscheduler", {"schedulers": (_CHAIN, _A)}),
            Part("chainedscheduler", {"schedulers": (_B, _C, _A)}),
        ),
        "nested second": (
            Part("chainedscheduler", {"schedulers": (_A, _CHAIN)}),
            Part("chainedscheduler", {"schedulers": (_A, _B, _C)}),
        ),
        "nested alone": (Part("chainedscheduler", {"schedulers": (_CHAIN,)}), _CHAIN),
        "chained second": (_sequence(_A, _SCALING, at=(3,)), None),
        "absolute first": (_ABSOLUTE, None),
    },
}
# Its factor at epoch 0 is 1, so that even those that scale what stands begin where they would alone.
_BEFORE = Part("exponentiallr", {"gamma": 0.5})
_WARM_UP = Part("linearlr", {"total_iters": 3})
# What the rate was is where it begins, wherever that is.
_GO_ON = ("swalr",)
_BEGINS = 3
_EPOCHS = 12


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    dtype = scope.dtypes[0]
    if subject.name in _NESTED:
        untold = (_UNTOLD,) if subject.name == "chainedscheduler" else ()
        for variant in (*_NESTED[subject.name], _IN_TORCHS, *untold):
            yield scope.case(subject, {}, dtype, variant=variant)
    elif subject.name != "reducelronplateau":
        for variant in (*_OF_ONE, _AFTER, _SECOND, _IN_TORCHS):
            yield scope.case(subject, subject.fullest, dtype, variant=variant)


def check(trial: Trial) -> None:
    from optbench.trials.schedulers import Run

    if trial.case.variant == _UNTOLD:
        _untold(trial)
        return
    if trial.subject.name in _NESTED:
        variants = _NESTED[trial.subject.name]
        _in_torchs(trial) if trial.case.variant == _IN_TORCHS else _nested(trial, *variants[trial.case.variant])
        return
    last = trial.last(min(2 * trial.horizon(), 20))
    optimizer = trial.optimizer()
    if trial.case.variant in (_SECOND, _IN_TORCHS):
        _second(trial, optimizer, last)
    else:
        trial.follow(trial.case.variant, Run(trial, optimizer, _alone(trial, optimizer)), 0, last)


def _alone(trial: Trial, optimizer: Any) -> Any:
    """The subject, in a composite of its own or after another scheduler: nothing may change."""
    variant = trial.case.variant
    if variant == _AFTER:
        trial.of_part(_WARM_UP if trial.subject.absolute else _BEFORE, optimizer)
        return trial.build(optimizer)
    name, outside, inside = _OF_ONE[variant]
    inner = trial.build(optimizer, implementation=trial.plain_torch if inside else None)
    return _composite(trial, name, [inner], optimizer, trial.plain_torch if outside else None)


def _composite(
    trial: Trial, name: str, parts: list[Any], optimizer: Any, implementation: Implementation | None = None
) -> Any:
    """A composite of schedulers that are there.

    Raises:
        Unsupported: foreign code that no composite can tell the optimizer of.
    """
    from optbench.trials.base import Unsupported

    if trial.implementation.target and not all(hasattr(part, "optimizer") for part in parts):
        raise Unsupported("it has no attribute `optimizer`, which composites ask of their parts")
    options = {"schedulers": tuple(parts)} | ({"milestones": (_BEGINS,)[: len(parts) - 1]} if name[0] == "s" else {})
    return trial.of_part(Part(name, options), optimizer, implementation)


def _second(trial: Trial, optimizer: Any, last: int) -> None:
    """A warm-up as it would be alone; after it the subject's schedule begins, from its epoch 0 and the initial rate."""
    from optbench.trials import formulas
    from optbench.trials.schedulers import LRS, Run

    outside = trial.plain_torch if trial.case.variant == _IN_TORCHS else None
    parts = [trial.of_part(_WARM_UP, optimizer, outside), trial.build(optimizer)]
    run = Run(trial, optimizer, _composite(trial, "sequentiallr", parts, optimizer, outside))
    rates = [[formulas.part(_WARM_UP, epoch, lr) for lr in LRS] for epoch in range(_BEGINS)]
    bases = rates[-1] if trial.subject.name in _GO_ON else LRS
    rates += [trial.expected(epoch, bases) for epoch in range(last + 1)]
    for epoch, expected in enumerate(rates):
        if epoch:
            run.step(epoch)
        if epoch >= _BEGINS or not outside:
            trial.judge(f"second at {_BEGINS}", run, epoch, expected)
    for epoch, expected in enumerate(rates if hasattr(run.scheduler, "lr_at") else ()):
        trial.judge_told(run.scheduler.lr_at(epoch), epoch, expected)


def _untold(trial: Trial) -> None:
    """The parts tell the optimizer."""
    made = trial.implementation.load(trial.subject.class_name, trial.subject.module)
    for parts in ((_B,), (_B, _C)):
        optimizer = trial.optimizer()
        own = [trial.of_part(part, optimizer) for part in parts]
        text = partial(_untold_text, trial, Part("chainedscheduler", {"schedulers": tuple(own)}))
        scheduler = trial.make("scheduler", partial(made, own), text)
        _follow(trial, optimizer, scheduler, Part("chainedscheduler", {"schedulers": parts}))


def _untold_text(trial: Trial, part: Part, journal: Any) -> str:
    text: str = journal.scheduler(part, trial.implementation, None)
    return text


def _in_torchs(trial: Trial) -> None:
    """torch's composite sets a part that is one of ours to its epoch 0, in its own way."""
    nested = _sequence(_A, _B, at=(2,)) if trial.subject.name == "sequentiallr" else _CHAIN
    optimizer = trial.optimizer()
    parts = [trial.of_part(_A, optimizer, trial.plain_torch), trial.of_part(nested, optimizer)]
    made = _composite(trial, "sequentiallr", parts, optimizer, trial.plain_torch)
    _follow(trial, optimizer, made, _sequence(_A, nested, at=(_BEGINS,)))


def _nested(trial: Trial, nested: Part, flat: Part | None) -> None:
    optimizer = trial.optimizer()
    _follow(trial, optimizer, trial.of_part(nested, optimizer), flat or nested)


def _follow(trial: Trial, optimizer: Any, scheduler: Any, equal: Part) -> None:
    """Judge a composite by the formula of what it has to equal."""
    from optbench.trials import formulas
    from optbench.trials.schedulers import LRS, Run

    run = Run(trial, optimizer, scheduler)
    for epoch in range(_EPOCHS + 1):
        if epoch:
            run.step(epoch)
        expected = [formulas.part(equal, epoch, lr) for lr in LRS]
        trial.judge(trial.case.variant, run, epoch, expected)
    for epoch in range(_EPOCHS + 1) if hasattr(scheduler, "lr_at") else ():
        trial.judge_told(scheduler.lr_at(epoch), epoch, [formulas.part(equal, epoch, lr) for lr in LRS])
