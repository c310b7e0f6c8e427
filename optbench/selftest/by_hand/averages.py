"""Faults of averaging: each takes an AveragedModel, or one of the functions beside it, and gives a faulty one.

torch is imported when a fault is planted, so that faults can be listed without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ..fault import Fault
from .around import around_update


def count_off_by_one(cls: type[Any]) -> type[Any]:
    def update(self: Any, model: Any, original: Any) -> None:
        begun = int(int(self.n_averaged) > 0)
        self.n_averaged += begun
        original(model)
        self.n_averaged -= begun

    return around_update(cls, update)


def first_model_not_copied(cls: type[Any]) -> type[Any]:
    def update(self: Any, model: Any, original: Any) -> None:
        early = int(int(self.n_averaged) == 0)
        self.n_averaged += early
        original(model)
        self.n_averaged -= early

    return around_update(cls, update)


def frozen_left_out(cls: type[Any]) -> type[Any]:
    import torch

    def update(self: Any, model: Any, original: Any) -> None:
        frozen = [param for param in self.module.parameters() if not param.requires_grad]
        held = [param.detach().clone() for param in frozen]
        original(model)
        with torch.no_grad():
            for param, values in zip(frozen, held, strict=True):
                param.copy_(values)

    return around_update(cls, update)


def buffers_never_averaged(cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **{**options, "use_buffers": False})

    return Faulty


def digits_forgotten(cls: type[Any]) -> type[Any]:
    def update(self: Any, model: Any, original: Any) -> None:
        original(model)
        for param in self.module.parameters():
            # Whoever writes to an average makes its own digits the only ones.
            param.detach().mul_(1)

    return around_update(cls, update)


def memory_shared(cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        def __init__(self, model: Any, *args: Any, **options: Any) -> None:
            super().__init__(model, *args, **options)
            next(self.module.parameters()).data = next(model.parameters()).data

    return Faulty


def copy_by_state_dict(cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        def __deepcopy__(self, memo: Any) -> Any:
            twin = type(self)(self.module, None, self.avg_fn, self.multi_avg_fn, self.use_buffers)
            twin.load_state_dict(self.state_dict())
            return twin

    return Faulty


def forward_of_the_first(cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        def forward(self, *args: Any, **options: Any) -> Any:
            import torch

            if not hasattr(self, "_held"):
                object.__setattr__(self, "_held", {})
            held = self.__dict__["_held"]
            for name, param in self.module.named_parameters():
                held.setdefault(name, param.detach().clone())
            return torch.func.functional_call(self.module, held, args, options)

    return Faulty


def decay_off_in_the_fourth_digit(function: Callable[..., Any]) -> Callable[..., Any]:
    def get(decay: float = 0.999) -> Any:
        return function(decay * 0.9999)

    return get


def warm_up_is_the_decay(function: Callable[..., Any]) -> Callable[..., Any]:
    def get(decay: float = 0.999) -> Any:
        def update(averaged: Any, current: Any, counted: Any) -> None:
            function(min(decay, (1 + int(counted)) / (10 + int(counted))))(averaged, current, counted)

        return update

    return get


def any_decay_taken(function: Callable[..., Any]) -> Callable[..., Any]:
    def get(decay: float = 0.999) -> Any:
        return function(min(max(decay, 0.0), 1.0))

    return get


def momentum_of_zero(function: Callable[..., Any]) -> Callable[..., Any]:
    def update_bn(loader: Any, model: Any, device: Any = None) -> None:
        def spoilt() -> Iterator[Any]:
            for batch in loader:
                for module in model.modules():
                    if hasattr(module, "running_mean"):
                        module.momentum = 0.0
                yield batch

        function(spoilt(), model, device)

    return update_bn


def training_after_an_error(function: Callable[..., Any]) -> Callable[..., Any]:
    def update_bn(loader: Any, model: Any, device: Any = None) -> None:
        try:
            function(loader, model, device)
        except Exception:
            model.train()
            raise

    return update_bn


def counting_on_from_zero(cls: type[Any]) -> type[Any]:
    def update(self: Any, model: Any, original: Any) -> None:
        seen = int(self.n_averaged) == 0 and getattr(self, "_seen", False)
        self.n_averaged += seen
        original(model)
        self.n_averaged -= int(seen)
        self._seen = True

    return around_update(cls, update)


def nan_left_out(cls: type[Any]) -> type[Any]:
    import torch

    def update(self: Any, model: Any, original: Any) -> None:
        held = [param.detach().clone() for param in self.module.parameters()]
        original(model)
        with torch.no_grad():
            for param, values in zip(self.module.parameters(), held, strict=True):
                param.copy_(torch.where(param.isnan(), values, param))

    return around_update(cls, update)


def one_argument_handed_on(cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        def forward(self, *args: Any, **options: Any) -> Any:
            return self.module(*args)

    return Faulty


def count_in_float32(cls: type[Any]) -> type[Any]:
    def update(self: Any, model: Any, original: Any) -> None:
        original(model)
        self.n_averaged.copy_(self.n_averaged.float())

    return around_update(cls, update)


def put_into_evaluation(cls: type[Any]) -> type[Any]:
    def update(self: Any, model: Any, original: Any) -> None:
        original(model)
        self.module.eval()

    return around_update(cls, update)


FAULTS: tuple[Fault, ...] = (
    Fault(
        "swa-count-off-by-one",
        "the mean divides by one model too many",
        "swa", "reference", "avg.oracle", "weight",
        wrap=count_off_by_one,
    ),
    Fault(
        "ema-first-model-not-copied",
        "the average starts from the weights at construction, not from the first model it is shown",
        "ema", "foreach", "avg.oracle", "weight",
        wrap=first_model_not_copied,
    ),
    Fault(
        "swa-frozen-left-out",
        "parameters without a gradient are not averaged",
        "swa", "reference", "avg.oracle", "weight",
        wrap=frozen_left_out,
    ),
    Fault(
        "ema-buffers-never-averaged",
        "use_buffers is ignored",
        "ema", "foreach", "avg.oracle", "tail.",
        wrap=buffers_never_averaged,
    ),
    Fault(
        "ema-decay-off-in-the-fourth-digit",
        "the decay is 0.89991 where 0.9 was asked for",
        "ema", "fused", "avg.oracle", "weight",
        wrap=decay_off_in_the_fourth_digit,
        target="get_ema_multi_avg_fn",
    ),
    Fault(
        "ema-warm-up-is-the-decay",
        "the decay of the warm-up is the decay for good",
        "ema", "fused", "avg.oracle", "weight",
        shipped_in="diffusers#1864",
        wrap=warm_up_is_the_decay,
        target="get_ema_multi_avg_fn",
    ),
    Fault(
        "ema-any-decay-taken",
        "a decay outside of its range is taken for the nearest bound",
        "ema", "foreach", "avg.errors", "is refused",
        wrap=any_decay_taken,
        target="get_ema_multi_avg_fn",
    ),
    Fault(
        "ema-digits-forgotten",
        "an average has the digits of its tensors only, and stands still in 16 bits",
        "ema", "fused", "avg.precision", "after",
        wrap=digits_forgotten,
    ),
    Fault(
        "ema-memory-shared",
        "the average's first parameter is the model's",
        "ema", "fused", "avg.pure", "memory of its own",
        wrap=memory_shared,
    ),
    Fault(
        "ema-copy-by-state-dict",
        "a copy has what a checkpoint holds, and forgets the digits beyond",
        "ema", "fused", "avg.round_trip", "copied after",
        wrap=copy_by_state_dict,
    ),
    Fault(
        "update-bn-momentum-of-zero",
        "statistics are taken with a momentum of 0 instead of none",
        "swa", "reference", "avg.bn", "running_mean",
        shipped_in="Lightning#14866",
        wrap=momentum_of_zero,
        target="update_bn",
    ),
    Fault(
        "update-bn-training-after-an-error",
        "a loader that raises leaves the model in training mode",
        "swa", "reference", "avg.bn", "modules in training",
        wrap=training_after_an_error,
        target="update_bn",
    ),
    Fault(
        "swa-forward-of-the-first",
        "the averaged model computes with the weights of its first call",
        "swa", "reference", "page.examples", "result",
        wrap=forward_of_the_first,
    ),
    Fault(
        "ema-counting-on-from-zero",
        "an average whose count is set to 0 goes on from what it was",
        "ema", "foreach", "avg.oracle", "weight",
        wrap=counting_on_from_zero,
    ),
    Fault(
        "swa-nan-left-out",
        "what is NaN in the model is left out of the average",
        "swa", "foreach", "avg.oracle", "elements that are NaN",
        wrap=nan_left_out,
    ),
    Fault(
        "swa-one-argument-handed-on",
        "keyword arguments of a call do not reach the averaged model",
        "swa", "reference", "avg.pure", "what the module was given",
        wrap=one_argument_handed_on,
    ),
    Fault(
        "swa-count-in-float32",
        "the count stands still at 2**24",
        "swa", "fused", "avg.precision", "n_averaged",
        wrap=count_in_float32,
    ),
    Fault(
        "swa-put-into-evaluation",
        "each update puts the averaged model into evaluation",
        "swa", "foreach", "avg.pure", "training modes and flags of the average",
        wrap=put_into_evaluation,
    ),
)  # fmt: skip
