"""avg.precision: a long average stands still in no dtype, and does not drift from the float64 one."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from optbench.case import Case
from optbench.law import Law, Scope
from optbench.subjects import Subject

if TYPE_CHECKING:
    from torch import Tensor

    from optbench.trials.averagers import Trial

LAW = Law(
    id="avg.precision",
    level="math",
    statement="after 10^5 updates an average is the float64 one, in 16-bit dtypes too",
    catches="updates smaller than the average's last digit that are lost, rounding that adds up",
    kind="averager",
)

_FULL = 100_000
# 16-bit averages that lose updates are seen to stand still after some hundreds; float32's rounding grows with the root
# of their number, and a mean's only begins to be kept small after a thousand.
_QUICK_HALVES, _QUICK_EMA, _QUICK_MEAN = 512, 1024, 4096
# In an interpreter each update takes as long as hundreds of compiled ones.
_INTERPRETED = 16
_ELEMENTS = 16
# The whole numbers above are not all float32's.
_MANY = 2**24
_COUNTED = "counted far"
_STREAMS = ("constant", "drift")
# In scripts.
_FOLLOWING = "for values in shown[{}:{}]:\n    model.weight.detach().copy_(values)\n    average.{}(model)"


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    options = {"decay": 0.9999} if "decay" in subject.defaults else {}
    yield scope.case(subject, options, scope.dtypes[0], variant=_COUNTED)
    if scope.suite == "full":
        for dtype in scope.dtypes:
            for stream in _STREAMS:
                yield scope.case(subject, options, dtype, stream=stream, steps=_FULL)
        return
    for dtype in scope.some("bfloat16", "float16", "float32", "float64", "complex64"):
        stream = "constant" if dtype == "bfloat16" else "drift"
        updates = _QUICK_EMA if options else _QUICK_MEAN
        yield scope.case(subject, options, dtype, stream=stream,
                         steps=_QUICK_HALVES if dtype in ("bfloat16", "float16") else updates)  # fmt: skip
    if not options:
        yield scope.case(subject, {}, scope.some("bfloat16")[0], stream="constant", variant="default",
                         steps=_QUICK_HALVES)  # fmt: skip


def _counted(trial: Trial) -> None:
    """A count goes on by one, however many it has counted."""
    import torch

    trial.require_torchs("how far it counts")
    model = trial.keep("model", torch.nn.Linear(1, 1), "torch.nn.Linear(1, 1)")
    averager, name = trial.build(model), trial.own("n_averaged")
    trial.tell(f"average.{name}.fill_({_MANY})", partial(getattr(averager, name).fill_, _MANY))
    for k in (1, 2, 3):
        trial.update(averager, model)
        trial.checker.same(f"n_averaged, {k} after {_MANY}", int(getattr(averager, name)), _MANY + k,
                           shown=f"int(average.{name}) == {_MANY + k}")  # fmt: skip


def models(case: Case, updates: int) -> Tensor:
    """What the model holds at each update: [updates, elements], wide, representable in the case's dtype.

    "constant" is a target after a first model that is far from it; "drift" goes from a target to its double.
    """
    import torch

    from optbench.trials.problem import dtype_of, generator, wide

    dtype = dtype_of(case.dtype)
    rng = generator(case.seed, "long", case.stream)
    target = torch.randn(_ELEMENTS, generator=rng, dtype=wide(dtype))
    # Away from zero, near which digits are plenty.
    target = target + target / target.abs()
    if case.stream == "constant":
        found = target.expand(updates, -1).clone()
        found[0] = -50 * target
    else:
        noise = torch.randn(updates, _ELEMENTS, generator=rng, dtype=wide(dtype))
        found = target * torch.linspace(1, 2, updates, dtype=torch.float64)[:, None] + noise / 4
    return found.to(dtype).to(wide(dtype))


def _text(case: Case, updates: int) -> str:
    """What `models` gives, as Python."""
    from optbench.trials.problem import dtype_of, generator, wide

    kind = wide(dtype_of(case.dtype))
    seed = generator(case.seed, "long", case.stream).initial_seed()
    target = f"(lambda target: target + target / target.abs())(torch.randn({_ELEMENTS}, generator=rng, dtype={kind}))"
    if case.stream == "constant":
        found = f"(lambda target: torch.cat([-50 * target[None], target.expand({updates - 1}, -1)]))({target})"
    else:
        drift = f"torch.linspace(1, 2, {updates}, dtype=torch.float64)[:, None]"
        found = f"{target} * {drift} + torch.randn({updates}, {_ELEMENTS}, generator=rng, dtype={kind}) / 4"
    return f"(lambda rng: {found})(torch.Generator().manual_seed({seed})).to({dtype_of(case.dtype)})"


def check(trial: Trial) -> None:
    import torch

    from optbench.trials.error import quantity, real, real_dtype
    from optbench.trials.problem import dtype_of

    if trial.case.variant == _COUNTED:
        _counted(trial)
        return
    case, dtype = trial.case, dtype_of(trial.case.dtype)
    updates = min(case.steps, _INTERPRETED) if trial.implementation.interpreted_on(case.device) else case.steps
    everything = models(case, updates)
    shown = trial.keep("shown", everything.to(device=case.device, dtype=dtype), _text(case, updates))
    model = trial.keep("model", torch.nn.Module(), "torch.nn.Module()")
    weight = torch.nn.Parameter(shown[0].clone())
    trial.tell("model.weight = torch.nn.Parameter(shown[0].clone())", partial(setattr, model, "weight", weight))
    default = trial.case.variant == "default" and not trial.implementation.target
    averager = trial.build(model, {} if default else None)

    def follow(some: Tensor) -> None:
        for values in some:
            weight.detach().copy_(values)
            trial.update(averager, model)

    judged = (3 * updates // 4, updates)
    for begin, end in zip((0, *judged), judged, strict=False):
        if begin == end:
            continue
        trial.tell(_FOLLOWING.format(begin, end, trial.own("update_parameters")), partial(follow, shown[begin:end]))
        wanted = real(trial.average(everything[1:end], everything[0], 1))
        actual = trial.module(averager).get_parameter("weight")
        trial.checker.close(f"after {end} updates", actual,
                            quantity(wanted, torch.zeros_like(wanted), None, real_dtype(dtype)), real_dtype(dtype),
                            cancels=False)  # fmt: skip
