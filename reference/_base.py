"""What the reference optimizers share and is no algorithm: groups, state, closures, complex views, checkpoints."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from numbers import Real
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT


class ReferenceOptimizer(torch.optim.Optimizer):
    """A for loop over parameters. An algorithm supplies `_options`, `_entries` and `_update`.

    Where all of them depart from torch.optim: `foreach` and `fused` are kept in the groups and select nothing;
    `capturable` works on every device; a complex parameter may carry the conjugate bit; a loaded checkpoint is
    copied, never shared; sets of parameters are refused, also where torch lets them through; a group with a sparse
    gradient is refused before its first parameter is written.
    """

    # Options that a checkpoint of an older torch may lack, and what their absence stands for: what nearly all have, the
    # rest.
    _common_options: ClassVar[dict[str, Any]] = {"maximize": False, "foreach": None, "differentiable": False}
    _absent_options: ClassVar[dict[str, Any]] = {}
    # State kept in tensors without dimensions, which old checkpoints hold as numbers.
    _scalar_entries: ClassVar[tuple[str, ...]] = ("step",)
    # Whether it always is on the parameter's device.
    _scalars_on_device: ClassVar[bool] = False
    # What to tell the owner of a sparse gradient.
    _sparse_refusal: ClassVar[str]
    # The same for a complex parameter.
    _complex_refusal: ClassVar[str | None] = None
    # Called once a group, with an iterable of (param, grad, *entries) and with the group's hyperparameters as keywords.
    _update: Callable[..., None]

    def __init__(self, params: ParamsT, defaults: dict[str, Any]) -> None:
        _refuse_sets(params)
        super().__init__(params, defaults)
        # Not every optimizer of torch.optim has these flags.
        if defaults.get("fused") and defaults.get("differentiable"):
            raise RuntimeError("`fused` does not support `differentiable`")
        if defaults.get("fused") and defaults.get("foreach"):
            raise RuntimeError("`fused` and `foreach` cannot be `True` together.")

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with options of their own."""
        if isinstance(param_group, dict):
            _refuse_sets(param_group.get("params"))
            # The caller's own stays as it is.
            param_group = dict(param_group)
        super().add_param_group(param_group)

    def _options(self, group: dict[str, Any]) -> dict[str, Any]:
        """The hyperparameters, under the names that `_update` takes."""
        raise NotImplementedError

    def _entries(self, param: Tensor, grad: Tensor, group: dict[str, Any]) -> tuple[Any, ...]:
        """A parameter's state in the order in which `_update` takes it, created when it is not there."""
        raise NotImplementedError

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every parameter that has a gradient.

        Args:
            closure: clears the gradients, computes the loss with gradients enabled, and returns it.

        Returns:
            What the closure returned, or None without one.

        Raises:
            RuntimeError: a gradient is sparse where the algorithm takes none.
        """
        if "capturable" in self.defaults:
            self._check_graph_capture()
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.set_grad_enabled(self.defaults.get("differentiable", False)):
            for group in self.param_groups:
                self._refuse_sparse(group)
                options = {name: scalar(value, group) for name, value in self._options(group).items()}
                self._update(self._live(group), **options)
        return loss

    def _live(self, group: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
        """Yield (param, grad, *entries) of each parameter that has a gradient: real tensors, to be updated in place."""
        for param in group["params"]:
            grad = param.grad
            if grad is None:
                continue
            entries = self._entries(param, grad, group)
            # A sparse gradient has no real view: whoever takes it sees to that.
            if not param.is_complex() or grad.is_sparse:
                yield (param, grad) + entries  # noqa: RUF005 - unpacking takes half as long again
                continue
            # A complex tensor is updated as pairs of real numbers.
            real = view_as_real(param)
            yield real, *(view_as_real(value) for value in (grad, *entries))
            # The update is done by now. Where resolving a conjugate bit made a copy, write it back.
            if param.is_conj():
                param.copy_(torch.view_as_complex(real))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a checkpoint as torch.optim does, except that state without dimensions keeps its dtype."""
        # torch casts all state but the step to the parameter's dtype, where a running product has too few digits, and
        # makes generators of texts. A hook that comes after all others wraps both, and __setstate__ unwraps them.
        handle = self.register_load_state_dict_pre_hook(lambda _, hooked: self._wrap(hooked))
        try:
            super().load_state_dict(state_dict)
        finally:
            handle.remove()

    def _wrap(self, state_dict: dict[str, Any]) -> dict[str, Any]:
        def wrapped(entries: Any) -> Any:
            entries = _copied(entries, lambda value: _Uncast(value) if isinstance(value, str) else value)
            if not isinstance(entries, dict):
                return entries
            names = [name for name in self._scalar_entries if isinstance(entries.get(name), Tensor)]
            return {**entries, **{name: _Uncast(entries[name]) for name in names}}

        return {**state_dict, "state": {key: wrapped(entries) for key, entries in state_dict["state"].items()}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # torch hands over a loaded checkpoint's own tensors where dtype and device fit: steps would move the caller's.
        copied = {key: _copied(entries, _own) for key, entries in state["state"].items()}
        super().__setstate__({**state, "state": defaultdict(dict, copied)})
        for group in self.param_groups:
            for name, value in (self._common_options | self._absent_options).items():
                group.setdefault(name, value)
            for param in group["params"]:
                entries = self.state.get(param, {})
                for name in entries.keys() & set(self._scalar_entries):
                    value = entries[name]
                    if isinstance(value, _Uncast):
                        device = new_scalar(param, group, on_device=self._scalars_on_device).device
                        entries[name] = value.held.to(device, copy=True)
                    elif not isinstance(value, Tensor):
                        entries[name] = new_scalar(param, group, float(value), on_device=self._scalars_on_device)

    def _refuse_sparse(self, group: dict[str, Any]) -> None:
        for param in group["params"]:
            if param.grad is not None and param.grad.layout is not torch.strided:
                raise RuntimeError(self._sparse_refusal)
            if self._complex_refusal and param.grad is not None and param.is_complex():
                raise RuntimeError(self._complex_refusal)

    def _check_graph_capture(self) -> None:
        # torch 2.11 has this check under its former name.
        check = getattr(self, "_accelerator_graph_capture_health_check", None)
        (check or self._cuda_graph_capture_health_check)()


def _refuse_sets(params: Any) -> None:
    if isinstance(params, set | frozenset):
        raise TypeError("optimizer parameters need a repeatable order, which a set has not: use a list")


class _Uncast:
    """Something on its way past load_state_dict, which looks into tensors, dictionaries and iterables only."""

    def __init__(self, held: Any) -> None:
        self.held = held


def new_scalar(param: Tensor, group: dict[str, Any], value: float = 0.0, *, on_device: bool = False) -> Tensor:
    """State without dimensions: on the CPU, where reading it is free, unless the group wants it on the device."""
    fused = group.get("fused")
    wide = torch.get_default_dtype() == torch.float64 and not fused
    device = param.device if on_device or fused or group.get("capturable") else "cpu"
    return torch.full((), value, dtype=torch.float64 if wide else torch.float32, device=device)


def count_step(state: dict[str, Any], group: dict[str, Any]) -> None:
    """Count a step in the state."""
    if group.get("differentiable") and state["step"].requires_grad:
        raise RuntimeError("`requires_grad` is not supported for `step` in differentiable mode")
    state["step"] += 1


def next_step(state: dict[str, Any], group: dict[str, Any]) -> Any:
    """Count a step in the state; return its number, the first being 1."""
    count_step(state, group)
    return scalar(state["step"], group)


def scalar(value: Any, group: dict[str, Any]) -> Any:
    """A number as a float. A tensor too, unless the group keeps tensors: then a copy in float64, without dims."""
    if not isinstance(value, Tensor):
        return float(value) if isinstance(value, Real) else value
    if not (group.get("differentiable") or group.get("capturable")):
        return float(value.item())
    # A copy, because autograd may hold it while the caller writes to the original. MPS has no float64.
    dtype = torch.float32 if value.device.type == "mps" else torch.float64
    return value.reshape(()).to(dtype, copy=True)


def view_as_real(value: Any) -> Any:
    """A complex tensor as pairs of real numbers, a copy where it carries a lazy bit; anything else as it is."""
    if isinstance(value, Tensor) and value.is_complex():
        return torch.view_as_real(value.resolve_conj().resolve_neg())
    return value


def _own(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.clone()
    return value.held if isinstance(value, _Uncast) and isinstance(value.held, str) else value


def _copied(value: Any, leaf: Callable[[Any], Any]) -> Any:
    """What a state holds, each of its leaves as the function has it."""
    if isinstance(value, list | tuple):
        return type(value)([_copied(item, leaf) for item in value])
    return {name: _copied(item, leaf) for name, item in value.items()} if isinstance(value, dict) else leaf(value)
