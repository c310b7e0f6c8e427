"""opt.memory: what is kept between steps, and what a step holds besides, is as declared."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterable, Mapping
from math import prod
from typing import TYPE_CHECKING, Any

from optbench.case import Case
from optbench.law import Law, Scope
from optbench.subjects import StateEntry, Subject

if TYPE_CHECKING:
    from torch import Tensor

    from optbench.trials.counted import Counted
    from optbench.trials.optimizers import Trial

LAW = Law(
    id="opt.memory",
    level="state",
    statement="state takes the bytes declared, and so does what a step holds besides: fused, no copy of a parameter",
    catches="a buffer too many, state in a wider dtype, temporaries of the size of all parameters, memory that leaks",
    host=True,
)

# Most copies that a step may hold at one time, where an algorithm declares no other number.
_COPIES = {"for-loop": 6, "foreach": 3, "fused": 0, "": 6}
# Bytes of a number, a 0-d tensor or an entry of a list of them.
_NUMBER = 16
_TRIES = 2


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    full = scope.suite == "full"
    for options in ({}, subject.fullest):
        for dtype in scope.some("float32", "bfloat16", *("float64", "float16", "complex64") * full):
            # What sees more than an element may have its own order to walk in.
            for layout in ("contiguous", *("transposed", "channels_last") * (full and subject.elementwise)):
                yield scope.case(subject, options, dtype, layout=layout, shapes="heavy")
    if "history_size" in subject.defaults:
        yield scope.case(subject, {"history_size": 2}, scope.dtypes[0], shapes="heavy")


def check(trial: Trial) -> None:
    from optbench.timing.probe import watch
    from optbench.trials.base import Unsupported
    from optbench.trials.counted import together

    if trial.implementation.interpreted_on(trial.case.device):
        raise Unsupported("an interpreter's own temporaries are none of the optimizer's")
    checker, device = trial.checker, trial.case.device
    work = together(trial, [trial.run()])
    before = _state_bytes(trial, work)
    first = watch(work.step, device)
    made = _state_bytes(trial, work) - before + _NUMBER * _numbers(work)
    # Tables and sums may stay; what grows with every element may not.
    most = made + sum(param.nbytes for param in work.params) // 2
    told = f"{first.kept_bytes} bytes were left, and the state took {made}"
    checker.true("what the first step leaves is its state", first.kept_bytes <= most, told)
    work.warm()
    kept, declared = _state_bytes(trial, work), _declared(trial, work)
    checker.true("bytes of the state", kept <= declared, f"{kept}, and {declared} are declared")
    # A step under observation, and the first one after it, arrange anew what is kept from step to step.
    tensors = min(watch(work.step, device).peak_bytes for _ in range(_TRIES))
    peak = tensors + min(_traced(work.step) for _ in range(_TRIES))
    most, told = _allowed(trial, work)
    checker.true("bytes held besides, at one time", peak <= most, f"{peak}, and {most} are declared: {told}")
    if not trial.subject.closure:
        _released(trial, work)


def _released(trial: Trial, work: Counted) -> None:
    """Gradients that their owner lets go are gone."""
    import gc
    import weakref

    held = [weakref.ref(param.grad) for param in work.params if param.grad is not None]
    for param in work.params:
        param.grad = None
    for run in trial.runs:
        run.forget()
    gc.collect()
    left = sum(each() is not None for each in held)
    trial.checker.true("gradients that were set to None are gone", not left, f"{left} of {len(held)} are kept")


def _traced(step: Callable[[], object]) -> int:
    """Most bytes that NumPy's arrays and Python's objects took at one time."""
    tracemalloc.start()
    try:
        step()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _allowed(trial: Trial, work: Counted) -> tuple[int, str]:
    """Most bytes, and in words."""
    path = trial.implementation.path
    copies = trial.subject.temporaries.get(path, _COPIES[path])
    sizes = [param.nbytes for param in work.params]
    # Python's own objects, and less than a parameter.
    slack = min(sizes) - 1
    if not copies:
        return slack, "none of a parameter's size"
    if path == "for-loop" and trial.subject.sees != "all":
        return copies * max(sizes) + slack, f"{copies} copies of the largest parameter"
    return copies * sum(sizes) + slack, f"{copies} copies of all parameters"


def _state_bytes(trial: Trial, work: Counted) -> int:
    """Bytes of all state tensors but the counters."""
    from torch import Tensor

    from optbench.trials import nested

    counters = {entry.name for entry in trial.subject.state if entry.counts}
    alias = trial.state_alias
    return sum(
        leaf.nbytes
        for entries in work.optimizer.state.values()
        for name, value in entries.items()
        if alias.get(name, name) not in counters
        for _, leaf in nested.leaves(value)
        if isinstance(leaf, Tensor)
    )


def _numbers(work: Counted) -> int:
    """How many entries the state has, whatever they are."""
    from optbench.trials import nested

    return sum(1 for entries in work.optimizer.state.values() for _ in nested.leaves(entries))


def _declared(trial: Trial, work: Counted) -> int:
    """Most bytes that the state may take; a number has any dtype."""
    full = trial.subject.complete(trial.case.options)
    entries = [entry for entry in trial.subject.state if entry.exists(full) and not entry.counts]
    arrays = sum(_elements(entry, work.params, full) for entry in entries) * work.params[0].element_size()
    return arrays + _NUMBER * _numbers(work)


def _elements(entry: StateEntry, params: list[Tensor], options: Mapping[str, Any]) -> int:
    """Of an entry, over all parameters; 0 for numbers."""
    whole = sum(param.numel() * (1 + param.is_complex()) for param in params)
    if entry.extent in ("vector", "pairs"):
        return whole * (options["history_size"] if entry.extent == "pairs" else 1)
    return sum(_EXTENTS[entry.extent](tuple(param.shape)) for param in params)


_EXTENTS: dict[str, Callable[[tuple[int, ...]], int]] = {
    "": lambda shape: 0,
    "parameter": prod,
    "rows": lambda shape: prod(shape[:-1]) if len(shape) > 1 else 0,
    "columns": lambda shape: prod(shape[:-2]) * shape[-1] if len(shape) > 1 else 0,
    "no matrix": lambda shape: prod(shape) if len(shape) < 2 else 0,
}
