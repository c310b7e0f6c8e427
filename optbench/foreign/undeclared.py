"""A subject made from a class that nobody declared: its options from the constructor, the rest from trying it.

A value that an option may have beside its default is known by the option's name, or is the other one of True and False;
an `optbench.Adapter(values=…)` says others. What the constructor or a first step refuses is left out.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from optbench import laws, registry, subjects
from optbench.case import AsTensor
from optbench.errors import UsageError
from optbench.foreign import behaviour, loading
from optbench.foreign.behaviour import Behaviour, Manner
from optbench.registry import Implementation, Oracle
from optbench.subjects import Exempt, Option, Subject

# Values for options of these names: the first where there is no default, else the next that is of its kind and differs.
_VALUES: dict[str, tuple[Any, ...]] = {
    "lr": (1e-3, 0.1, 0.0625),
    "betas": ((0.9, 0.999), (0.5, 0.8), (0.75, 0.9), (0.5, 0.8, 0.9)),
    "eps": (1e-8, 1e-3, 1e-2),
    "weight_decay": (0.01, 0.1),
    "momentum": (0.9, 0.5),
    "dampening": (0.25, 0.5),
    **dict.fromkeys(("beta", "beta1", "beta2", "beta3", "alpha", "rho"), (0.75, 0.5)),
}
KNOBS, GROUPS = "opt.knobs_alive", "opt.groups"
SILENT = "changed nothing when it was tried, alone or beside one other option: is it read?"
_TOGETHER = "an update depends on all parameters together"
# Schedules and users change these between steps; what others decide, the constructor or a first step may settle.
_SCHEDULED = ("lr", "betas", "momentum", "weight_decay")
# They choose how it is computed, which the class decides.
_PATHS = ("foreach", "fused", "capturable", "differentiable", "compile", "compiled")
_DECAYS = ("weight_decay", "decay", "wd", "l1", "l2")
_TENSOR_RATE = AsTensor(0.0625)


@dataclass(frozen=True)
class Found:
    """What a run needs to know about a class that nobody declared, or that somebody's class is the oracle of.

    Args:
        subject: what is asked of it.
        oracle: who judges its numbers.
        unasked: what is not asked of it, and why: (law, what, reason).
    """

    subject: Subject
    oracle: Oracle
    unasked: tuple[tuple[str, str, str], ...] = ()


def find(name: str, oracle: str = "", declared: Subject | None = None, untried: str = "") -> Found:
    """The subject that a class is asked laws of.

    Args:
        name: the class, as `--impl` names it.
        oracle: the class whose run in float64 is the oracle, as `--oracle` names it; "": the class itself, which says
            nothing about its formula.
        declared: the subject that it claims to be; None: its own.
        untried: why it is not to be tried.

    Raises:
        UsageError: it is no optimizer, it needs an argument that nobody knows a value of, or the oracle cannot judge.
    """
    item = registry.find(name)
    subject = declared or _own(item, not untried)
    if untried:
        return Found(subject, Oracle(name, untried))
    if oracle:
        return _by_oracle(item, registry.find(oracle), subject)
    how = _manner(item, subject)
    seen = _observe(how, subject) if how else None
    oracle_of_itself = Oracle(name, _refusal(seen), seen is not None and seen.settable)
    return Found(_like(how, subject, seen), oracle_of_itself, _unasked(subject, seen))


def _by_oracle(item: Implementation, judge: Implementation, subject: Subject) -> Found:
    """The options that the oracle has too; state and all else as the oracle has it."""
    try:
        taken = loading.accepted_options(loading.load_class(judge.target))
    except UsageError as error:
        raise UsageError(str(error).replace("--impl", "--oracle", 1)) from error
    common = subject.limited(set(subject.defaults).intersection(subject.defaults if taken is None else taken))
    how = _manner(judge, common)
    if how is None:
        raise UsageError(f"--oracle {judge.target!r} takes no step with the options of {item.target!r}, "
                         f"{_listed(common.defaults)}.")  # fmt: skip
    seen = _observe(how, common)
    if _refusal(seen):
        raise UsageError(f"--oracle {judge.target!r} cannot judge one step of one parameter: {_refusal(seen)}.")
    ruled = replace(_like(how, common, seen), rule=f"as {judge.target} computes it", coarse={})
    lacks = sorted(set(subject.defaults) - set(common.defaults))
    why = f"{judge.name} has no such option"
    unasked = [(laws.WIDEST["optimizer"], f"option={name}", f"{why}: {name}") for name in lacks]
    return Found(ruled, Oracle(judge.name, steps=seen.settable), (*unasked, *_unasked(common, seen)))


def _unasked(subject: Subject, seen: Behaviour | None) -> tuple[tuple[str, str, str], ...]:
    """What nobody can ask of it."""
    silent = [(KNOBS, f"option={option.name}", f"{option.name} {SILENT}") for option in subject.options if option.idle]
    if seen is not None and seen.sees == "all":
        silent.append((GROUPS, "several groups", f"{_TOGETHER}, so that a group is not as if alone"))
    return tuple(silent)


def _refusal(seen: Behaviour | None) -> str:
    """Why an optimizer's own run cannot be an oracle; empty where it can."""
    if seen is None:
        return "it takes no step with its default options"
    if seen.closure:
        return "its step takes a closure"
    if not seen.repeats:
        return "two equal runs differ"
    return _TOGETHER if seen.sees == "all" else ""


