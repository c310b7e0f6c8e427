"""Faults of LBFGS, whose step calls its closure."""

from __future__ import annotations

from typing import Any

from ..fault import Fault
from .around import in_place_of_step


def step_length_is_the_rate(cls: type[Any]) -> type[Any]:
    import torch

    def step(self: Any, original: Any, closure: Any) -> Any:
        result = original(closure)
        lr = self.param_groups[0]["lr"]
        for state in self.state.values():
            if isinstance(lr, torch.Tensor) and state.get("t") == lr:
                state["t"] = lr
        return result

    return in_place_of_step(cls, step)


FAULTS: tuple[Fault, ...] = (
    Fault(
        "lbfgs-step-length-is-the-rate",
        "the step length that is kept for the next pair is the caller's own tensor",
        "lbfgs", "reference", "opt.tensor_lr", "lr is written to before step",
        shipped_in="torch 2.13",
        wrap=step_length_is_the_rate,
    ),
    Fault(
        "lbfgs-change-of-the-loss-not-looked-at",
        "a step goes on where the loss hardly changes any more",
        "lbfgs", "reference", "lbfgs.stopping", "goes on after evaluation",
        patches=(('                or abs(loss - state["prev_loss"]) < tolerance\n', ""),),
    ),
    Fault(
        "lbfgs-slope-hardly-flattened",
        "the line search is content with a slope of 0.999 of the first one",
        "lbfgs", "reference", "lbfgs.line_search", "flattens enough",
        patches=(("ARMIJO, CURVATURE = 1e-4, 0.9", "ARMIJO, CURVATURE = 1e-4, 0.999"),),
    ),
    Fault(
        "lbfgs-pair-too-many",
        "history_size + 1 pairs are kept",
        "lbfgs", "reference", "lbfgs.history", "pairs that are kept",
        patches=(
            (
                "del state[name][: max(0, len(state[name]) - history_size)]",
                "del state[name][: max(0, len(state[name]) - history_size - 1)]",
            ),
        ),
    ),
    Fault(
        "lbfgs-gradient-in-memory-order",
        "a matrix of gradients that lies by columns is read by columns",
        "lbfgs", "reference", "lbfgs.views", "of parameter 0",
        patches=(
            (
                "view_as_real(grad).reshape(-1) for grad in dense",
                "view_as_real(grad.mT if grad.dim() == 2 and not grad.is_contiguous() else grad).reshape(-1)\n"
                "            for grad in dense",
            ),
        ),
    ),
    Fault(
        "lbfgs-any-fall-will-do",
        "the line search takes whatever lies lower than the start",
        "lbfgs", "reference", "lbfgs.search", "step 1",
        patches=(("start.loss + ARMIJO * trial.t * start.slope", "start.loss"),),
    ),
)  # fmt: skip
