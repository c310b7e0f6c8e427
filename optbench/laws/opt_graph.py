"""opt.graph: every replay of a captured CUDA graph does what the step would do that was captured."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from optbench.case import Case
from optbench.law import Law, Scope
from optbench.subjects import Subject

if TYPE_CHECKING:
    from optbench.trials.optimizers import Trial
    from optbench.trials.running import Run

LAW = Law(
    id="opt.graph",
    level="torch",
    statement="replays of a captured CUDA graph, while rate, decay and gradients change, equal as many eager steps",
    catches="work left to the host, a rate or counter baked into the graph, tables that a later step writes over",
    formula=False,
    device="cuda",
)

# Of the rate, from step to step.
_FACTORS = (1.0, 0.5, 2.0, 0.25, 1.0, 4.0, 0.5, 1.0, 0.125, 2.0)
_WARM, _REPLAYS = 3, 3


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    if "capturable" not in subject.defaults:
        return
    full = scope.suite == "full"
    here = scope.device.startswith(LAW.device)
    # Elsewhere one case says that the law is about something else.
    for dtype in scope.some("float32", *("bfloat16",) * here, *("float16", "float64") * (here and full)):
        for options in (subject.fullest, {}) if here else ({},):
            capturable = {**options, "capturable": True}
            yield scope.case(subject, capturable, dtype, shapes="matrices", steps=len(_FACTORS), variant="replays")


def check(trial: Trial) -> None:
    run, eager = _Steps(trial), _Steps(trial)
    # As torch asks: what a first step makes and compiles has to be there before anything is captured.
    _beside(lambda: run.each(range(_WARM)))
    eager.each(range(_WARM))
    trial.checker.alike("steps before the capture", run.run.held(), eager.run.held())
    done = _WARM
    replay = _captured(run.run.optimizer.step)
    trial.checker.alike("a capture takes no step", run.run.held(), eager.run.held())
    for _ in range(_REPLAYS):
        done = _both(run, eager, replay, done, "a replay")
    done = _both(run, eager, run.run.optimizer.step, done, "an eager step after replays")
    done = _both(run, eager, replay, done, "a replay after an eager step")
    if "weight_decay" not in trial.subject.defaults or not trial.takes("weight_decay"):
        return
    for each in (run, eager):
        each.run.optimizer.param_groups[0]["weight_decay"] = 0.25
    # A number is what it was when the graph was captured; so another decay takes another graph.
    done = _both(run, eager, run.run.optimizer.step, done, "an eager step with another decay")
    _both(run, eager, _captured(run.run.optimizer.step), done, "a replay with another decay")


class _Steps:
    """A run whose rate and gradients stay where they are and change in place, as a graph needs it."""

    def __init__(self, trial: Trial) -> None:
        import torch

        first = trial.subject.complete(trial.case.options)["lr"]
        self.rate = first
        self.lr = torch.full((), first, device=trial.case.device)
        self.run: Run = trial.run({**trial.case.options, "lr": self.lr})
        self.run.give(0)

    def feed(self, k: int) -> None:
        """Write step `k`'s rate and gradients over those of the step before."""
        self.lr.fill_(self.rate * _FACTORS[k])
        problem = self.run.problem
        for i, param in enumerate(self.run.params):
            values = problem.grad(i, k)
            assert values is not None and param.grad is not None
            param.grad.copy_(problem.place_grad(values).tensor)

    def each(self, steps: Iterable[int]) -> None:
        for k in steps:
            self.feed(k)
            self.run.optimizer.step()


def _both(run: _Steps, eager: _Steps, step: Callable[[], object], k: int, what: str) -> int:
    """Take step `k` in one way and eagerly, and compare; the number of the next step."""
    run.feed(k)
    step()
    eager.each([k])
    eager.run.trial.checker.alike(f"step {k + 1}, {what}", run.run.held(), eager.run.held())
    return k + 1


def _beside(work: Callable[[], object]) -> None:
    """Work on another stream than the present one."""
    import torch

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        work()
    torch.cuda.current_stream().wait_stream(stream)


def _captured(step: Callable[[], object]) -> Callable[[], object]:
    """What replays a step that was captured, not taken."""
    import torch

    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay
