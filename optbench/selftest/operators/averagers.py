"""Operators on any averaged model and on the functions that make averages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from optbench.subjects import Subject

from .changes import FOURTH_DIGIT
from .schedulers import with_option

Wrap = Callable[[Any], Any]


def wrappers(subject: Subject) -> Iterator[tuple[str, str, Wrap]]:
    """Every operator for an averager: (its name, what it works on, a function that makes a class faulty)."""
    yield "dead-option", "use_buffers", partial(with_option, "use_buffers", lambda value: False)
    yield "dead-option", "device", partial(with_option, "device", lambda value: None)
    yield "off-by-one", "n_averaged", partial(_around_update, _counted_twice)
    yield "off-by-one", "begun", partial(_around_update, _ahead_while_it_counts)
    yield "drop-term", "first copy", partial(_around_update, _first_not_copied)
    yield "drop-term", "update", partial(_around_update, _third_left_out)
    yield "stale-state", "n_averaged", partial(_around_update, _not_counted)
    yield "stale-state", "n_averaged not loaded", _count_not_loaded
    yield "stale-state", "model", partial(_around_update, _model_of_the_first)
    yield "skipped-tail", "parameters", partial(_around_update, partial(_without_last, "parameters"))
    yield "skipped-tail", "buffers", partial(_around_update, partial(_without_last, "buffers"))
    yield "skipped-tail", "elements", partial(_around_update, _tails_left_out)
    yield "swap-order", "parameters", partial(_around_update, _exchanged)
    yield "wrong-dtype", "parameters", partial(_around_update, _rounded)
    yield "wrong-group", "parameters", partial(_around_update, _of_the_first)
    yield "shared-storage", "parameters", _shares_its_parameters
    yield "shared-storage", "deepcopy", _copies_shallowly
    yield "mutated-input", "model", partial(_around_update, _model_scaled)
    yield "mutated-input", "mode", partial(_around_update, _model_in_training)
    yield "mutated-input", "grad", partial(_around_update, _gradients_lost)
    yield "fourth-digit", "average", partial(_around_update, _scaled)


def functions(subject: Subject) -> Iterator[tuple[str, str, str, Wrap]]:
    """The same for functions beside the class: (operator, what it works on, the function's name, wrapper)."""
    if "decay" in subject.defaults:
        for form in ("avg_fn", "multi_avg_fn"):
            name = f"get_ema_{form}"
            yield "fourth-digit", f"decay of {form}", name, partial(_decay, lambda decay: decay * (2 - FOURTH_DIGIT))
            yield "dead-option", f"decay of {form}", name, partial(_decay, lambda decay: 0.999)
            yield "swap-order", f"decay of {form}", name, partial(_decay, lambda decay: 1 - decay)
    else:
        yield "drop-term", "momentum of update_bn", "update_bn", _momentum_kept
        yield "skipped-tail", "batches of update_bn", "update_bn", _without_last_batch
        yield "off-by-one", "batches of update_bn", "update_bn", _first_batch_twice
        yield "stale-state", "statistics of update_bn", "update_bn", _not_reset
        yield "mutated-input", "mode of update_bn", "update_bn", _mode_lost


def _around_update(update: Callable[[Any, Any, Callable[[Any], None]], None], cls: type[Any]) -> type[Any]:
    """A subclass whose update is `update(averager, model, original update)`."""

    class Faulty(cls):  # type: ignore[misc, valid-type]
        def update_parameters(self, model: Any) -> None:
            import torch

            with torch.no_grad():
                update(self, model, super().update_parameters)

    return Faulty


def _counted_twice(averager: Any, model: Any, original: Any) -> None:
    original(model)
    averager.n_averaged += 1


def _ahead_while_it_counts(averager: Any, model: Any, original: Any) -> None:
    begun = int(int(averager.n_averaged) > 0)
    averager.n_averaged += begun
    original(model)
    averager.n_averaged -= begun


def _first_not_copied(averager: Any, model: Any, original: Any) -> None:
    early = int(int(averager.n_averaged) == 0)
    averager.n_averaged += early
    original(model)
    averager.n_averaged -= early


def _third_left_out(averager: Any, model: Any, original: Any) -> None:
    if int(averager.n_averaged) == 2:
        averager.n_averaged += 1
    else:
        original(model)


def _not_counted(averager: Any, model: Any, original: Any) -> None:
    begun = int(averager.n_averaged) > 0
    original(model)
    if begun:
        averager.n_averaged -= 1


def _count_not_loaded(cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        def load_state_dict(self, state_dict: Any, *given: Any, **options: Any) -> Any:
            return super().load_state_dict({**state_dict, "n_averaged": self.n_averaged}, *given, **options)

    return Faulty


def _model_of_the_first(averager: Any, model: Any, original: Any) -> None:
    known = averager.__dict__.setdefault("_first_model", [model])
    original(known[0])


def _without_last(kind: str, averager: Any, model: Any, original: Any) -> None:
    held = [tensor for tensor in getattr(averager.module, kind)() if tensor.numel()][-1:]
    kept = [tensor.detach().clone() for tensor in held]
    original(model)
    for tensor, values in zip(held, kept, strict=True):
        tensor.copy_(values)


def _tails_left_out(averager: Any, model: Any, original: Any) -> None:
    kept = {
        param: param.detach().reshape(-1)[param.numel() // 16 * 16 :].clone()
        for param in averager.module.parameters()
        if param.numel() > 16 and param.is_contiguous()
    }
    original(model)
    for param, tail in kept.items():
        param.view(-1)[param.numel() // 16 * 16 :] = tail


def _exchanged(averager: Any, model: Any, original: Any) -> None:
    """Two parameters of one form get each other's average."""
    original(model)
    held: dict[Any, list[Any]] = {}
    for param in averager.module.parameters():
        held.setdefault((param.shape, param.dtype), []).append(param)
    for one, other in (params[:2] for params in held.values() if len(params) > 1):
        values = one.detach().clone()
        one.copy_(other)
        other.copy_(values)


def _rounded(averager: Any, model: Any, original: Any) -> None:
    import torch

    original(model)
    narrower = {torch.float64: torch.float32, torch.float32: torch.bfloat16, torch.complex128: torch.complex64}
    for param in averager.module.parameters():
        if param.dtype in narrower:
            param.copy_(param.to(narrower[param.dtype]))


def _of_the_first(averager: Any, model: Any, original: Any) -> None:
    """Parameters of one form have the average of the first of them."""
    original(model)
    held: dict[Any, Any] = {}
    for param in averager.module.parameters():
        param.copy_(held.setdefault((param.shape, param.dtype), param))


def _shares_its_parameters(cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        def __init__(self, model: Any, *given: Any, **options: Any) -> None:
            super().__init__(model, *given, **options)
            for ours, theirs in zip(self.module.parameters(), model.parameters(), strict=True):
                ours.data = theirs.data

    return Faulty


def _copies_shallowly(cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        def __deepcopy__(self, memo: Any) -> Any:
            import copy

            memo.update({id(param): param for param in self.module.parameters()})
            twin = type(self).__new__(type(self))
            memo[id(self)] = twin
            twin.__setstate__(copy.deepcopy(super().__getstate__(), memo))
            return twin

    return Faulty


def _model_scaled(averager: Any, model: Any, original: Any) -> None:
    original(model)
    for param in model.parameters():
        param.mul_(0.5)


def _model_in_training(averager: Any, model: Any, original: Any) -> None:
    original(model)
    model.train()


def _gradients_lost(averager: Any, model: Any, original: Any) -> None:
    original(model)
    for param in model.parameters():
        param.grad = None


def _scaled(averager: Any, model: Any, original: Any) -> None:
    original(model)
    for param in averager.module.parameters():
        if param.is_floating_point() or param.is_complex():
            param.mul_(FOURTH_DIGIT)


def _decay(change: Callable[[float], float], function: Callable[..., Any]) -> Callable[..., Any]:
    def get(decay: float = 0.999) -> Any:
        return function(change(decay))

    return get


def _momentum_kept(function: Callable[..., Any]) -> Callable[..., Any]:
    def update_bn(loader: Any, model: Any, device: Any = None) -> None:
        layers = [module for module in model.modules() if hasattr(module, "running_mean")]
        momenta = [layer.momentum for layer in layers]

        def batches() -> Iterator[Any]:
            for batch in loader:
                for layer, momentum in zip(layers, momenta, strict=True):
                    layer.momentum = momentum
                yield batch

        function(batches(), model, device)

    return update_bn


def _without_last_batch(function: Callable[..., Any]) -> Callable[..., Any]:
    def update_bn(loader: Any, model: Any, device: Any = None) -> None:
        function([*loader][:-1], model, device)

    return update_bn


def _first_batch_twice(function: Callable[..., Any]) -> Callable[..., Any]:
    def update_bn(loader: Any, model: Any, device: Any = None) -> None:
        batches = [*loader]
        function([*batches[:1], *batches], model, device)

    return update_bn


def _not_reset(function: Callable[..., Any]) -> Callable[..., Any]:
    def update_bn(loader: Any, model: Any, device: Any = None) -> None:
        layers = [module for module in model.modules() if hasattr(module, "reset_running_stats")]
        for layer in layers:
            layer.reset_running_stats = lambda: None
        try:
            function(loader, model, device)
        finally:
            for layer in layers:
                del layer.reset_running_stats

    return update_bn


def _mode_lost(function: Callable[..., Any]) -> Callable[..., Any]:
    def update_bn(loader: Any, model: Any, device: Any = None) -> None:
        function(loader, model, device)
        model.train()

    return update_bn
