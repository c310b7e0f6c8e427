"""opt.amp_skip: a step that gradient scaling skips has not happened, and one that it unscales is the plain one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from optbench.case import Case
from optbench.law import Law, Scope
from optbench.subjects import Subject

if TYPE_CHECKING:
    import torch

    from optbench.trials.optimizers import Trial
    from optbench.trials.running import Run

LAW = Law(
    id="opt.amp_skip",
    level="torch",
    statement="under torch.amp.GradScaler a step with an overflow has never been, and any other is the plain step",
    catches="an overflow ignored after an explicit unscale, state made or counted by a skipped step, a written .grad",
    host=True,
    formula=False,
)

# By a power of two, so that scaling and unscaling round nothing.
_SCALE = 1024.0
_AT = ", overflow at step "
_BY_HAND = "told by hand"
_UNSCALED = "unscaled before"
_LOADED = "scaled after loading a checkpoint of a loop"
_WAYS = ("scaled", _UNSCALED, _BY_HAND)


def cases(subject: Subject, scope: Scope) -> Iterable[Case]:
    full = scope.suite == "full"
    dtypes = scope.some("float32", "bfloat16", *("float16",) * full)
    for way in _WAYS:
        # At step 3 a parameter has its first gradient while others have state.
        for overflow, moment in ((1, "every step"), (3, "late")):
            for options in ({}, subject.fullest) if full else (subject.fullest,):
                for dtype in dtypes:
                    yield scope.case(
                        subject,
                        options,
                        dtype,
                        layout="grad_unlike" if dtype == "bfloat16" else "contiguous",
                        moment=moment,
                        shapes="pair",
                        steps=5,
                        variant=f"{way}{_AT}{overflow}",
                    )


    yield scope.case(subject, {}, scope.some("float32")[0], shapes="pair", steps=3, variant=f"{_LOADED}{_AT}2")


def check(trial: Trial) -> None:
    from optbench.trials.base import Unsupported

    way, _, overflow = trial.case.variant.partition(_AT)
    run, plain = trial.run(), trial.run()
    own = getattr(run.optimizer, "_step_supports_amp_scaling", False)
    if way == _BY_HAND and not own:
        raise Unsupported("its step leaves scaling to torch.amp.GradScaler")
    if trial.case.dtype == "float16" and (way == _UNSCALED or not own):
        raise Unsupported("torch.amp.GradScaler refuses to unscale float16 gradients")
    if way == _LOADED:
        for each in (run, plain):
            _load_a_loops_checkpoint(each)
    step = _Scaled(trial.case.device, way, own)
    for k in range(trial.case.steps):
        skipped = k + 1 == int(overflow)
        before = run.held()
        run.give(k)
        found = step(run, skipped)
        what = f"step {k + 1}, which is skipped" if skipped else f"step {k + 1}"
        if skipped:
            trial.checker.alike(what, run.held(), before)
        else:
            plain.step(k)
            trial.checker.alike(what, run.held(), plain.held())
        for i, (param, grad) in enumerate(zip(run.params, found, strict=True)):
            if grad is not None and param.grad is not None:
                trial.checker.equal(f"{what}, gradient of parameter {i}", _values(param.grad), grad)


def _load_a_loops_checkpoint(run: Run) -> None:
    """Groups hold the flags of the path that their run took, and a checkpoint brings them along."""
    saved = run.optimizer.state_dict()
    for group in saved["param_groups"]:
        group.update({flag: False for flag in ("foreach", "fused") if flag in group})
    run.optimizer.load_state_dict(saved)


class _Scaled:
    """Steps on gradients that are a scale too large, one of them with an overflow in it.

    Args:
        way: who unscales, and when.
        own: whether the optimizer's step does by itself.
    """

    def __init__(self, device: str, way: str, own: bool) -> None:
        import torch

        self.way, self.own = way, own
        self.scaler = torch.amp.GradScaler(device.partition(":")[0], init_scale=_SCALE)
        # It makes its scale when it is used first.
        self.scaler.scale(torch.zeros((), device=device))

    def __call__(self, run: Run, overflows: bool) -> list[torch.Tensor | None]:
        """Scale what `run` was given and step; the gradients as they were before the step, where it may not write."""
        import torch

        before: list[torch.Tensor | None]
        grads = [param.grad for param in run.params if param.grad is not None and _values(param.grad).numel()]
        for grad in grads:
            _values(grad).mul_(self.scaler.get_scale())
        if self.way == _BY_HAND:
            scale, found = (torch.tensor(value, device=grads[0].device) for value in (_SCALE, float(overflows)))
            return self._by_hand(run, scale, found)
        if overflows:
            # As a product does that was too large, in one element of one parameter.
            last = _values(grads[-1])
            last[(-1,) * last.dim()] = torch.inf
        if self.way == _UNSCALED:
            self.scaler.unscale_(run.optimizer)
        # Where the optimizer leaves it to the scaler, that writes.
        before = _copies(run) if self.own or self.way == _UNSCALED else [None for _ in run.params]
        self.scaler.step(run.optimizer)
        self.scaler.update()
        return before

    def _by_hand(self, run: Run, scale: torch.Tensor, found_inf: torch.Tensor) -> list[torch.Tensor | None]:
        before, optimizer = _copies(run), run.optimizer
        optimizer.grad_scale, optimizer.found_inf = scale, found_inf
        try:
            optimizer.step()
        finally:
            del optimizer.grad_scale, optimizer.found_inf
        return before


def _copies(run: Run) -> list[torch.Tensor | None]:
    return [None if param.grad is None else _values(param.grad).clone() for param in run.params]


def _values(grad: Any) -> torch.Tensor:
    """Where a gradient's numbers are; a sparse one's own values."""
    import torch

    values: torch.Tensor = grad if grad.layout is torch.strided else grad._values()
    return values
