"""OneCycleLR, all groups at once: rates go up once, and down to far below their start.

Paper: Leslie N. Smith, Nicholay Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning
Rates", 2018, https://arxiv.org/abs/1708.07120, section 3. torch anneals along cosines by default, as fastai does.
"""

from typing import Any

from ...common.lr_scheduler.onecyclelr import OneCycleLRBase
from .base import LRScheduler, Vector, cosine


class OneCycleLR(OneCycleLRBase, LRScheduler):
    """Rates that go up from initial_lr to max_lr, and down to min_lr; momentum goes the other way.

        s(t) = the share of the phase that is over
        rate(t) = start + (end - start) * (1 - cos(pi*s(t)))/2    or, "linear", start + (end - start) * s(t)

    initial_lr is max_lr/div_factor, min_lr is initial_lr/final_div_factor. The phases go up, and down to min_lr; or up,
    down to initial_lr in as many steps, and down to min_lr (three_phase). A phase without length is over at once.

    Args:
        optimizer: whose groups' rates are set.
        max_lr: the highest rate, for all groups or one each.
        total_steps: steps in all; or name epochs and steps_per_epoch.
        epochs, steps_per_epoch: their product is the number of steps.
        pct_start: the share of steps that go up, a float.
        anneal_strategy: "cos" or "linear".
        cycle_momentum: whether to move momentum, or beta1 where the optimizer has betas.
        base_momentum, max_momentum: its bounds, for all groups or one each.
        div_factor, final_div_factor: see above.
        three_phase: see above.
        last_epoch: the step before; -1 to begin.

    Raises:
        ValueError: for a length that is not a positive integer, a pct_start outside [0, 1], an unknown strategy, a
            factor that is not positive, a list of another length than the groups, an optimizer without momentum while
            that is to be cycled, or, at a step, more steps than total_steps.
        TypeError: for an optimizer that is none.
        KeyError: if a run goes on, and a group has no `initial_lr`.

    Example:
        >>> scheduler = OneCycleLR(optimizer, max_lr=0.01, total_steps=1000)
        >>> scheduler.step()

    Source: section 3 of https://arxiv.org/abs/1708.07120, arguments of torch.optim.lr_scheduler.OneCycleLR.
    """

    def lr_at(self, step: int) -> list[float]:
        self._check_epoch(step)
        return super().lr_at(step)

    def _rates(self, epoch: float, base: Vector) -> Vector:
        phase, weight, rest = self._phase(epoch)
        # rate = start*(1 - w) + end*w, exact at both ends
        return self._held(phase["start_lr"]) * rest + self._held(phase["end_lr"]) * weight

    def _momenta(self, epoch: float) -> list[float]:
        phase, weight, rest = self._phase(epoch)
        return (self._held(phase["start_momentum"]) * rest + self._held(phase["end_momentum"]) * weight).tolist()

    def _phase(self, epoch: float) -> tuple[dict[str, Any], float, float]:
        """The phase in which an epoch is, and the weights of its end and its start."""
        start = 0.0
        *others, last = self._schedule_phases
        for phase in others:
            if epoch <= phase["end_step"] and start < phase["end_step"]:
                return phase, *self._anneal(epoch - start, phase["end_step"] - start)
            start = phase["end_step"]
        return last, *self._anneal(epoch - start, last["end_step"] - start)

    def _anneal(self, over: float, length: float) -> tuple[float, float]:
        """Weights of end and start; beyond the end nothing moves."""
        if over >= length:
            return 1.0, 0.0
        if self._anneal_func_type == "linear":
            return over / length, (length - over) / length
        rest, weight = cosine(over, length)
        return weight, rest

    def _held(self, name: str) -> Vector:
        """A value that each group holds."""
        return self._vector(name, [group[name] for group in self.optimizer.param_groups])
