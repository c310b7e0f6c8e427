"""What a law about schedulers is given: schedulers of the implementation under test, and what their rates must be."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from optbench import registry
from optbench.failures.rate_mistakes import RateScene
from optbench.foreign.loading import load_class
from optbench.registry import Implementation
from optbench.subjects import load
from optbench.subjects._declare import REQUIRED
from optbench.subjects._schedule import Builtin, Each, Part, Plain
from optbench.trials import formulas
from optbench.trials.base import SCENES, TrialBase, Unsupported
from optbench.trials.checker import RATE_TOLERANCE

# Two groups of different rates, which no power of two hides roundings of.
LRS = (0.3, 0.05)
_TOLD = "[float(lr) for lr in {}.get_last_lr()] == [float(group['lr']) for group in optimizer.param_groups]"
# Falls, stands, rises and falls again: what a scheduler that watches a metric is given by laws about all of them.
METRICS = (1.0, 0.9, 0.95, 0.9, 0.97, 0.91, 0.93, 0.5, 0.6, 0.55, 0.52, 0.51, 0.58, 0.61, 0.4)


@dataclass
class Trial(TrialBase):
    """One law's work on one case of one scheduler."""

    def listen(self) -> None:
        """Keep what the law does from now on."""
        from optbench.failures.scripts.schedules import ScheduleJournal

        self.journal = ScheduleJournal(self)
        self.checker.noticed = self.journal.mark

    @property
    def plain_torch(self) -> Implementation:
        """torch's own schedulers."""
        return registry.find("torch")

    def whose(self, name: str, who: Implementation) -> Implementation:
        """Who makes a scheduler, of any name, where it stands with those of an implementation.

        Foreign code has torch's schedulers beside it, but where two meet that change what others hold: a composite of
        torch starts from what was built last, and what moves momentum writes over groups when it is built.
        """
        if not who.target or name == self.subject.name:
            return who
        among = {"schedulers", "cycle_momentum"}
        unruly = among & load(name).defaults.keys() and among & self.subject.defaults.keys()
        # Composites of ours ask of their parts what torch's base class has.
        return registry.find("reference") if unruly and self.derived else self.plain_torch

    @property
    def derived(self) -> bool:
        """Whether foreign code derives from torch's base class of schedulers."""
        base = torch.optim.lr_scheduler.LRScheduler
        return bool(self.implementation.target) and issubclass(load_class(self.implementation.target), base)

    @property
    def composite(self) -> bool:
        return "schedulers" in self.subject.defaults

    def full(self, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """All options of the case, or these, as the formulas take them.

        Raises:
            Unsupported: foreign code lacks an option that has no default.
        """
        full = self.subject.complete(self.case.options if options is None else options)
        missing = [name for name, value in full.items() if value is REQUIRED]
        if missing:
            raise Unsupported(f"no such option: {', '.join(missing)}")
        return full

    def optimizer(self, lrs: Sequence[float | torch.Tensor] = LRS, like: str = "sgd") -> torch.optim.Optimizer:
        """torch's SGD with momentum, with a group of one parameter for each rate.

        Args:
            lrs: the rates.
            like: "sgd", "plain" for no momentum, "adam" with a beta2 that is no default, or "tensor betas" for Adam
                whose betas are tensors.
        """
        groups: list[dict[str, Any]] = [
            {"params": [torch.zeros(1, dtype=torch.float64, device=self.case.device, requires_grad=True)], "lr": lr}
            for lr in lrs
        ]
        for group in groups if like == "tensor betas" else ():
            group["betas"] = tuple(torch.tensor(beta, dtype=torch.float64) for beta in (0.9, 0.999))
        for group in groups if like == "adam" else ():
            group["betas"] = (0.9, 0.95)
        options = {} if like in ("adam", "tensor betas") else {"lr": 0.1, "momentum": 0.0 if like == "plain" else 0.9}
        kind: Any = torch.optim.SGD if options else torch.optim.Adam
        return self.make(
            "optimizer",
            lambda: kind(groups, **options, foreach=False),
            lambda journal: journal.optimizer(kind, groups, options),
        )

    def build(
        self,
        optimizer: torch.optim.Optimizer,
        options: Mapping[str, Any] | None = None,
        last_epoch: int = -1,
        implementation: Implementation | None = None,
    ) -> Any:
        """A scheduler of the subject, of the implementation under test or of another.

        Raises:
            Unsupported: foreign code that has no such option.
        """
        chosen = dict(self.case.options if options is None else options)
        who = implementation or self.implementation
        if last_epoch != -1:
            chosen["last_epoch"] = last_epoch
        missing = [name for name in chosen if not self.takes(name)]
        if missing and who is self.implementation:
            raise Unsupported(f"no such option: {', '.join(sorted(missing))}")
        return self.of_part(Part(self.subject.name, chosen), optimizer, who)

    def of_part(
        self, part: Part, optimizer: torch.optim.Optimizer, implementation: Implementation | None = None
    ) -> Any:
        """A scheduler as a composite's part; see `whose`."""
        who = implementation or self.implementation
        subject = load(part.subject)
        made = self.whose(subject.name, who).load(subject.class_name, subject.module)

        def build() -> Any:
            options = {name: self._value(name, value, optimizer, who) for name, value in part.options.items()}
            if "schedulers" in options and subject.name == "chainedscheduler":
                # The only scheduler whose optimizer is not its first argument.
                return made(options.pop("schedulers"), optimizer, **options)
            return made(optimizer, **options)

        return self.make("scheduler", build, lambda journal: journal.scheduler(part, who, optimizer))

    def _value(self, name: str, value: Any, optimizer: torch.optim.Optimizer, who: Implementation) -> Any:
        if name == "schedulers":
            return [self.of_part(item, optimizer, who) if isinstance(item, Part) else item for item in value]
        if isinstance(value, Each):
            return [self._value("", each, optimizer, who) for each in self.each(value, optimizer)]
        if isinstance(value, Plain):
            return lambda epoch, of=value.of: of(epoch)
        if isinstance(value, Builtin):
            return value.of
        if isinstance(value, tuple):
            return list(value)
        # Loading writes into function objects.
        return copy.deepcopy(value) if callable(value) else value

    def each(self, value: Each, optimizer: torch.optim.Optimizer) -> list[Any]:
        """A value for each group of an optimizer."""
        count = len(value.values)
        # A list of one value too many is an illegal argument on purpose.
        many = count if count > len(LRS) else len(optimizer.param_groups)
        return [value.values[i % count] for i in range(many)]

    def run(self, options: Mapping[str, Any] | None = None, lrs: Sequence[Any] = LRS, like: str = "sgd") -> Run:
        """A new scheduler of the implementation under test at epoch 0."""
        optimizer = self.optimizer(lrs, like)
        return Run(self, optimizer, self.build(optimizer, options))

    def expected(
        self, epoch: float, lrs: Sequence[float] = LRS, options: Mapping[str, Any] | None = None
    ) -> list[float]:
        """What the rates have to be at an epoch."""
        full = self.full(options)
        if self.subject.name == "reducelronplateau":
            return formulas.plateau(full, lrs, METRICS[: int(epoch)])[-1] if epoch else list(lrs)
        return formulas.rates(self.subject.name, full, lrs, epoch)

    def horizon(self, options: Mapping[str, Any] | None = None) -> int:
        return formulas.horizon(self.subject.name, self.full(options))

    def last(self, count: int, options: Mapping[str, Any] | None = None) -> int:
        """The last epoch of `count` that the schedule has: one-cycle ends, others go on."""
        full = self.full(options)
        ends = formulas.one_cycle_length(full) - 1 if self.subject.name == "onecyclelr" else math.inf
        return int(min(count, ends, len(METRICS) if self.subject.name == "reducelronplateau" else math.inf))

    def judge(self, what: str, run: Run, epoch: float, expected: Sequence[float] | None = None) -> None:
        """The optimizer's rates, what the scheduler says of them, and the momentum, against the formula."""
        wanted = self.expected(epoch) if expected is None else expected
        for i, rate in enumerate(wanted):
            failed, got = self.checker.failed, run.lrs[i]
            self.judge_rate(what, i, epoch, got, rate)
            if self.checker.failed > failed and expected is None and len(self.scenes) < SCENES:
                self.scenes.append(RateScene(self, epoch, i, got))
        for depth, (where, part) in enumerate(run.due()):
            told = [float(lr) for lr in part.get_last_lr()]
            which = f" of the part whose turn it is, {depth} deep" * bool(depth)
            self.checker.same(f"{what}, get_last_lr{which} at epoch {epoch}", told, run.lrs,
                              shown=_TOLD.format(where))  # fmt: skip
        momenta = formulas.momenta(self.subject.name, self.full(), len(wanted), epoch) if expected is None else None
        for i, momentum in enumerate(momenta or ()):
            self.judge_momentum(what, run, i, epoch, momentum)

    def judge_rate(self, what: str, i: int, epoch: float, got: float, rate: float) -> None:
        """The rate of a group."""
        shown = f"abs(optimizer.param_groups[{i}]['lr'] - {rate!r}) <= {RATE_TOLERANCE * abs(rate)!r}"
        self.checker.near(f"{what}, lr of group {i} at epoch {epoch}", got, rate, shown=shown)

    def judge_momentum(self, what: str, run: Run, i: int, epoch: float, momentum: float) -> None:
        """The momentum of a group, or its beta1."""
        name = "['betas'][0]" if "betas" in run.optimizer.param_groups[i] else "['momentum']"
        shown = f"abs(optimizer.param_groups[{i}]{name} - {momentum!r}) <= {RATE_TOLERANCE * abs(momentum)!r}"
        self.checker.near(f"{what}, momentum of group {i} at epoch {epoch}", run.momenta[i], momentum, shown=shown)

    def judge_told(self, told: Sequence[Any], epoch: int, expected: Sequence[float]) -> None:
        """What a scheduler says of an epoch without going there."""
        for i, (got, rate) in enumerate(zip(told, expected, strict=True)):
            shown = f"abs(scheduler.lr_at({epoch})[{i}] - {rate!r}) <= {RATE_TOLERANCE * abs(rate)!r}"
            self.checker.near(f"lr_at({epoch}) of group {i}", float(got), rate, shown=shown)

    def follow(self, what: str, run: Run, first: int, last: int) -> None:
        """Judge from one epoch, at which the run stands, to another."""
        for epoch in range(first, last + 1):
            if epoch > first:
                run.step(epoch)
            self.judge(what, run, epoch)
            if not self.implementation.target and hasattr(run.scheduler, "last_epoch"):
                self.checker.same(f"{what}, last_epoch at epoch {epoch}", run.scheduler.last_epoch, epoch,
                                  shown=f"scheduler.last_epoch == {epoch}")  # fmt: skip


class Run:
    """A scheduler and its optimizer, and how many steps they have taken."""

    def __init__(self, trial: Trial, optimizer: torch.optim.Optimizer, scheduler: Any) -> None:
        self.trial = trial
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.steps = 0

    @property
    def lrs(self) -> list[float]:
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def due(self) -> Iterator[tuple[str, Any]]:
        """The scheduler, its part whose turn it is, or the last one of a chain, and so on, each with its place."""
        where, found = "scheduler", self.scheduler
        yield where, found
        while parts := getattr(found, "_schedulers", ()):
            milestones = getattr(found, "_milestones", None)
            begun = len(parts) - 1 if milestones is None else sum(at <= found.last_epoch for at in milestones)
            where, found = f"{where}._schedulers[{begun}]", parts[begun]
            yield where, found

    @property
    def momenta(self) -> list[float]:
        """The momentum of each group, or its beta1."""
        return [
            float(group["betas"][0] if "betas" in group else group.get("momentum", math.nan))
            for group in self.optimizer.param_groups
        ]

    def step(self, epoch: float) -> None:
        """Go to the next epoch, which is `epoch`."""
        self._step(*([METRICS[int(epoch) - 1]] if self.trial.subject.name == "reducelronplateau" else []))

    @property
    def jumps(self) -> bool:
        """Whether its step takes the epoch to go to, which foreign code's may not."""
        return not self.trial.implementation.target or bool(inspect.signature(self.scheduler.step).parameters)

    def goto(self, epoch: float) -> None:
        """Go to any epoch at once."""
        self._step(epoch)

    def _step(self, *arguments: float) -> None:
        self.steps += 1
        self.optimizer.step()
        self.scheduler.step(*arguments)

    def saved(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The states of optimizer and scheduler, which later steps leave alone."""
        states = copy.deepcopy((self.optimizer.state_dict(), self.scheduler.state_dict()))
        return self.trial.keep("states", states, "copy.deepcopy((optimizer.state_dict(), scheduler.state_dict()))")
