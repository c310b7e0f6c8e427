"""What every optimizer of the foreach and fused tiers shares: the frame of a step, refusals, old checkpoints."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, ParamsT

# options that most optimizers gained after their first release, and what their absence from a checkpoint stands for
LATER_OPTIONS: dict[str, Any] = {"foreach": None, "maximize": False, "differentiable": False, "capturable": False}


SPARSE_DECAY = "weight_decay option is not compatible with sparse gradients: it would touch every row"


class OptimizerBase(Optimizer):
    """Frame of a step around a tier's own loop.

    A tier's class implements `_update`, which runs once per `step` without autograd and walks `self.param_groups`.
    Hooks, `state_dict` and parameter groups are `torch.optim.Optimizer`'s.
    """

    # options that checkpoints of an older torch lack, and what their absence stands for
    absent_options: ClassVar[dict[str, Any]] = {}
    # 0-d tensors of a parameter's state, which old checkpoints kept as Python numbers
    scalar_state: ClassVar[tuple[str, ...]] = ("step",)
    # whether they are on the parameter's device always, and not only where capturable or fused ask for it
    scalar_state_on_device: ClassVar[bool] = False
    # entries of which loading leaves the dtype, where they are 0-d tensors
    kept_state: ClassVar[tuple[str, ...]] = ()
    # what to tell the owner of a sparse gradient; None where they are taken
    sparse_refusal: ClassVar[str | None] = None

    def __init__(self, params: ParamsT, defaults: dict[str, Any]) -> None:
        refuse_sets(params)
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with options of their own; see torch.optim.Optimizer.

        Raises:
            TypeError: unlike in torch, for a frozen set of parameters as well.
        """
        if isinstance(param_group, dict):
            refuse_sets(param_group.get("params"))
            # The caller's may serve for another optimizer: that one's options are not this one's.
            param_group = dict(param_group)
        super().add_param_group(param_group)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Perform one optimization step.

        Args:
            closure: re-evaluates the model and returns the loss; it runs with autograd on.

        Returns:
            What the closure returned, or None.

        Raises:
            ValueError: if a parameter group says differentiable=True.
        """
        for group in self.param_groups:
            if group.get("differentiable"):
                self._refuse_differentiable()
        self._check_graph_capture()
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.no_grad():
            self._update()
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a checkpoint; unlike torch's, it is copied, and 0-d state keeps its dtype.

        Training on leaves the checkpoint as it is, and a running product is not cut to the few digits of bfloat16.
        """
        # a hook, because it comes after the caller's own, which may change what is loaded
        handle = self.register_load_state_dict_pre_hook(lambda _, loaded: self._shielded(loaded))
        try:
            super().load_state_dict(state_dict)
        finally:
            handle.remove()

    def _shielded(self, state_dict: dict[str, Any]) -> dict[str, Any]:
        names = {*self.scalar_state, *self.kept_state}
        copied = deepcopy(state_dict)
        # torch's loader makes generators of texts
        copied["state"] = _each(copied["state"], lambda value: _Shield(value) if isinstance(value, str) else value)
        for entry in filter(lambda value: isinstance(value, dict), copied["state"].values()):
            for name in names & entry.keys():
                if isinstance(entry[name], Tensor):
                    entry[name] = _Shield(entry[name])
        return copied

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for key, entry in self.state.items():
            self.state[key] = _each(entry, _text)
        for group in self.param_groups:
            for name, value in self.absent_options.items():
                group.setdefault(name, value)
            for param in group["params"]:
                entry = self.state.get(param, {})
                for name in (*self.kept_state, *self.scalar_state):
                    if isinstance(entry.get(name), _Shield):
                        entry[name] = entry[name].held.to(self._scalar_device(param, group))
                for name in self.scalar_state * bool(entry):
                    if not isinstance(entry[name], Tensor):
                        entry[name] = self._scalar(param, group, float(entry[name]))

    def refuses_sparse(self, group: dict[str, Any]) -> str | None:
        """What to tell the owner of a sparse gradient; None where the group takes it."""
        return self.sparse_refusal

    def _update(self) -> None:
        raise NotImplementedError(f"{type(self).__name__} must implement _update")

    def _init_state(self, param: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        """The state of `param` before its first step, for which its gradient is there."""
        raise NotImplementedError(f"{type(self).__name__} must implement _init_state")

    def _scalar(self, param: Tensor, group: dict[str, Any], value: float) -> Tensor:
        """A 0-d state of torch's dtype for it, where torch keeps it."""
        wide = torch.get_default_dtype() == torch.float64 and not group.get("fused")
        dtype = torch.float64 if wide else torch.float32
        return torch.tensor(value, dtype=dtype, device=self._scalar_device(param, group))

    def _scalar_device(self, param: Tensor, group: dict[str, Any]) -> torch.device:
        # on the CPU, as kernels for one number are dear, unless asked otherwise
        on_device = self.scalar_state_on_device or group.get("capturable") or group.get("fused")
        return param.device if on_device else torch.device("cpu")

    def _check_flags(self, *, differentiable: bool, foreach: bool | None = None, fused: bool | None = None) -> None:
        # torch builds the groups first and looks at these flags last; so do we, so that the same mistake wins
        if fused:
            if differentiable:
                raise RuntimeError("`fused` does not support `differentiable`")
            if foreach:
                raise RuntimeError("`fused` and `foreach` cannot be `True` together.")
        if differentiable:
            self._refuse_differentiable()

    def _refuse_differentiable(self) -> None:
        name = type(self).__name__
        raise ValueError(
            f"differentiable=True is not supported by {type(self).__module__}.{name}: "
            f"use optbench.reference.{name}, whose step autograd follows"
        )

    def _check_graph_capture(self) -> None:
        if "capturable" not in self.defaults:
            return
        # torch renamed this check, and warns about the old name
        check = getattr(self, "_accelerator_graph_capture_health_check", None)
        if check is None:
            check = self._cuda_graph_capture_health_check
        check()


class _Shield:
    """Hides from torch's loader a tensor, which it would cast, or a text, which it would take apart."""

    def __init__(self, held: Any) -> None:
        self.held = held


def _text(value: Any) -> Any:
    return value.held if isinstance(value, _Shield) and isinstance(value.held, str) else value


def _each(value: Any, leaf: Callable[[Any], Any]) -> Any:
    """The same dictionaries and lists, with what `leaf` makes of everything in them."""
    if isinstance(value, dict):
        return {name: _each(item, leaf) for name, item in value.items()}
    return type(value)(_each(item, leaf) for item in value) if isinstance(value, (list, tuple)) else leaf(value)


def refuse_sets(params: Any) -> None:
    """Refuse a set, whose order, and with it the order of a checkpoint, differs from run to run."""
    if isinstance(params, (set, frozenset)):
        kind = type(params).__name__
        raise TypeError(f"optimizer parameters need an order that every run repeats, a {kind} has none: use a list")


def check(holds: Any, what: str, value: Any) -> None:
    """Refuse a hyperparameter; state what must hold (`x >= 0`), so that NaN is refused as well."""
    if not holds:
        raise ValueError(f"Invalid {what}: {value}")


def check_lr(lr: Any) -> None:
    """Refuse a learning rate that is negative or a tensor of other than one element."""
    check_one_element("lr", lr)
    check(lr >= 0.0, "learning rate", lr)


def check_one_element(name: str, value: Any) -> None:
    """Refuse a tensor of other than one element."""
    if isinstance(value, Tensor) and value.numel() != 1:
        raise ValueError(f"Tensor {name} must be 1-element, got shape {tuple(value.shape)}")


def check_betas(betas: Any) -> None:
    """Refuse decay rates outside [0, 1)."""
    for index in range(2):
        check(0.0 <= betas[index] < 1.0, f"beta parameter at index {index}", betas[index])


def check_fused(param: Tensor, group: dict[str, Any]) -> None:
    """Keep torch's refusal of parameters that fused=True cannot mean."""
    if group["fused"] and not param.is_floating_point():
        raise RuntimeError(f"`fused=True` requires all the params to be floating point Tensors but got {param.dtype}")


def zeros(like: Tensor, *names: str) -> dict[str, Tensor]:
    """States that begin at zero, of the shape, strides and dtype of `like`."""
    return {name: torch.zeros_like(like, memory_format=torch.preserve_format) for name in names}


def as_scalar(value: Any) -> Any:
    """A 1-element tensor as a 0-d view of itself; anything else as it is."""
    return value.squeeze() if isinstance(value, Tensor) and value.dim() else value
