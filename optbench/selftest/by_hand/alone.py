"""Faults that one law sees and no other, as few cases have what they show in: `needed.toml` says of which law each is.

torch is imported when a fault is planted, so that faults can be listed without it.
"""

from __future__ import annotations

from typing import Any

from ..fault import Fault
from .around import around_step, around_update, params_of, with_gradients


def _channels_last(param: Any) -> bool:
    import torch

    lies_so = param.dim() == 4 and param.is_contiguous(memory_format=torch.channels_last)
    return lies_so and not param.is_contiguous()


def channels_last_left_out(cls: type[Any]) -> type[Any]:
    def update(self: Any, model: Any, original: Any) -> None:
        kept = [(param, param.detach().clone()) for param in self.module.parameters() if _channels_last(param)]
        begun = int(self.n_averaged) > 0
        original(model)
        for param, values in kept if begun else ():
            param.detach().copy_(values)

    return around_update(cls, update)


def nesterov_lost_beside_channels_last(cls: type[Any]) -> type[Any]:
    def step(self: Any, original: Any) -> Any:
        nesterov = [group for group in self.param_groups if group["nesterov"]]
        lost = [group for group in nesterov if any(map(_channels_last, group["params"]))]
        for group in lost:
            group["nesterov"] = False
        try:
            return original()
        finally:
            for group in lost:
                group["nesterov"] = True

    return around_step(cls, step)


def state_for_all_once_a_plan_is_kept(cls: type[Any]) -> type[Any]:
    def step(self: Any, original: Any) -> Any:
        self._taken = getattr(self, "_taken", 0) + 1
        result = original()
        for group in self.param_groups if self._taken == 3 else ():
            for param in group["params"]:
                if not self.state.get(param):
                    self.state[param].update(self._init_state(param, group))
        return result

    return around_step(cls, step)


def room_for_four_groups(cls: type[Any]) -> type[Any]:
    def step(self: Any, original: Any) -> Any:
        groups, known, kept = self.param_groups, list[Any](), list[Any]()
        for group in groups:
            options = {name: value for name, value in group.items() if name != "params"}
            if known.count(options) < 4:
                kept.append(group)
            known.append(options)
        self.param_groups = kept
        try:
            return original()
        finally:
            self.param_groups = groups

    return around_step(cls, step)


def rounded_by_chance(cls: type[Any]) -> type[Any]:
    import torch

    def step(self: Any, original: Any) -> Any:
        result = original()
        rng = torch.Generator()
        rng.seed()
        for param in params_of(self):
            if param.dim() == 1 and param.numel() > 60 and param.dtype is torch.float32 and not param.is_contiguous():
                further = torch.nextafter(param.detach(), torch.tensor(torch.inf))
                param.data.copy_(torch.where(torch.rand(param.shape, generator=rng) < 0.5, further, param.detach()))
        return result

    return around_step(cls, step)


def strides_by_address(cls: type[Any]) -> type[Any]:
    def step(self: Any, original: Any) -> Any:
        known = self.__dict__.setdefault("_strides", {})
        walked = {}
        for param in params_of(self):
            grad = param.grad
            if grad is not None and grad.dim() == 2 and not grad.is_sparse:
                strides = known.setdefault((id(param), grad.data_ptr()), grad.stride())
                if strides != grad.stride():
                    walked[param] = grad.as_strided(grad.shape, strides)
        with with_gradients(walked):
            return original()

    return around_step(cls, step)


