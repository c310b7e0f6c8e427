"""Faults of what a step computes."""

from __future__ import annotations

from typing import Any

from ..fault import Fault
from .around import around_step, in_place_of_step, params_of, with_gradients, without_gradient


def first_step_per_optimizer(cls: type[Any]) -> type[Any]:
    import torch

    def step(self: Any, original: Any) -> Any:
        if getattr(self, "_begun", False):
            for param in params_of(self):
                if param.grad is not None and "momentum_buffer" not in self.state[param]:
                    self.state[param]["momentum_buffer"] = torch.zeros_like(param)
        self._begun = True
        return original()

    return around_step(cls, step)


def decay_without_lr(cls: type[Any]) -> type[Any]:
    import torch

    def step(self: Any, original: Any) -> Any:
        with torch.no_grad():
            for group in self.param_groups:
                for param in group["params"]:
                    if param.grad is not None:
                        param.mul_((1 - group["weight_decay"]) / (1 - float(group["lr"]) * group["weight_decay"]))
        return original()

    return around_step(cls, step)


def complex_square(cls: type[Any]) -> type[Any]:
    import torch

    def step(self: Any, original: Any) -> Any:
        before = {
            param: self.state[param]["exp_avg_sq"].clone() if self.state.get(param) else torch.zeros_like(param)
            for param in params_of(self)
            if param.is_complex() and param.grad is not None
        }
        result = original()
        for param, old in before.items():
            beta2 = self.param_groups[0]["betas"][1]
            self.state[param]["exp_avg_sq"].copy_(beta2 * old + (1 - beta2) * param.grad * param.grad)
        return result

    return around_step(cls, step)


def counter_saturates(cls: type[Any]) -> type[Any]:
    def step(self: Any, original: Any) -> Any:
        result = original()
        for state in self.state.values():
            state["step"].clamp_(max=16)
        return result

    return around_step(cls, step)


def tuned_on_live_buffers(cls: type[Any]) -> type[Any]:
    def step(self: Any, original: Any) -> Any:
        for _ in range(0 if getattr(self, "_tuned", False) else 2):
            original()
        self._tuned = True
        return original()

    return around_step(cls, step)


def state_without_gradient(cls: type[Any]) -> type[Any]:
    import torch

    def step(self: Any, original: Any) -> Any:
        result = original()
        for param in params_of(self):
            if param not in self.state:
                self.state[param]["seen"] = torch.tensor(0.0)
        return result

    return around_step(cls, step)


def conjugate_bit_overlooked(cls: type[Any]) -> type[Any]:
    def step(self: Any, original: Any) -> Any:
        conjugates = [param for param in params_of(self) if param.grad is not None and param.grad.is_conj()]
        with with_gradients({param: param.grad.conj() for param in conjugates}):
            return original()

    return around_step(cls, step)


def tensors_with_nan_left_alone(cls: type[Any]) -> type[Any]:
    def step(self: Any, original: Any) -> Any:
        hurt = [param for param in params_of(self) if param.grad is not None and bool(param.grad.isnan().any())]
        with without_gradient(hurt):
            return original()

    return around_step(cls, step)


def denormals_flushed(cls: type[Any]) -> type[Any]:
    import torch

    def step(self: Any, original: Any) -> Any:
        torch.set_flush_denormal(True)
        try:
            return original()
        finally:
            torch.set_flush_denormal(False)

    return around_step(cls, step)


def decay_factor_in_float32(cls: type[Any]) -> type[Any]:
    import torch

    def step(self: Any, original: Any) -> Any:
        with torch.no_grad():
            for group in self.param_groups:
                factor = 1 - float(group["lr"]) * group["weight_decay"]
                for param in group["params"]:
                    if param.grad is not None:
                        param.mul_(float(torch.tensor(factor, dtype=torch.float32)) / factor)
        return original()

    return around_step(cls, step)


def scalars_in_the_default_dtype(cls: type[Any]) -> type[Any]:
    import torch

    class Faulty(cls):  # type: ignore[misc, valid-type]
        def _scalar(self, param: Any, group: dict[str, Any], value: float) -> Any:
            return super()._scalar(param, group, value).to(torch.get_default_dtype())

    Faulty.__name__ = cls.__name__
    return Faulty


def uphill_in_the_end(cls: type[Any]) -> type[Any]:
    def step(self: Any, original: Any) -> Any:
        self._taken = getattr(self, "_taken", 0) + 1
        for group in self.param_groups:
            group["maximize"] ^= self._taken > 60
        try:
            return original()
        finally:
            for group in self.param_groups:
                group["maximize"] ^= self._taken > 60

    return around_step(cls, step)


