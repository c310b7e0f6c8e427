"""`optbench.adapt`: an optimizer made of a bare update function, so that a kernel can be judged. Imports no torch."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from optbench.errors import UsageError

if TYPE_CHECKING:
    import torch

Update = Callable[..., Any]
_EMPTY = inspect.Parameter.empty


def adapt(
    update_fn: Update,
    state: Sequence[str] | Mapping[str, float] = (),
    options: Mapping[str, Any] | None = None,
    name: str = "",
) -> type[torch.optim.Optimizer]:
    """A class of optimizers whose step is one call of a function for each parameter, to be judged as any other class.

    The function is called as `update_fn(param, grad, *state, step=step, **options)`, under `torch.no_grad()`, once a
    step for each parameter that has a gradient. It writes into `param` and the state in place and returns None;

    - `param` and `grad` are the tensors themselves, of one shape but of any strides, dtype and device; `grad` is the
      caller's, and not to be written to;
    - the state tensors are shaped and typed as the parameter, and hold their initial values at its first step;
    - `step` counts the parameter's own steps, from 1; a function without an argument of that name is not told;
    - every other argument is an option: one of the class's constructor, and of its parameter groups. `beta1` and
      `beta2`, where both are arguments, are one option, `betas`, as in torch.

    Args:
        update_fn: the function; at the top level of a module, if its optimizers are to be pickled.
        state: names of the state tensors, in the order of the arguments, which begin as zeros; or with what they begin.
        options: defaults of arguments that have none, or others.
        name: of the class; empty: the function's.

    Raises:
        UsageError: an argument has no default, an option is no argument, or there are fewer arguments than tensors.

    Example:
        >>> import torch
        >>> def heavy_ball(param, grad, velocity, *, lr=0.1, momentum=0.9):
        ...     velocity.mul_(momentum).add_(grad)
        ...     param.sub_(velocity, alpha=lr)
        >>> HeavyBall = adapt(heavy_ball, state=("velocity",))
        >>> weight = torch.nn.Parameter(torch.ones(2))
        >>> optimizer = HeavyBall([weight], lr=0.5)
        >>> weight.sum().backward()
        >>> optimizer.step()
        >>> weight.tolist(), optimizer.state[weight]["velocity"].tolist()
        ([0.5, 0.5], [1.0, 1.0])

        and `optbench.check(None, HeavyBall)` asks it every law that needs no formula.
    """
    import torch

    begins = dict(state) if isinstance(state, Mapping) else dict.fromkeys(state, 0.0)
    arguments = _arguments(update_fn, len(begins))
    counted = "step" in arguments
    defaults = _defaults(update_fn, {name: value for name, value in arguments.items() if name != "step"}, options or {})
    recipe = (update_fn, begins, dict(options or {}), name)

    class Adapted(torch.optim.Optimizer):
        def __init__(self, params: Any, **given: Any) -> None:
            unknown = sorted(set(given) - set(defaults))
            if unknown:
                raise TypeError(f"{type(self).__name__} has no option {unknown[0]!r}, but {', '.join(defaults)}")
            rate = given.get("lr")
            if isinstance(rate, torch.Tensor) and rate.numel() != 1:
                raise ValueError("Tensor lr must be 1-element")
            super().__init__(params, {**defaults, **given})

        @torch.no_grad()
        def step(self, closure: Any = None) -> Any:
            loss = None
            if closure is not None:
                with torch.enable_grad():
                    loss = closure()
            # Before anything is written.
            if any(p.grad is not None and p.grad.is_sparse for group in self.param_groups for p in group["params"]):
                raise RuntimeError(f"{type(self).__name__} does not support sparse gradients")
            for group in self.param_groups:
                chosen = _as_arguments({option: group[option] for option in defaults}, arguments)
                for param in group["params"]:
                    if param.grad is not None:
                        self._update(param, param.grad, chosen)
            return loss

        def _update(self, param: torch.Tensor, grad: torch.Tensor, chosen: dict[str, Any]) -> None:
            kept = self.state[param]
            for entry, value in begins.items():
                if entry not in kept:
                    kept[entry] = torch.full_like(param, value)
            if counted:
                chosen = {**chosen, "step": int(kept.get("step", 0)) + 1}
                kept["step"] = chosen["step"]
            made = update_fn(param, grad, *(kept[entry] for entry in begins), **chosen)
            if made is not None:
                raise TypeError(f"{_name(update_fn)} returned a {type(made).__name__}: it has to write in place")

        def __reduce_ex__(self, protocol: Any) -> Any:
            if type(self) is not Adapted:
                return super().__reduce_ex__(protocol)
            # The class is made again by the same recipe, wherever this is unpickled.
            return _restore, recipe, self.__getstate__()

    Adapted.__name__ = Adapted.__qualname__ = name or _name(update_fn)
    Adapted.__module__ = getattr(update_fn, "__module__", __name__)
    Adapted.__doc__ = update_fn.__doc__
    first = inspect.Parameter("params", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    rest = {option: inspect.Parameter(option, first.KEYWORD_ONLY, default=value) for option, value in defaults.items()}
    Adapted.__signature__ = inspect.Signature([first, *rest.values()])  # type: ignore[attr-defined]
    return Adapted


def _restore(update_fn: Update, state: Mapping[str, float], options: Mapping[str, Any], name: str) -> Any:
    cls = adapt(update_fn, state, options, name)
    return cls.__new__(cls)


def _name(update_fn: Update) -> str:
    return getattr(update_fn, "__name__", type(update_fn).__name__)


def _arguments(update_fn: Update, tensors: int) -> dict[str, Any]:
    """The function's arguments after param, grad and the state, with their defaults."""
    try:
        parameters = list(inspect.signature(update_fn).parameters.values())
    except (TypeError, ValueError) as error:
        raise UsageError(f"adapt({_name(update_fn)}): its arguments cannot be read: wrap it in a function.") from error
    given = [parameter for parameter in parameters if parameter.kind is not parameter.VAR_KEYWORD]
    positional = [parameter for parameter in given if parameter.kind is not parameter.KEYWORD_ONLY]
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in given):
        return {each.name: each.default for each in given if each.kind is each.KEYWORD_ONLY}
    if len(positional) < 2 + tensors:
        names = ", ".join(parameter.name for parameter in positional) or "none"
        raise UsageError(
            f"adapt({_name(update_fn)}): it is given param, grad and {tensors} state tensors, and takes {names}."
        )
    return {parameter.name: parameter.default for parameter in given[2 + tensors :]}


def _defaults(update_fn: Update, arguments: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with their defaults."""
    found = _as_options(dict(arguments))
    for option, value in options.items():
        if option not in found:
            names = ", ".join(found) or "none"
            raise UsageError(f"adapt({_name(update_fn)}): {option!r} is none of its options, which are {names}.")
        found[option] = value
    for option, value in found.items():
        if value is _EMPTY or (isinstance(value, tuple) and _EMPTY in value):
            way = f"options={{{option!r}: …}}"
            raise UsageError(f"adapt({_name(update_fn)}): {option!r} has no default: give one by {way}.")
    return found


def _as_options(arguments: dict[str, Any]) -> dict[str, Any]:
    """Arguments as options, `beta1` and `beta2` as `betas`."""
    if not {"beta1", "beta2"} <= arguments.keys() or "betas" in arguments:
        return arguments
    betas = (arguments["beta1"], arguments["beta2"])
    return {
        "betas" if name == "beta1" else name: betas if name == "beta1" else value
        for name, value in arguments.items()
        if name != "beta2"
    }


def _as_arguments(options: dict[str, Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Options as the function takes them."""
    if "betas" in options and "betas" not in arguments:
        options["beta1"], options["beta2"] = options.pop("betas")
    return options