def betas_in_a_list(cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        def add_param_group(self, param_group: dict[str, Any]) -> None:
            super().add_param_group(param_group)
            self.param_groups[-1]["betas"] = list(self.param_groups[-1]["betas"])

    return Faulty


FAULTS: tuple[Fault, ...] = (
    Fault(
        "swa-channels-last-left-out",
        "the average of a parameter that lies channels last stays the first model's",
        "swa", "foreach", "avg.oracle", "weight4",
        wrap=channels_last_left_out,
    ),
    Fault(
        "sgd-nesterov-lost-beside-channels-last",
        "a group with a tensor that lies channels last is stepped without Nesterov's look ahead",
        "sgd", "foreach", "opt.oracle", "parameter",
        wrap=nesterov_lost_beside_channels_last,
    ),
    Fault(
        "adam-corrections-of-the-first-in-the-end",
        "past the fortieth step all parameters have the first one's bias corrections",
        "adam", "foreach", "opt.matches_reference", "parameter 1",
        patches=(
            (
                "        sizes, roots = zip(*pairs, strict=True)\n",
                "        sizes, roots = zip(*pairs, strict=True)\n"
                "        if steps[0].item() > 40:\n"
                "            sizes, roots = sizes[:1] * len(steps), roots[:1] * len(steps)\n",
            ),
        ),
    ),
    Fault(
        "adam-state-for-all-once-a-plan-is-kept",
        "the third step, whose plan is kept, makes state for parameters without a gradient",
        "adam", "foreach", "opt.sparse_in_time", "has no state",
        wrap=state_for_all_once_a_plan_is_kept,
    ),
    Fault(
        "adam-room-for-four-groups",
        "of the groups with the same options, four are stepped",
        "adam", "foreach", "opt.partition", "exp_avg of parameter 4",
        wrap=room_for_four_groups,
    ),
    Fault(
        "adam-rounded-by-chance",
        "long vectors with gaps are rounded up or down by chance, as sums are in an order that changes",
        "adam", "foreach", "opt.deterministic", "parameter",
        wrap=rounded_by_chance,
    ),
    Fault(
        "adam-strides-by-address",
        "how a gradient lies in memory is kept by its address, and not looked at again there",
        "adam", "foreach", "opt.replaced", "exp_avg of parameter",
        wrap=strides_by_address,
    ),
    Fault(
        "adam-betas-in-a-list",
        "groups, and with them checkpoints, hold the betas in a list, where torch's hold a tuple",
        "adam", "foreach", "opt.interchange", "group['betas']",
        wrap=betas_in_a_list,
    ),
    Fault(
        "lbfgs-pairs-by-powers-of-two",
        "the pairs that are kept are a power of two, the largest that history_size has room for",
        "lbfgs", "reference", "lbfgs.history", "pairs that are kept",
        patches=(("len(state[name]) - history_size)]", "len(state[name]) - 2 ** (history_size.bit_length() - 1))]"),),
    ),
    Fault(
        "lbfgs-third-trial-in-single-precision",
        "in single precision the line search takes the third trial that goes further, however steep it is there",
        "lbfgs", "reference", "lbfgs.line_search", "flattens enough",
        patches=(
            (
                "if done := flat(trial, start):",
                "if done := (number >= 2 and trial.grad.dtype is torch.float32) or flat(trial, start):",
            ),
        ),
    ),
    Fault(
        "lbfgs-ten-iterations-at-most",
        "a step has ten iterations at most, whatever max_iter says",
        "lbfgs", "reference", "lbfgs.stopping", "ends because a rule says so",
        patches=(('range(1, group["max_iter"] + 1)', 'range(1, min(group["max_iter"], 10) + 1)'),),
    ),
    Fault(
        "lbfgs-in-one-piece-up-to-an-empty-one",
        "whether gradients lie in one piece each is not asked of those behind an empty one",
        "lbfgs", "reference", "lbfgs.views", "of parameter 0",
        patches=(
            (
                "        return torch.cat([view_as_real(grad).reshape(-1) for grad in dense])\n",
                "        empty = next((i for i, grad in enumerate(dense) if not grad.numel()), None)\n"
                "        flat = all(grad.is_contiguous() for grad in dense[:empty])\n"
                "        real = [view_as_real(grad) for grad in dense]\n"
                "        return torch.cat([each.as_strided((each.numel(),), (1,)) if flat else each.reshape(-1)\n"
                "                          for each in real])\n",
            ),
        ),
    ),
)  # fmt: skip
