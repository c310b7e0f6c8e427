"""Faults that one law sees and no other, as few cases have what they show in; `needed.toml` says of which law each is.

torch is imported when a fault is planted, so that faults can be listed without it.
"""

from __future__ import annotations

from typing import Any

from .averaging import _around_update
from .fault import Fault
from .wraps import _around_step

# Bytes of a block that comes fresh from the system every time.
_BLOCK = 1 << 26


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

    return _around_update(cls, update)


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

    return _around_step(cls, step)


def state_for_all_once_a_plan_is_kept(cls: type[Any]) -> type[Any]:
    def step(self: Any, original: Any) -> Any:
        self._taken = getattr(self, "_taken", 0) + 1
        result = original()
        for group in self.param_groups if self._taken == 3 else ():
            for param in group["params"]:
                if not self.state.get(param):
                    self.state[param].update(self._init_state(param, group))
        return result

    return _around_step(cls, step)


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

    return _around_step(cls, step)


def block_taken_for_zero(cls: type[Any]) -> type[Any]:
    import torch

    class Faulty(cls):  # type: ignore[misc, valid-type]
        def _init_state(self, param: Any, group: dict[str, Any]) -> dict[str, Any]:
            size = max(param.numel(), _BLOCK // param.element_size())
            block = torch.empty(size, dtype=param.dtype, device=param.device)
            exp_avg = torch.zeros_like(param) + block[: param.numel()].view(param.shape)
            return {**super()._init_state(param, group), "exp_avg": exp_avg}

    return Faulty


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
        "adam-block-taken-for-zero",
        "the first moment starts from a large block of memory, which the system gives as zeros",
        "adam", "foreach", "opt.deterministic", "exp_avg of parameter",
        wrap=block_taken_for_zero,
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
