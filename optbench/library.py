"""`optbench.check`: the laws from a Python program. Importing this imports next to nothing, and no torch."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

if TYPE_CHECKING:
    from optbench.planning import Plan
    from optbench.runs.results import Result
    from optbench.runs.summary import Rules, Summary

_WIDTH = 100
_SUITES = ("quick", "full")


@dataclass(frozen=True)
class Report(Sequence["Result"]):
    """What a check came to: a sequence of results, which prints as the command line's table.

    Args:
        results: one for each law and case.
        summary: the sentence, and what it counts.
        rules: which broken results count.

    Example:
        >>> report = check("sgd", "reference", laws="opt.version", dtypes="float32")
        >>> assert report.ok, str(report)
        >>> report.sentence
        'OK: reference keeps opt.version in 2 cases.'
    """

    results: tuple[Result, ...]
    summary: Summary
    rules: Rules

    @property
    def ok(self) -> bool:
        """Whether every law is kept that counts: for foreign code all but those of level "torch"."""
        return not self.summary.exit_status

    @property
    def broken(self) -> list[Result]:
        """The results that break a law that counts."""
        return [result for result in self.results if result.broken and self.rules.counts(result)]

    @property
    def sentence(self) -> str:
        """One line, "OK: …" or "BROKEN: …"."""
        return self.summary.sentence

    @overload
    def __getitem__(self, index: int) -> Result: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Result, ...]: ...

    def __getitem__(self, index: int | slice) -> Result | tuple[Result, ...]:
        return self.results[index]

    def __len__(self) -> int:
        return len(self.results)

    def __iter__(self) -> Iterator[Result]:
        return iter(self.results)

    def __str__(self) -> str:
        from optbench.cli.tables import conformance

        lines: list[str] = []
        for subject in dict.fromkeys(result.subject for result in self.results):
            own = [result for result in self.results if result.subject == subject]
            lines += [subject, "", *conformance(own, _WIDTH, self.rules.grades), ""]
        return "\n".join([*lines, self.sentence])

    def __repr__(self) -> str:
        return f"<optbench.Report of {len(self)} results: {self.sentence}>"


def check(
    algo: str | None,
    implementation: type[Any] | str | None = None,
    *,
    laws: str | Sequence[str] = (),
    suite: str = "quick",
    dtypes: str | Sequence[str] = (),
    device: str = "cpu",
    seed: int = 0,
    keyword: str = "",
    require_torch: bool = False,
    oracle: type[Any] | str = "",
    expected: Path | str | None = None,
    isolate: bool = False,
) -> Report:
    """Check which laws a class keeps, as `optbench check` does. Nothing is written.

    Args:
        algo: the algorithm that it is, as `--algo` has it, "adamw"; None: nobody knows, and every law is asked that
            needs no formula.
        implementation: the class; or what `--impl` takes, "fused" or "path/file.py:Class".
        laws: names or globs of laws; empty: all.
        suite: "quick" or "full".
        dtypes: storage dtypes under test; empty: all.
        device: a torch device.
        seed: seeds values and, in the full suite, further cases.
        keyword: as `-k` has it, over `law[case]`.
        require_torch: judge it as a drop-in for torch.optim too.
        oracle: your own class whose run in float64 decides what is right.
        expected: a TOML file of failures that are expected, see `optbench.expected`.
        isolate: check in a process of its own, which may crash or hang. The class has to be at the top level of a
            module, or of a script whose call of this is under `if __name__ == "__main__"`. What a string names is
            always isolated, unless it is ours.

    Raises:
        UsageError: there is no such thing, or it is no optimizer, scheduler or averager.
        NothingToRun: no case could run.

    Example:
        >>> import torch
        >>> report = check("adam", torch.optim.Adam, laws="opt.version", dtypes="float32")
        >>> report.ok, len(report), report[0].law
        (True, 2, 'opt.version')
        >>> sorted({result.verdict for result in report})
        ['pass']
    """
    from optbench import conformance
    from optbench.runs.summary import summarise

    plan = plan_of(
        algo, implementation, laws=laws, suite=suite, dtypes=dtypes, device=device, seed=seed, keyword=keyword,
        require_torch=require_torch, oracle=oracle, expected=expected, isolate=isolate,
    )  # fmt: skip
    results = tuple(conformance.run(plan))
    rules = conformance.rules(plan)
    for said in conformance.unmatched(plan, ((row.law, row.subject, row.case) for row in results)):
        warnings.warn(said, stacklevel=2)
    return Report(results, summarise(results, rules), rules)


def plan_of(
    algo: str | None,
    implementation: type[Any] | str | None,
    *,
    oracle: type[Any] | str = "",
    expected: Path | str | None = None,
    isolate: bool = False,
    **rest: Any,
) -> Plan:
    """What `check` is asked for, as a plan; the arguments are its own."""
    from optbench import expected as expectations
    from optbench import laws as every
    from optbench import registry
    from optbench.cli.torch_table import require_device
    from optbench.errors import UsageError
    from optbench.foreign import acquaintance
    from optbench.planning import Plan

    if implementation is None:
        what = "optbench.check(None, MyOptimizer), or optbench.check('adamw', MyAdamW)"
        raise UsageError(f"optbench.check: what is to be checked? Write {what}.")
    rest |= {name: _listed(rest[name]) for name in ("laws", "dtypes") if name in rest}
    declared = expectations.load(expected, every.entries()) if expected else None
    name = _name(implementation, isolate)
    judge = _name(oracle, isolate) if oracle else ""
    plan = Plan(algo or "", (name,), **rest, expected=declared, oracle=judge)
    if plan.suite not in _SUITES:
        raise UsageError(f"unknown suite {plan.suite!r}: write {' or '.join(map(repr, _SUITES))}.")
    acquaintance.require(plan.algo, plan.implementations, registry.select([name], plan.device), judge)
    require_device(plan.device)
    return plan


def _listed(values: str | Sequence[str]) -> tuple[str, ...]:
    return tuple(filter(None, values.split(","))) if isinstance(values, str) else tuple(values)


def _name(implementation: type[Any] | str, isolate: bool) -> str:
    """What `--impl` calls it; a class is held under that name, unless it is to be found in another process."""
    from optbench.errors import UsageError
    from optbench.foreign import loading

    if isinstance(implementation, str):
        return implementation
    if not isinstance(implementation, type):
        raise UsageError(f"optbench.check: {implementation!r} is no class: give the class itself, or its name.")
    target = loading.target_of(implementation)
    if isolate:
        loading.hold(target, None)
        _require_found(implementation, target)
    else:
        hold(implementation)
    return target


def hold(cls: type[Any]) -> str:
    """Let a class be judged in this process; what was remembered of another of its name is forgotten."""
    from optbench.foreign import loading

    target = loading.target_of(cls)
    if loading.hold(target, cls):
        from optbench.trials import trajectories

        trajectories.trajectory.cache_clear()
        trajectories.rollout.cache_clear()
    return target


def _require_found(cls: type[Any], target: str) -> None:
    import sys

    from optbench.errors import UsageError

    where, _, name = target.rpartition(":")
    if getattr(sys.modules[cls.__module__], name, None) is not cls or where == "__main__":
        raise UsageError(f"isolate=True: {target} is not at the top level of a module or script: put it there.")
