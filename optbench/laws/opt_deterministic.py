"""opt.deterministic: the same inputs give the same bits, whatever was in memory before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from optbench import pairwise
from optbench.case import Case
from optbench.law import Law, Scope
from optbench.subjects import Subject

if TYPE_CHECKING:
    from optbench.trials.optimizers import Trial

LAW = Law(
    id="opt.deterministic",
    level="math",
    statement="two runs are equal to the last bit, also where fresh memory is full of NaN",
    catches="memory that is read before it is written, results that depend on threads, addresses or a hash",
    host=True,
    formula=False,
)

_LAYOUTS = ("contiguous", "strided", "grad_unlike")
# Sizes in bytes of what is left dirty for the next allocation: from a number to a vector of a few thousand.
_SIZES = tuple(2**power for power in range(5, 15))
_BLOCKS = 8


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    factors: dict[str, Sequence[Any]] = {option.name: option.values for option in subject.options if not option.idle}
    factors |= {"dtype": scope.some("float32", "bfloat16", "complex64"), "layout": _LAYOUTS}
    factors["moment"] = ("every step", "late")
    rows = pairwise.rows(factors, subject.forbidden, scope.seed if scope.suite == "full" else 0)
    for row in rows if scope.suite == "full" else rows[:6]:
        dtype, layout, moment = row.pop("dtype"), row.pop("layout"), row.pop("moment")
        yield scope.case(subject, row, dtype, layout=layout, moment=moment, shapes="small odd", steps=4)


def check(trial: Trial) -> None:
    first, second = trial.run(), trial.run()
    for k in range(trial.case.steps):
        first.step(k)
        with _poisoned():
            second.step(k)
        trial.checker.alike(f"step {k + 1} on memory full of NaN", second.held(), first.held())


@contextmanager
def _poisoned() -> Iterator[None]:
    """What torch allocates is filled with NaN, and so is what the heap gives others next."""
    import torch

    settings: Any = torch.utils.deterministic
    enabled, warns = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    fills = settings.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    settings.fill_uninitialized_memory = True
    try:
        dirty = [torch.full((size // 4,), torch.nan) for size in _SIZES for _ in range(_BLOCKS)]
        del dirty
        yield
    finally:
        settings.fill_uninitialized_memory = fills
        torch.use_deterministic_algorithms(enabled, warn_only=warns)