def _own(item: Implementation, tried: bool) -> Subject:
    """A subject of the class's name and options, each with values; where it is tried, with those that it takes."""
    cls = loading.load_class(item.target)
    kind = loading.kind_of(cls)
    if kind != "optimizer":
        raise _refused(item, f"is {'an' if kind == 'averager' else 'a'} {kind}")
    # What the module calls it; a class that was made by `optbench.adapt` may be called otherwise.
    own = item.target.rpartition(":")[2].rpartition(".")[2]
    name = own if own not in subjects.NAMES else item.name
    options = tuple(_options(item.name, cls))
    subject = Subject(name, cls.__name__, "optimizer", f"{item.target}, which nobody declared", (), "", options, (),
                      in_torch=False)  # fmt: skip
    how = _manner(item, subject) if tried else None
    if how and how.closure:
        raise _refused(item, "takes no step without a closure")
    return _legal(how, subject) if how else subject


def _refused(item: Implementation, why: str) -> UsageError:
    return UsageError(f"--impl {item.name!r} {why}: name what it computes by --algo; `optbench list algos` shows all.")


def _options(name: str, cls: type[Any]) -> Iterator[Option]:
    """The options that have more than one value that can be tried."""
    adapter = loading.adapter_of(cls)
    parameters = list(inspect.signature(cls).parameters.values())[1:]
    for parameter in parameters:
        option = adapter.declared(parameter.name)
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) or option in _PATHS:
            continue
        needed = parameter.default is parameter.empty
        values = tuple(adapter.values.get(option, _values(option, parameter.default, needed)))
        if len(values) > 1:
            tried = (*values, _TENSOR_RATE) if option == "lr" else values
            yield Option(option, values[0], tried, "", "", decays=option in _DECAYS)
        elif needed:
            raise UsageError(f"--impl {name!r}: nobody knows values of its argument {parameter.name!r}, which has no "
                             f"default: give it one, or two values by optbench.Adapter(values=...).")  # fmt: skip


def _values(option: str, default: Any, needed: bool) -> tuple[Any, ...]:
    """The default and another value; the default alone where none is known."""
    known = _VALUES.get(option, ())
    if needed:
        return known[:2]
    if isinstance(default, bool):
        return default, not default
    usual = tuple(default) if isinstance(default, list) else default
    alike = [value for value in (*known[1:], *known[:1]) if _of_a_kind(value, usual) and value != usual]
    return (usual, *alike[:1])


