"""The laws as tests of your own project: `parametrize_with_checks` makes one pytest test of each law and case."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from optbench import conformance, library, planning, registry
from optbench.checking import Task, check, check_isolated
from optbench.errors import OptbenchError
from optbench.expected import Expectations
from optbench.failures.finding import told
from optbench.failures.localise import Localiser
from optbench.foreign import loading
from optbench.planning import Plan
from optbench.runs.results import Result
from optbench.worker import Worker


@dataclass
class _Bench:
    """What the tests of one plan share.

    Args:
        workers: processes, by implementation; each is started when it is first needed, and ends with this one.
    """

    expected: Expectations | None
    workers: Mapping[str, Worker]
    localised: Localiser = field(default_factory=Localiser)

    @classmethod
    def of(cls, plan: Plan) -> _Bench:
        chosen = registry.select(list(plan.implementations), plan.device)
        return cls(plan.expected, {item.name: Worker(item.environment) for item in chosen if item.worker})


@dataclass(frozen=True)
class Check:
    """One law on one case of one implementation, as a test: call it.

    Args:
        task: the law, the case and the implementation's name.
        cls: the class, where it is judged in this process.
        bench: what it shares with the others.
    """

    task: Task
    cls: type[Any] | None
    bench: _Bench

    @property
    def id(self) -> str:
        """ "adamw-MyAdamW-opt.layouts[float32/strided]"; without the algorithm, where nobody said which it is."""
        name = self.task.implementation.rpartition(":")[2].rpartition(".")[2]
        subject = self.task.case.subject
        own = "" if subject == name else f"{subject}-"
        return f"{own}{name}-{self.task.law}[{self.task.case.id}]"

    def result(self) -> Result:
        """Check it; what was expected of it is taken into account."""
        if self.cls is not None:
            library.hold(self.cls)
        worker = self.bench.workers.get(self.task.implementation)
        with conformance.one_thread():
            result = check_isolated(self.task, worker) if worker else check(self.task)
            result = self.bench.localised(self.task, result, worker)
        return self.bench.expected.judge(result) if self.bench.expected else result

    def __call__(self) -> None:
        """Check it, and end the test as pytest does: pass, fail, skip, or fail as expected.

        What breaks a law that does not count, as those of level "torch" do of foreign code, is a skip that says so.
        """
        result = self.result()
        if result.verdict == "skip":
            pytest.skip(result.message)
        if result.verdict == "xfail":
            pytest.xfail(result.message)
        if result.broken and not result.judged:
            why = result.deviation or "require_torch=True makes that count"
            pytest.skip(f"not judged ({why}): {result.verdict}: {result.message}")
        if result.broken:
            lines = (f"{result.verdict}: {result.message}", told(result.finding), result.reproduce)
            pytest.fail("\n".join(filter(None, lines)), pytrace=False)


def checks(plans: Sequence[Plan]) -> list[Check]:
    """The tests of some plans. An expected failure that is about none of them is warned about.

    Args:
        plans: the plans, of the same expected failures.

    Raises:
        OptbenchError: what a plan names does not exist or cannot be loaded.
    """
    found = []
    for plan in plans:
        bench = _Bench.of(plan)
        asked = planning.planned(plan, bench.workers)
        found += [Check(task, loading.held(task.implementation), bench) for task in asked]
    cases = [(each.task.law, each.task.case.subject, each.task.case.id) for each in found]
    for said in conformance.unmatched(plans[-1], cases) if plans else ():
        warnings.warn(said, stacklevel=3)
    return found


def parametrize_with_checks(
    implementations: Iterable[type[Any] | str | tuple[str, type[Any] | str]],
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
) -> Callable[[Callable[..., Any]], Any]:
    """A decorator that gives a test one run for each class, law and case. The test takes `check`, and calls it.

        from optbench.testing import parametrize_with_checks

        @parametrize_with_checks([("adamw", MyAdamW), MyOwn], expected=Path(__file__).parent / "expected.toml")
        def test_laws(check):
            check()

    The runs are called `test_laws[adamw-MyAdamW-opt.layouts[float32/strided]]`, and pytest's `-k` selects some.

    Args:
        implementations: classes, or pairs of an algorithm and a class. A class alone is asked every law that needs no
            formula.
        laws, suite, dtypes, device, seed, keyword, require_torch, oracle, isolate: as `optbench.check` has them.
        expected: a TOML file of failures that are expected, see `optbench.expected`: such a run is an expected failure
            of pytest, and fails where it passes.

    Raises:
        pytest.Collector.CollectError: there is no such thing, or it is no optimizer, scheduler or averager.

    Example:
        >>> import torch
        >>> decorate = parametrize_with_checks([("sgd", torch.optim.SGD)], laws="opt.version", dtypes="float32")
        >>> def test_laws(check):
        ...     check()
        >>> [mark.kwargs["ids"][0] for mark in decorate(test_laws).pytestmark]
        ['sgd-SGD-opt.version[float32/matrices]']
    """
    rest = {
        "laws": laws, "suite": suite, "dtypes": dtypes, "device": device, "seed": seed, "keyword": keyword,
        "require_torch": require_torch, "oracle": oracle, "expected": expected, "isolate": isolate,
    }  # fmt: skip
    pairs = [item if isinstance(item, tuple) else (None, item) for item in implementations]
    try:
        found = checks([library.plan_of(*pair, **rest) for pair in pairs])  # type: ignore[arg-type]
    except OptbenchError as error:
        raise pytest.Collector.CollectError(f"parametrize_with_checks: {error}") from error
    return pytest.mark.parametrize("check", found, ids=[each.id for each in found])