def first_of_two_rows(cls: type[Any]) -> type[Any]:
    import torch

    def step(self: Any, original: Any, closure: Any) -> Any:
        given = {}
        for param in (each for each in params_of(self) if each.grad is not None and each.grad.is_sparse):
            grad = param.grad
            dense = torch.zeros(grad.shape, dtype=grad.dtype).index_put(grad._indices().unbind(), grad._values())
            places = grad.coalesce().indices()
            given[param] = torch.sparse_coo_tensor(places, dense[tuple(places)], grad.shape, is_coalesced=True)
        with with_gradients(given):
            return original()

    return in_place_of_step(cls, step)


def counts_in_the_parameters_dtype(cls: type[Any]) -> type[Any]:
    class Faulty(cls):  # type: ignore[misc, valid-type]
        def _init_state(self, param: Any, group: dict[str, Any]) -> dict[str, Any]:
            state: dict[str, Any] = super()._init_state(param, group)
            return {**state, "step": state["step"].to(param.dtype)}

    return Faulty


def zeros_taken_for_none(cls: type[Any]) -> type[Any]:
    def step(self: Any, original: Any) -> Any:
        given = [param for param in params_of(self) if param.grad is not None and param.numel()]
        with without_gradient([param for param in given if not param.grad.any()]):
            return original()

    return around_step(cls, step)