def _of_a_kind(value: Any, default: Any) -> bool:
    if isinstance(value, tuple):
        return isinstance(default, tuple) and len(value) == len(default)
    return isinstance(default, int | float) and not isinstance(default, bool)


def _legal(how: Manner, subject: Subject) -> Subject:
    """The subject with the values that a first step takes and what they need beside them, and with refused pairs."""
    second = {option.name: option.values[1] for option in subject.options}
    # Each option at its second value, with what it needs beside the defaults.
    takes = {name: {name: value} for name, value in second.items() if how.accepts({name: value})}
    forbidden = []
    for name in [name for name in second if name not in takes]:
        beside = [other for other in second if other != name and how.accepts({n: second[n] for n in (name, other)})]
        if beside:
            takes[name] = {n: second[n] for n in (name, *beside)}
            forbidden += [((name, second[name]), (other, subject.defaults[other])) for other in beside]
    silent = []
    for name, chosen in list(takes.items()):
        if not how.differs({}, chosen):
            takes[name] = {**chosen, **_company(how, chosen, takes)}
            silent += [name] * (takes[name] == chosen)
    for a, b in combinations(takes, 2):
        if not how.accepts({**takes[a], **takes[b]}):
            forbidden.append(((a, second[a]), (b, second[b])))
    options = [
        replace(
            option,
            needs={name: value for name, value in takes[option.name].items() if name != option.name},
            settled=option.name not in _SCHEDULED or not how.bears(takes[option.name]),
            idle=SILENT * (option.name in silent),
        )
        for option in subject.options
        if option.name in takes
    ]
    kept = tuple(pair for pair in forbidden if dict(pair).keys() <= takes.keys())
    return replace(subject, options=tuple(options), forbidden=kept)


def _company(how: Manner, chosen: Mapping[str, Any], takes: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """Another option beside which the chosen ones change something; none where nothing does."""
    for other in takes.values():
        both = {**other, **chosen}
        if len(both) > len(chosen) and how.accepts(both) and how.differs(other, both):
            return other
    return {}


def _like(how: Manner | None, subject: Subject, seen: Behaviour | None) -> Subject:
    """The subject with what was seen of it."""
    if how is None or seen is None:
        return subject
    found = replace(
        subject,
        state=seen.state,
        sees=seen.sees,
        dimensions=seen.dimensions,
        sparse=seen.sparse,
        closure=seen.closure,
        state_at_start=seen.state_at_start,
        fullest=_fullest(subject, seen),
        # One group's gradients move the others' parameters.
        exempt=(*subject.exempt, *((Exempt(GROUPS, "", _TOGETHER),) if seen.sees == "all" else ())),
    )
    still = {"lr": 0.0}
    rests = seen.rests and all(how.accepts({**row, **still}) for row in (found.fullest, found.crowd()))
    return replace(found, rests=still if rests else None)


def _fullest(subject: Subject, seen: Behaviour) -> dict[str, Any]:
    """Options under which every entry of the state exists, and parameters decay."""
    chosen: dict[str, Any] = {}
    names = [entry.when for entry in seen.state if entry.when] + ["weight_decay"]
    for option in subject.options:
        value = next((value for value in option.values if value), None)
        if option.name in names and value is not None and subject.legal({**chosen, option.name: value}):
            chosen[option.name] = value
    return subject.changed(chosen)


def _manner(item: Implementation, subject: Subject) -> Manner | None:
    """How its optimizers can be stepped, with every option of the subject given."""

    def make(params: Any, options: Mapping[str, Any]) -> Any:
        return registry.build(item, subject.class_name, params, subject.complete(options))

    return behaviour.manner(make)


def _observe(how: Manner, subject: Subject) -> Behaviour:
    sets = [{}, *({option.name: option.values[1]} for option in subject.options)]
    return behaviour.observe(how, [options for options in sets if how.accepts(options)], subject.defaults)


def _listed(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in options.items()) or "none"
