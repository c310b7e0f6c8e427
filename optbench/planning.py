"""What a conformance run is about, and the tasks that it comes to: subject x law x case x implementation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from optbench import case_ids, generate, laws, registry, subjects
from optbench.case import Case
from optbench.checking import LACKS, Task, result_of
from optbench.errors import UsageError
from optbench.expected import Expectations
from optbench.foreign import acquaintance, peers
from optbench.keyword import matches
from optbench.law import Scope
from optbench.registry import Implementation
from optbench.runs.results import Result
from optbench.subjects import Subject
from optbench.worker import Worker

DTYPES = Scope().dtypes


@dataclass(frozen=True)
class Plan:
    """What a conformance run is about.

    Args:
        algo: as `--algo` has it: names, commas, globs, `all`; empty: what foreign classes are by themselves, of which
            every law is asked that needs no formula.
        implementations: as `--impl` names them; empty: every implementation at hand, ours judged.
        device: a torch device.
        dtypes: storage dtypes; empty: all.
        suite: "quick" or "full".
        laws: globs of law ids; empty: all.
        keyword: `-k`'s expression over `law[case]`.
        seed: seeds values and perturbations; in the full suite further cases too.
        require_torch: judge foreign code on the level "torch" too.
        expected: failures that the owner of the judged implementations expects.
        oracle: the user's own class whose run in float64 is the oracle, as `--oracle` has it.
    """

    algo: str = "all"
    implementations: tuple[str, ...] = ()
    device: str = "cpu"
    dtypes: tuple[str, ...] = ()
    suite: str = "quick"
    laws: tuple[str, ...] = ()
    keyword: str = ""
    seed: int = 0
    require_torch: bool = False
    expected: Expectations | None = None
    oracle: str = ""

    @property
    def scope(self) -> Scope:
        return Scope(self.suite, self.device, self.dtypes or DTYPES, self.seed)


def planned(plan: Plan, workers: Mapping[str, Worker]) -> list[Task]:
    """What a plan asks for.

    Args:
        plan: the plan.
        workers: a process for each foreign implementation that may not run in this one, where it is looked at.
    """
    chosen = registry.select(list(plan.implementations), plan.device)
    return tasks(plan, chosen, acquaintance.look(plan, chosen, workers))


def tasks(
    plan: Plan, chosen: Sequence[Implementation], about: Mapping[str, Mapping[str, Any]] | None = None
) -> list[Task]:
    """What a plan asks for, implementation innermost, so that all share a case's oracle."""
    named = list(plan.implementations)
    found = []
    about = about or {}
    owners = _adopt(plan, about)
    for declared in subjects.select(plan.algo):
        takers = [
            (item, facts)
            for item, facts in _takers(declared, chosen, about)
            if item.name in owners.get(declared.name, [item.name])
        ]
        subject = _common(declared, [facts for _, facts in takers])
        for entry in laws.select(plan.laws):
            if entry.law.kind != subject.kind:
                continue
            for case in cases(entry, subject, plan) if takers else ():
                for item, facts in takers:
                    if not peers.agrees(facts, declared.complete(case.options)):
                        continue
                    options = facts.get("options")
                    judged = registry.judged(item, named)
                    if item.target and entry.law.level == "torch" and not plan.require_torch:
                        judged = False
                    found.append(
                        Task(
                            entry.law.id,
                            case,
                            item.name,
                            judged,
                            reproduce(plan, entry.law.id, case, item.name),
                            None if options is None else frozenset(options),
                            facts.get("state", {}),
                            plan.dtypes,
                            plan.require_torch,
                            entry.law.host and plan.suite == "quick" and not named and item.interpreted_on(plan.device),
                            frozenset(facts.get("named", ())),
                            declared if declared.name in owners else subject if facts.get("only") else None,
                            facts["found"].oracle if "found" in facts else None,
                            frozenset(facts.get("inherits", ())),
                            entry.space(subject, plan.scope) if case.id == generate.DRAWN else None,
                        )
                    )
    if not found and not plan.keyword and plan.dtypes:
        takes = dict.fromkeys(dtype for subject in subjects.select(plan.algo) for dtype in subject.dtypes)
        raise UsageError(f"--dtype {','.join(plan.dtypes)}: {plan.algo} takes {', '.join(takes)}.")
    if not found and not plan.keyword and about:
        told = "; ".join(peers.told(name, facts) for name, facts in about.items())
        raise UsageError(f"--algo {plan.algo!r} is of another kind: {told}.")
    if not found:
        raise UsageError(f"-k {plan.keyword!r} selects no case: `optbench list laws` shows the laws.")
    return found


