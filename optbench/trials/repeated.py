"""One large tensor, or many small ones, that repeat what the oracle's own case has, which is small."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from optbench.timing.device import free_bytes
from optbench.trials.base import Unsupported
from optbench.trials.error import Quantity
from optbench.trials.optimizers import Trial
from optbench.trials.oracle import After
from optbench.trials.running import Run

# So many patterns are compared at a time.
_ROWS = 4096


def follow(trial: Trial, elements: int) -> None:
    """Step the case's one tensor, judged by the oracle, and another that repeats it, judged beside it.

    Args:
        trial: whose case has the small tensor.
        elements: of the large one.

    Raises:
        Unsupported: there is not memory enough, or every block would be interpreted.
    """
    run, names = _small(trial), trial.subject.state_names(trial.case.options)
    _require(trial, (3 + len(names)) * elements)
    param = torch.empty(elements, dtype=trial.problem.dtype, device=trial.case.device)
    _repeat(run.params[0], param)
    optimizer = trial.build([param.requires_grad_()], trial.case.options)
    param.grad = torch.empty_like(param)
    for k in range(trial.case.steps):
        after, grad = _judged(trial, run, k)
        _repeat(grad, param.grad)
        trial.advance(optimizer)
        state = {trial.state_alias.get(name, name): value for name, value in optimizer.state[param].items()}
        pairs = {name: (state[name], run.state(0)[name]) for name in names if name in state}
        for name, (tensor, small) in {**pairs, "param": (param, run.params[0])}.items():
            for begin, rows in _blocks(tensor.detach(), small.numel()):
                what = f"step {k + 1}, {name} from element {begin} on"
                same = small.detach()[: rows.shape[-1]].expand_as(rows)
                trial.checker.comparisons += 1
                if not torch.equal(rows, same):
                    trial.checker.close(what, rows, _of(after.quantities[name], rows), trial.dtype)


def follow_many(trial: Trial, count: int) -> None:
    """Step the case's one tensor, judged by the oracle, and many of its kind in one optimizer, judged beside it.

    Raises:
        Unsupported: every tensor would be interpreted.
    """
    run = _small(trial)
    params = [run.params[0].detach().clone().requires_grad_() for _ in range(count)]
    optimizer = trial.build(params, trial.case.options)
    for k in range(trial.case.steps):
        after, grad = _judged(trial, run, k)
        for param in params:
            param.grad = grad.clone()
        trial.advance(optimizer)
        # Who is stepped with others may be rounded in another way.
        limit = after.quantities["param"]
        every = torch.stack([param.detach() for param in params])
        trial.checker.close(f"step {k + 1}, param of {count} alike", every, _of(limit, every), trial.dtype)


def _small(trial: Trial) -> Run:
    """The run that the oracle judges, where what is beside it takes no interpreter's time."""
    if trial.implementation.interpreted_on(trial.case.device):
        raise Unsupported("Triton's interpreter would take its time")
    return trial.run()


def _judged(trial: Trial, run: Run, k: int) -> tuple[After, Tensor]:
    """A step of the case's one tensor: what it had to make of it, and the gradient."""
    before = run.before(0, k)
    run.step(k)
    (after,) = trial.after(run, [before])
    trial.compare(run, 0, before, after, f"step {k + 1}")
    assert after is not None and run.given[0] is not None
    return after, run.given[0]


def _require(trial: Trial, elements: int) -> None:
    free, needed = free_bytes(trial.case.device), elements * trial.problem.dtype.itemsize
    if free is not None and free < needed:
        raise Unsupported(f"it takes {needed / 2**30:.0f} GiB of memory, and {free / 2**30:.0f} are free")


def _repeat(pattern: Tensor, into: Tensor) -> None:
    with torch.no_grad():
        for _, rows in _blocks(into, pattern.numel()):
            rows.copy_(pattern[: rows.shape[-1]])


def _blocks(tensor: Tensor, length: int) -> Iterator[tuple[int, Tensor]]:
    """Where some rows of this length begin, and the rows; what is left over is a last row."""
    whole = tensor.numel() // length * length
    for begin in range(0, whole, _ROWS * length):
        yield begin, tensor[begin : min(begin + _ROWS * length, whole)].view(-1, length)
    yield whole, tensor[whole:]


def _of(quantity: Quantity, rows: Tensor) -> Quantity:
    """The same for each of some rows, which may be shorter."""

    def each(values: Tensor) -> Tensor:
        return (values if values.dim() > 1 else values[: rows.shape[-1]]).expand(rows.shape)

    return replace(quantity, expected=each(quantity.expected), unit=each(quantity.unit), limit=each(quantity.limit))