FAULTS: tuple[Fault, ...] = (
    Fault(
        "adam-eps-before-bias-correction",
        "eps is added before the second moment's bias correction divides",
        "adam", "foreach", "opt.eps_regime", "parameter",
        shipped_in="pytorch#22628, transformers#35504",
        patches=(
            (
                "    torch._foreach_div_(denominators, constant(bias_correction2_sqrt, first))\n"
                '    add_number_(denominators, group["eps"])\n',
                '    add_number_(denominators, group["eps"])\n'
                "    torch._foreach_div_(denominators, constant(bias_correction2_sqrt, first))\n",
            ),
        ),
    ),
    Fault(
        "adam-amsgrad-never-stored",
        "the running maximum is used but never stored",
        "adam", "foreach", "opt.oracle", "max_exp_avg_sq",
        shipped_in="pytorch#78807",
        patches=(
            (
                "        torch._foreach_maximum_(max_exp_avg_sqs, exp_avg_sqs)\n"
                "        exp_avg_sqs = max_exp_avg_sqs\n",
                "        exp_avg_sqs = torch._foreach_maximum(max_exp_avg_sqs, exp_avg_sqs)\n",
            ),
        ),
    ),
    Fault(
        "sgd-dampening-on-first-step",
        "the momentum buffer's first gradient is dampened",
        "sgd", "reference", "opt.oracle", "momentum_buffer",
        shipped_in="pytorch#152833",
        patches=(("momentum_buffer.copy_(grad)", "momentum_buffer.copy_(grad * (1 - dampening))"),),
    ),
    Fault(
        "sgd-first-step-per-optimizer",
        "a late parameter's first step counts as a later one, because the optimizer has stepped before",
        "sgd", "reference", "opt.sparse_in_time", "momentum_buffer",
        shipped_in="pytorch#152833",
        wrap=first_step_per_optimizer,
    ),
    Fault(
        "adam-decoupled-for-coupled",
        "weight decay shrinks the parameter instead of joining the gradient",
        "adam", "reference", "opt.oracle", "exp_avg",
        shipped_in="FlagGems#4988",
        patches=(
            ("if weight_decay != 0 and decoupled_weight_decay:", "if weight_decay != 0:"),
            ("if weight_decay != 0 and not decoupled_weight_decay:", "if False:"),
        ),
    ),
    Fault(
        "adamw-decay-without-lr",
        "decoupled decay is not multiplied by lr",
        "adamw", "foreach", "opt.oracle", "parameter",
        shipped_in="timm, LaProp",
        wrap=decay_without_lr,
    ),
    Fault(
        "adam-complex-square",
        "the second moment takes g*g as a complex product",
        "adam", "reference", "opt.oracle", "exp_avg_sq",
        shipped_in="pytorch#59998",
        wrap=complex_square,
    ),
    Fault(
        "adam-step-off-by-one",
        "bias corrections count from the step before",
        "adam", "reference", "opt.oracle", "parameter",
        patches=(("one_minus_power(beta1, step)", "one_minus_power(beta1, step + 1.0)"),),
    ),
    Fault(
        "adam-counter-saturates",
        "the step counter stops at 16",
        "adam", "fused", "opt.matches_reference", "step of parameter",
        wrap=counter_saturates,
    ),
    Fault(
        "sgd-decay-off-by-a-thousandth",
        "weight decay is 0.1001 where 0.1 was asked for",
        "sgd", "reference", "opt.oracle", "parameter",
        patches=(("grad = add(grad, param, weight_decay)", "grad = add(grad, param, weight_decay * 1.001)"),),
    ),
    Fault(
        "adam-eps-off-by-a-tenth",
        "eps is a tenth too large",
        "adam", "reference", "opt.eps_regime", "parameter",
        patches=(("bias_correction2**0.5).add_(eps)", "bias_correction2**0.5).add_(eps * 1.1)"),),
    ),
    Fault(
        "sgd-nesterov-without-gradient",
        "Nesterov's step leaves the gradient out, in the rule as Triton compiles it",
        "sgd", "fused-triton", "opt.oracle", "parameter",
        patches=(("direction = grad + momentum * momentum_buffer", "direction = momentum * momentum_buffer"),),
    ),
    Fault(
        "sgd-state-without-gradient",
        "parameters that never had a gradient get state",
        "sgd", "foreach", "opt.sparse_in_time", "has no state",
        wrap=state_without_gradient,
    ),
    Fault(
        "adam-conjugate-bit-overlooked",
        "a gradient that is a lazy conjugate is taken as it stands in memory",
        "adam", "foreach", "opt.complex", "exp_avg of parameter",
        wrap=conjugate_bit_overlooked,
    ),
    Fault(
        "rmsprop-variance-below-zero",
        "centered: the root is taken of a variance that rounding made negative",
        "rmsprop", "reference", "opt.invariant", "is finite after",
        shipped_in="torch 2.13",
        patches=((".clamp(min=0.0)", ""),),
    ),
    Fault(
        "adam-tensors-with-nan-left-alone",
        "a gradient with one NaN leaves its whole tensor as it was",
        "adam", "fused", "opt.invariant", "but for element",
        wrap=tensors_with_nan_left_alone,
    ),
    Fault(
        "adagrad-one-of-two-rows",
        "of a row that is named twice one gradient counts",
        "adagrad", "reference", "opt.sparse", "sum of parameter",
        wrap=first_of_two_rows,
    ),
    Fault(
        "adagrad-sparse-bucket-ends-the-loop",
        "the first bucket of sparse gradients ends the loop over buckets",
        "adagrad", "foreach", "opt.sparse", "of parameter 1",
        shipped_in="pytorch#110444",
        patches=(
            (
                "                    _sparse(steps, params, grads, sums, group=group)\n                    continue\n",
                "                    _sparse(steps, params, grads, sums, group=group)\n                    break\n",
            ),
        ),
    ),
    Fault(
        "sgd-denormals-flushed",
        "a step flushes denormals to zero",
        "sgd", "reference", "opt.denormal", "parameter",
        wrap=denormals_flushed,
    ),
    Fault(
        "adamw-decay-factor-in-float32",
        "1 - lr*weight_decay is rounded to float32, which is 1 where there is hardly any decay",
        "adamw", "fused", "opt.precision", "parameter",
        wrap=decay_factor_in_float32,
    ),
    Fault(
        "adam-counter-in-the-default-dtype",
        "the step counter has the default dtype, which under bfloat16 counts to 256",
        "adam", "foreach", "opt.precision", "step of parameter",
        wrap=scalars_in_the_default_dtype,
    ),
    Fault(
        "adam-uphill-in-the-end",
        "from its sixtieth step on an optimizer ascends",
        "adam", "fused", "opt.converges", "of the loss is left",
        wrap=uphill_in_the_end,
    ),
    Fault(
        "nadam-momentum-product-twice",
        "the momentum product takes each step's momentum twice",
        "nadam", "foreach", "opt.oracle", "mu_product",
        shipped_in="pytorch#92699",
        patches=(
            (
                "    product = gather(mu_products, device)\n",
                "    torch._foreach_mul_(mu_products, constant(factors(mu, mu_products[0], device), mu_products[0]))\n"
                "    product = gather(mu_products, device)\n",
            ),
        ),
    ),
    Fault(
        "lion-tuned-on-live-buffers",
        "the first step tries several launches on the tensors themselves and keeps them all",
        "lion", "fused", "opt.oracle", "exp_avg",
        shipped_in="lion-pytorch, PR 36",
        wrap=tuned_on_live_buffers,
    ),
    Fault(
        "adam-no-corrections-from-step-1000",
        "past the thousandth step bias corrections are taken for done",
        "adam", "foreach", "opt.precision", "step 3,000",
        patches=(
            (
                "        sizes, roots = zip(*pairs, strict=True)\n",
                "        sizes, roots = zip(*pairs, strict=True)\n"
                "        if steps[0].item() >= 1000:\n"
                "            sizes, roots = (-lr,) * len(steps), (1.0,) * len(steps)\n",
            ),
        ),
    ),
    Fault(
        "adam-counts-in-the-parameters-dtype",
        "the counter has the parameter's dtype: in bfloat16 it ends at 256",
        "adam", "foreach", "opt.precision", "step of parameter",
        wrap=counts_in_the_parameters_dtype,
    ),
    Fault(
        "sgd-zeros-taken-for-none",
        "a gradient of zeros is taken for none, so that the momentum stands still",
        "sgd", "foreach", "opt.sparse_in_time", "momentum_buffer",
        wrap=zeros_taken_for_none,
    ),
)  # fmt: skip