def _takers(
    subject: Subject, chosen: Sequence[Implementation], about: Mapping[str, Mapping[str, Any]]
) -> list[tuple[Implementation, Mapping[str, Any]]]:
    """The implementations that have a subject, with what foreign code told about its own."""
    found = []
    for item in chosen:
        facts: Mapping[str, Any] | None = {} if subject.kind in item.kinds else None
        if item.name in about:
            facts = peers.facts(about[item.name], subject.kind, subject.class_name)
        if facts is not None:
            found.append((item, facts))
    return found


def _common(declared: Subject, everyone: Iterable[Mapping[str, Any]]) -> Subject:
    """A subject without what some of the foreign code lacks: nobody's cases have it, and all share the same oracle."""
    subject = declared
    for facts in everyone:
        if facts.get("options") is not None:
            subject = subject.limited(set(subject.defaults).intersection(facts["options"]))
        subject = subject.narrowed(facts.get("only", {}), facts.get("dtypes", ()))
    return subject


def _adopt(plan: Plan, about: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """Adopt the subjects that were made for this run; their names, and the implementations that each is asked of."""
    owners: dict[str, list[str]] = {}
    adopted = []
    for name, facts in about.items():
        if "found" not in facts:
            continue
        subject = facts["found"].subject
        if subject.name in owners and not plan.algo:
            # Another class of the same name.
            subject = replace(subject, name=name)
        owners.setdefault(subject.name, []).append(name)
        adopted.append(subject)
    subjects.adopt(adopted)
    return owners


def missing(plan: Plan, about: Mapping[str, Mapping[str, Any]]) -> Iterator[Result]:
    """A skip for each declared option that foreign code lacks."""
    asked = {entry.law.id for entry in laws.select(plan.laws)}
    for name, told in about.items():
        for subject in (each for each in subjects.select(plan.algo) if laws.WIDEST[each.kind] in asked):
            facts = peers.facts(told, subject.kind, subject.class_name)
            if facts is None or facts["options"] is None:
                continue
            for option in sorted(set(subject.defaults) - set(facts["options"])):
                yield _skipped(laws.WIDEST[subject.kind], subject.name, name, f"option={option}", LACKS + option)
        for law, what, reason in told["found"].unasked if "found" in told else ():
            if law in asked:
                yield _skipped(law, told["found"].subject.name, name, what, reason)


def _skipped(law: str, subject: str, name: str, what: str, reason: str) -> Result:
    return result_of(Task(law, Case(subject, variant=what), name, True, ""), "skip", reason, registry.find(name))


def cases(entry: laws.Entry, subject: Subject, plan: Plan) -> list[Case]:
    """The cases of a law that the plan's expression selects; cases that repeat one another count once.

    A whole `law[case]` need not be listed by the law: it names what was drawn, or what a failure was reduced to.
    """
    found: dict[str, Case] = {}
    for case in entry.cases(subject, plan.scope):
        found.setdefault(case.id, case)
    if entry.space(subject, plan.scope) is not None:
        drawn = generate.placeholder(subject.name, plan.device, plan.seed)
        found[drawn.id] = drawn
    chosen = [case for case in found.values() if matches(plan.keyword, f"{entry.law.id}[{case.id}]")]
    named = re.fullmatch(r"([\w.]+)\[(\S+)\]", plan.keyword)
    if named and not chosen and named[1] == entry.law.id:
        like = Case(subject.name, device=plan.device, seed=plan.seed)
        listed = entry.cases(subject, replace(plan.scope, suite="full", dtypes=DTYPES))
        parsed = case_ids.parse(named[2], subject, like, listed)
        return [parsed] if parsed else []
    return chosen


def reproduce(plan: Plan, law: str, case: Case, implementation: str) -> str:
    """The command that reruns one case."""
    parts = ["optbench check", *([f"--algo {case.subject}"] if plan.algo else []), f"--impl {implementation}"]
    parts += [f"--oracle {plan.oracle}"] if plan.oracle else []
    parts += [f"-k '{law}[{case.id}]'"]
    parts += [f"--dtype {','.join(plan.dtypes)}"] if plan.dtypes else []
    parts += [f"--device {plan.device}"] if plan.device != "cpu" else []
    parts += [f"--suite {plan.suite}"] if plan.suite != "quick" else []
    return " ".join([*parts, f"--seed {plan.seed}"])
