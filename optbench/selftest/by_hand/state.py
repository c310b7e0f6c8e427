"""Faults of state and checkpoints."""

from __future__ import annotations

from typing import Any

from ..fault import Fault
from .around import around_step, old_memory, params_of, without_gradient


def load_shares_storage(cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        def load_state_dict(self, state_dict: Any) -> None:
            super().load_state_dict(state_dict)
            for i, param in enumerate(params_of(self)):
                if i in state_dict["state"]:
                    self.state[param].update(state_dict["state"][i])

    return Faulty


def stale_pointer(cls: type[Any]) -> type[Any]:
    return around_step(cls, old_memory)


def state_renamed(cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        def state_dict(self) -> Any:
            saved = super().state_dict()
            saved["state"] = {
                i: {("m" if name == "exp_avg" else name): value for name, value in state.items()}
                for i, state in saved["state"].items()
            }
            return saved

    return Faulty


def overflow_ignored_after_unscale(cls: type[Any]) -> type[Any]:
    import torch

    def step(self: Any, original: Any) -> Any:
        if getattr(self, "grad_scale", 1.0) is None:
            self.found_inf = torch.zeros_like(self.found_inf)
        return original()

    return around_step(cls, step)


def momentum_of_a_skipped_step(cls: type[Any]) -> type[Any]:
    import torch

    def step(self: Any, original: Any) -> Any:
        result = original()
        for param in params_of(self) if getattr(self, "found_inf", False) else ():
            self.state[param].setdefault("momentum_buffer", torch.zeros_like(param))
        return result

    return around_step(cls, step)


def unscaled_into_grad(cls: type[Any]) -> type[Any]:
    def step(self: Any, original: Any) -> Any:
        result = original()
        scale = getattr(self, "grad_scale", None)
        for param in params_of(self) if scale is not None else ():
            if param.grad is not None:
                param.grad.div_(scale)
        return result

    return around_step(cls, step)


def counts_outside_its_state(cls: type[Any]) -> type[Any]:
    def step(self: Any, original: Any) -> Any:
        self._taken = getattr(self, "_taken", 0) + 1
        result = original()
        for state in self.state.values():
            state["step"].clamp_(max=self._taken)
        return result

    return around_step(cls, step)


def state_dict_copied(cls: type[Any]) -> type[Any]:
    import copy

    class Faulty(cls):  # type: ignore[misc, valid-type]
        def state_dict(self) -> Any:
            return copy.deepcopy(super().state_dict())

    return Faulty


def rate_shared_with_its_checkpoint(cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        def load_state_dict(self, state_dict: Any) -> None:
            super().load_state_dict(state_dict)
            for group, given in zip(self.param_groups, state_dict["param_groups"], strict=True):
                group["lr"] = given["lr"]

    return Faulty


def newer_option_missed(cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        pass

    Faulty.absent_options = {name: value for name, value in cls.absent_options.items() if name != "amsgrad"}
    return Faulty


def absence_stands_for_the_readers_option(cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        def __setstate__(self, state: Any) -> None:
            for group in state["param_groups"]:
                for name, value in getattr(self, "defaults", {}).items():
                    group.setdefault(name, value)
            super().__setstate__(state)

    return Faulty


def frozen_left_out(cls: type[Any]) -> type[Any]:
    def step(self: Any, original: Any) -> Any:
        with without_gradient([param for param in params_of(self) if not param.requires_grad and param.is_leaf]):
            return original()

    return around_step(cls, step)


FAULTS: tuple[Fault, ...] = (
    Fault(
        "adam-load-shares-storage",
        "load_state_dict keeps the very tensors it was given",
        "adam", "foreach", "opt.snapshot", "has memory of its own",
        shipped_in="pytorch#196083",
        wrap=load_shares_storage,
    ),
    Fault(
        "adam-stale-pointer",
        "after p.data = ... the old memory is updated",
        "adam", "fused", "opt.replaced", "parameter",
        wrap=stale_pointer,
    ),
    Fault(
        "adam-state-renamed",
        "state_dict calls the first moment m",
        "adam", "foreach", "opt.interchange", "state entries",
        wrap=state_renamed,
    ),
    Fault(
        "adam-counts-outside-its-state",
        "what decides the bias corrections is an attribute, which no checkpoint holds",
        "adam", "foreach", "opt.round_trip", "step of parameter",
        wrap=counts_outside_its_state,
    ),
    Fault(
        "sgd-state-dict-copied",
        "state_dict gives copies of the state",
        "sgd", "reference", "opt.snapshot", "is the optimizer's own",
        wrap=state_dict_copied,
    ),
    Fault(
        "adam-rate-shared-with-its-checkpoint",
        "a tensor lr that was loaded is the checkpoint's own",
        "adam", "reference", "opt.snapshot", "group['lr']",
        wrap=rate_shared_with_its_checkpoint,
    ),
    Fault(
        "adam-overflow-ignored-after-unscale",
        "an overflow is ignored where the gradients were unscaled before the step",
        "adam", "fused", "opt.amp_skip", "which is skipped",
        shipped_in="pytorch#95781",
        wrap=overflow_ignored_after_unscale,
    ),
    Fault(
        "sgd-momentum-of-a-skipped-step",
        "a first step that is skipped leaves a momentum buffer",
        "sgd", "fused", "opt.amp_skip", "momentum_buffer of parameter",
        shipped_in="torch 2.13, fused SGD",
        wrap=momentum_of_a_skipped_step,
    ),
    Fault(
        "adam-unscaled-into-grad",
        "the step writes the unscaled gradient into the caller's",
        "adam", "fused", "opt.amp_skip", "gradient of parameter",
        shipped_in="torch 2.13, fused on CPU",
        wrap=unscaled_into_grad,
    ),
    Fault(
        "adam-newer-option-missed",
        "a checkpoint without amsgrad is loaded as it is",
        "adam", "foreach", "opt.old_checkpoints", "KeyError: 'amsgrad'",
        wrap=newer_option_missed,
    ),
    Fault(
        "adam-absence-stands-for-the-readers-option",
        "an option that a checkpoint lacks is taken from the optimizer that loads it",
        "adam", "fused", "opt.old_checkpoints", "group['amsgrad']",
        wrap=absence_stands_for_the_readers_option,
    ),
    Fault(
        "adam-frozen-left-out",
        "a parameter that has a gradient and needs none any more is left out",
        "adam", "reference", "opt.replaced", "exp_avg of parameter",
        wrap=frozen_left_out,
    ),
)  # fmt: skip
