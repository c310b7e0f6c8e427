"""Runs the fused optimizers' Triton path on CPU tensors, in Triton's interpreter, and prints what it found as JSON.

Run as a program by test_triton_interpreter.py, in a process of its own: the interpreter is chosen before Triton is
imported.
"""

from __future__ import annotations

import os

os.environ |= {"TRITON_INTERPRET": "1", "OPTBENCH_FUSED_BACKEND": "triton"}

import itertools
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from optbench.impls import fused
from optbench.impls.fused import adam, numba_backend, sgd, triton_backend
from optbench.impls.fused.bucket import Bucket
from optbench.impls.fused.lang import Rule, absolute, div, maximum, minimum, sign, sqrt
from optbench.impls.fused.lang import rule as as_rule
from optbench.impls.fused.optimizer import FusedOptimizer
from torch import Tensor

BLOCK = triton_backend.INTERPRETED_BLOCK
BOUNDARIES = (1, BLOCK - 1, BLOCK, BLOCK + 1)
WITH_EMPTY = (0, 3, 0, 2 * BLOCK + 5, 0)
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "float64": torch.float64}
CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "adam": ("Adam", {}),
    "adam-amsgrad-maximize-decay": ("Adam", {"amsgrad": True, "maximize": True, "weight_decay": 0.1}),
    "adamw-amsgrad": ("AdamW", {"amsgrad": True, "weight_decay": 0.1}),
    "sgd": ("SGD", {}),
    "sgd-momentum-dampening": ("SGD", {"momentum": 0.9, "dampening": 0.5, "maximize": True}),
    "sgd-nesterov-decay": ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
}
# One of each other rule: what Triton prepares, against torch; and all settings of the flags against Numba's bits.
MORE_CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "adadelta": ("Adadelta", {"lr": 0.5, "weight_decay": 0.1}),
    "adagrad": ("Adagrad", {"lr_decay": 0.1, "maximize": True}),
    "adamax": ("Adamax", {"weight_decay": 0.1}),
    "asgd": ("ASGD", {"lambd": 0.1, "t0": 0, "weight_decay": 0.1}),
    "nadam": ("NAdam", {"momentum_decay": 0.1, "weight_decay": 0.1}),
    "radam": ("RAdam", {"betas": (0.9, 0.95), "weight_decay": 0.1, "decoupled_weight_decay": True}),
    "rmsprop": ("RMSprop", {"momentum": 0.9, "centered": True, "weight_decay": 0.1}),
    "rprop": ("Rprop", {"maximize": True}),
}
RULES = [cls.rule for cls in map(vars(fused).get, fused.__all__) if issubclass(cls, FusedOptimizer)]
# AdamW's rule is Adam's.
RULES = list(dict.fromkeys(RULES))
NUMBERS = ("mu_product", "eta", "mu")


def spacing(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Distance of neighbouring numbers of the dtype."""
    information = torch.finfo(dtype)
    return information.eps * torch.exp2(torch.floor(torch.log2(values.double().abs().clamp(min=information.tiny))))


def snapshot(optimizer: torch.optim.Optimizer) -> list[dict[str, Tensor]]:
    """Parameter, gradient and state of each parameter, in float64."""
    params = [param for group in optimizer.param_groups for param in group["params"]]
    return [
        {"param": param.detach().double().clone(), "grad": param.grad.double().clone()}
        | {name: value.double().clone() for name, value in optimizer.state[param].items() if value is not None}
        for param in params
    ]


def oracle(name: str, options: dict[str, Any], before: list[dict[str, Tensor]]) -> list[dict[str, Tensor]]:
    """One step of torch's for-loop in float64."""
    params = [torch.nn.Parameter(tensors["param"].clone()) for tensors in before]
    optimizer = getattr(torch.optim, name)(params, **options, foreach=False)
    for param, tensors in zip(params, before, strict=True):
        param.grad = tensors["grad"].clone()
        state = {name: value.clone() for name, value in tensors.items() if name not in ("param", "grad")}
        if state:
            optimizer.state[param].update(state)
    optimizer.step()
    return snapshot(optimizer)


def moved(before: list[dict[str, Tensor]], dtype: torch.dtype, seed: int) -> list[dict[str, Tensor]]:
    """The inputs, each changed by up to half a spacing."""
    generator = torch.Generator().manual_seed(seed)

    def change(name: str, value: Tensor) -> Tensor:
        if name == "step" or name in NUMBERS:
            return value
        noise = torch.rand(value.shape, generator=generator, dtype=torch.float64) - 0.5
        result = value + noise * spacing(value, dtype)
        return result.clamp(min=0.0) if name.endswith("_sq") else result

    return [{name: change(name, value) for name, value in tensors.items()} for tensors in before]


def scaled_error(name: str, options: dict[str, Any], optimizer: Any, dtype: torch.dtype) -> float:
    """Take a step and return the largest error, in units of what the rounding of inputs and results may do."""
    before = snapshot(optimizer)
    expected = oracle(name, options, before)
    others = [oracle(name, options, moved(before, dtype, seed)) for seed in range(8)]
    optimizer.step()
    worst = 0.0
    for index, (actual, wanted) in enumerate(zip(snapshot(optimizer), expected, strict=True)):
        assert set(actual) == set(wanted), (set(actual), set(wanted))
        for key in actual:
            if key == "step":
                assert actual[key] == wanted[key]
                continue
            if key in NUMBERS:
                # stored in float32
                torch.testing.assert_close(actual[key], wanted[key], rtol=2e-7, atol=0.0)
                continue
            if not actual[key].numel():
                continue
            unit = spacing(wanted[key], dtype)
            if key == "param":
                unit = unit + spacing(before[index]["param"], dtype)
            if dtype == torch.float64:
                # The oracle rounds, too: its 1 - beta2**t has lost up to 250 eps.
                unit = 1e-13 * (wanted[key].abs() + before[index]["param"].abs() + options["lr"])
            unit = unit + torch.stack([(other[index][key] - wanted[key]).abs() for other in others]).amax(0)
            worst = max(worst, ((actual[key] - wanted[key]).abs() / unit).max().item())
    return worst


def run(config: str, dtype: torch.dtype, sizes: tuple[int, ...], shift: int = 0, late: bool = False) -> dict[str, Any]:
    """Two steps, each judged alone.

    Args:
        shift: elements by which every tensor is moved from where memory was allocated.
        late: whether the first parameter gets its first gradient in the second step.
    """
    name, options = (CONFIGS | MORE_CONFIGS)[config]
    options = {"lr": 0.01, **({"eps": 1e-4} if name != "SGD" and dtype == torch.float16 else {}), **options}
    generator = torch.Generator().manual_seed(7)

    def random(size: int) -> Tensor:
        return torch.randn(size + shift, generator=generator).to(dtype)[shift:]

    params = [torch.nn.Parameter(random(size)) for size in sizes]
    optimizer = getattr(fused, name)(params, **options)
    errors = []
    if late:
        params[-1].grad = random(sizes[-1])
        optimizer.step()
    for _ in range(2):
        for param, size in zip(params, sizes, strict=True):
            param.grad = random(size)
        errors.append(scaled_error(name, options, optimizer, dtype))
    return {"errors": errors, "backend": optimizer.backend}


def with_device_prepare(function: Callable[[], Any]) -> Any:
    """Call a function while scalars are prepared by Triton although steps and rate are on the host's side."""
    original = triton_backend.prepares_on_device
    triton_backend.prepares_on_device = lambda bucket: True
    try:
        return function()
    finally:
        triton_backend.prepares_on_device = original


class Tensors:
    """A bucket of any rule over tensors that are kept here."""

    def __init__(
        self, rule: Any, flags: tuple[int, ...], sizes: tuple[int, ...], dtype: torch.dtype, **more: Any
    ) -> None:
        generator = torch.Generator().manual_seed(3)
        present = (True, True, *rule.present(flags))
        self.arrays = [
            [torch.rand(size, generator=generator).to(dtype) if used else None for size in sizes] for used in present
        ]
        if "grad_avg" in rule.state:
            # no mean is larger than the root of the mean of squares
            for square_avg in self.arrays[2 + rule.state.index("square_avg")]:
                square_avg.add_(1.0)
        step_dtype = more.pop("step_dtype", torch.float32)
        stored_dtype = more.setdefault("stored_dtype", torch.float32)
        self.steps = [torch.tensor(4.0 + index, dtype=step_dtype) for index in range(len(sizes))]
        hyper = {"lr": 0.01, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.1}
        hyper |= {"momentum": 0.9, "dampening": 0.5, "alpha": 0.75, "lr_decay": 0.1, "rho": 0.9, "momentum_decay": 0.01}
        hyper |= {"base": 0.96, "lambd": 0.1, "t0": 2.0}
        hyper |= {"eta_minus": 0.5, "eta_plus": 1.25, "smallest": 1e-6, "largest": 50.0}
        # ASGD's mu is 1 until averages are taken
        self.numbers = [
            [torch.tensor(1.0 if index % 2 else 0.625, dtype=stored_dtype) for index in range(len(sizes))]
            for _ in rule.tensor_state
        ]
        stored = rule.stores_step
        self.bucket = Bucket(
            rule=rule,
            flags=flags,
            dtype=dtype,
            device=torch.device("cpu"),
            arrays=np.array([[0 if x is None else x.data_ptr() for x in row] for row in self.arrays]),
            numel=np.array(sizes),
            steps=np.array([step.data_ptr() if stored else 0 for step in self.steps]),
            step_dtype=step_dtype,
            step_numbers=np.array([1.0 + index % 2 for index in range(len(sizes))]),
            hyper=np.tile([hyper[name] for name in rule.hyper], (len(sizes), 1)),
            tensor_state=np.array([[x.data_ptr() for x in row] for row in self.numbers], dtype=np.int64),
            **{"steps_on_device": stored, **more},
        )

    def bits(self) -> list[bytes]:
        tensors = [x for row in self.arrays for x in row if x is not None] + self.steps
        tensors += itertools.chain.from_iterable(self.numbers)
        return [x.reshape(-1).view(torch.uint8).numpy().tobytes() for x in tensors]


def prepared() -> dict[str, float]:
    """Largest relative difference between what Triton and the host prepare."""
    found = {}
    for rule, dtype in itertools.product(RULES, (torch.float32, torch.float64)):
        for value in (0, 1):
            flags, kinds = (value,) * len(rule.flags), {"step_dtype": dtype, "stored_dtype": dtype}
            ours, theirs = (Tensors(rule, flags, (5,) * 200, torch.float64, **kinds) for _ in range(2))
            if "lr" in rule.hyper:
                ours.bucket.lr_tensor = torch.tensor(0.01, dtype=torch.float64)
                ours.bucket.hyper[:, rule.hyper.index("lr")] = np.nan
            table = with_device_prepare(lambda bucket=ours.bucket: triton_backend.prepare(bucket)).numpy()
            expected = numba_backend.prepare(theirs.bucket)
            for tensors, numbers in zip(ours.numbers, theirs.numbers, strict=True):
                table, expected = np.column_stack([table, tensors]), np.column_stack([expected, numbers])
            difference = np.abs(table - expected) / np.maximum(np.abs(expected), 1e-300)
            found[f"{rule.name} {flags} {dtype}"] = float(np.where(table == expected, 0.0, difference).max())
            assert ours.steps == theirs.steps
    return found


def stored() -> dict[str, bool]:
    """Whether both backends round 0-d state of every dtype alike."""
    found = {}
    for rule, dtype in itertools.product([rule for rule in RULES if rule.tensor_state], DTYPES.values()):
        flags, kinds = (0,) * len(rule.flags), {"stored_dtype": dtype}
        ours, theirs = (Tensors(rule, flags, (5,) * 9, torch.float32, **kinds) for _ in range(2))
        with_device_prepare(lambda bucket=ours.bucket: triton_backend.prepare(bucket))
        before = theirs.bits()
        numba_backend.prepare(theirs.bucket)
        one, other = (torch.tensor(tensors.numbers, dtype=torch.float64) for tensors in (ours, theirs))
        # Triton's powers are off by a few roundings of float64.
        same = torch.allclose(one, other, rtol=1e-14 if dtype == torch.float64 else 0.0, atol=0.0)
        found[f"{rule.name} {dtype}"] = same and before != theirs.bits()
    return found


def skipped() -> dict[str, list[bool]]:
    """Whether anything changed under found_inf 1, and under found_inf 0."""
    found = {}
    for rule, dtype in itertools.product(RULES, DTYPES.values()):
        if dtype != torch.float32 and rule not in (adam.RULE, sgd.RULE):
            continue
        tensors = Tensors(rule, (1,) * len(rule.flags), (3, BLOCK, BLOCK + 1), dtype)
        changes = []
        for flag in (1.0, 0.0):
            before, found_inf = tensors.bits(), torch.tensor(flag)
            prepare = lambda tensors=tensors, flag=found_inf: triton_backend.prepare(tensors.bucket, flag)  # noqa: E731
            triton_backend.update(tensors.bucket, with_device_prepare(prepare), None, found_inf)
            changes.append(tensors.bits() != before)
        found[f"{rule.name} {dtype}"] = changes
    return found


def unscaled() -> dict[str, bool]:
    """Whether gradients times 1024 with that scale give the same bits, and stay as they are."""
    found = {}
    for rule, dtype in itertools.product(RULES, DTYPES.values()):
        if dtype != torch.float32 and rule not in (adam.RULE, sgd.RULE):
            continue
        flags = (1, 0, 0, 1)[: len(rule.flags)]
        plain, scaled = (Tensors(rule, flags, (3, BLOCK + 1), dtype) for _ in range(2))
        for grad in scaled.arrays[1]:
            grad.mul_(1024.0)
        grads = [grad.clone() for grad in scaled.arrays[1]]
        for tensors, scale in ((plain, None), (scaled, torch.tensor(1024.0))):
            triton_backend.update(tensors.bucket, triton_backend.prepare(tensors.bucket), scale)
        same = all(map(torch.equal, scaled.arrays[1], grads))
        plain.arrays[1] = scaled.arrays[1] = [None]
        found[f"{rule.name} {dtype}"] = same and plain.bits() == scaled.bits()
    return found


def against_numba() -> dict[str, bool]:
    """For every setting of Adam's flags, and for each flag of the others, whether both backends give the same bits."""
    found = {}
    for rule in RULES:
        for flags in itertools.product((0, 1), repeat=len(rule.flags)):
            if rule is not adam.RULE and sum(flags) not in (0, 1, len(flags)):
                continue
            for dtype in DTYPES.values() if all(flags) else [torch.float32]:
                ours, theirs = (Tensors(rule, flags, (3, 70), dtype, steps_on_device=False) for _ in range(2))
                triton_backend.update(ours.bucket, triton_backend.prepare(ours.bucket))
                numba_backend.update(theirs.bucket, numba_backend.prepare(theirs.bucket))
                found[f"{rule.name} {flags} {dtype}"] = ours.bits() == theirs.bits()
    return found


@as_rule
def prepare(step):
    return step


@as_rule
def update(param, grad, larger, smaller, magnitude, direction, quotient, root, step):
    larger = maximum(param, grad)
    smaller = minimum(param, grad)
    magnitude = absolute(param)
    direction = sign(param)
    quotient = div(param, grad)
    root = sqrt(param)
    return param, larger, smaller, magnitude, direction, quotient, root


OPERATIONS = Rule(
    "operations", prepare, update, state=("larger", "smaller", "magnitude", "direction", "quotient", "root"), hyper=(),
    scalars=("step",), flags=(), stores_step=False,
)  # fmt: skip


def operations() -> dict[str, bool]:
    """Whether what rules may call gives on every backend what it gives on numbers, whatever the numbers."""
    values = [0.0, -0.0, 1.5, -3.0, float("inf"), -float("inf"), float("nan")]
    pairs = list(itertools.product(values, values))
    expected = torch.tensor([update(first, second, *[0.0] * 6, 1.0) for first, second in pairs])
    found = {}
    for backend in (triton_backend, numba_backend):
        tensors = Tensors(OPERATIONS, (), (len(pairs),), torch.float32)
        for row, column in ((0, 0), (1, 1)):
            tensors.arrays[row][0].copy_(torch.tensor(pairs)[:, column])
        backend.update(tensors.bucket, backend.prepare(tensors.bucket))
        for row, name in enumerate(OPERATIONS.state, start=1):
            actual = tensors.arrays[row + 1][0]
            same = torch.allclose(actual, expected[:, row], rtol=1e-6, atol=0.0, equal_nan=True)
            found[f"{name} {backend.NAME}"] = same
    return found


def copies() -> dict[str, int]:
    """How many times tables are copied to the device in five steps."""

    def count(moving: bool, schedule: bool) -> int:
        params = [torch.nn.Parameter(torch.ones(size)) for size in (2, 3)]
        optimizer = fused.Adam(params, lr=0.1)
        made = 0
        original = triton_backend.Uploader.__call__

        def counting(self: Any, arrays: Any) -> Any:
            nonlocal made
            made += 1
            return original(self, arrays)

        triton_backend.Uploader.__call__ = counting
        try:
            kept = []
            for step in range(5):
                for param in params:
                    if moving or param.grad is None:
                        kept.append(param.grad)
                        param.grad = torch.ones_like(param)
                if schedule:
                    optimizer.param_groups[0]["lr"] = 0.1 / (1 + step)
                optimizer.step()
        finally:
            triton_backend.Uploader.__call__ = original
        return made

    return {"standing": count(False, False), "schedule": count(False, True), "moving": count(True, False)}


def main() -> None:
    torch.set_num_threads(1)
    for config, (dtype_name, dtype) in itertools.product(CONFIGS, DTYPES.items()):
        if dtype != torch.float32 and config not in ("adam-amsgrad-maximize-decay", "sgd-nesterov-decay"):
            continue
        report({"case": f"{config} {dtype_name} boundaries", **run(config, dtype, BOUNDARIES)})
        found = with_device_prepare(lambda config=config, dtype=dtype: run(config, dtype, WITH_EMPTY))
        report({"case": f"{config} {dtype_name} empty, prepared by Triton", **found})
    for config in ("adam", "sgd-nesterov-decay"):
        report({"case": f"{config} unaligned", **run(config, torch.float32, (5, BLOCK + 1), shift=1)})
        report({"case": f"{config} late", **run(config, torch.float32, (5, 9), late=True)})
    for config in MORE_CONFIGS:
        found = with_device_prepare(lambda config=config: run(config, torch.float32, (0, 3, BLOCK + 5)))
        report({"case": f"{config} prepared by Triton", **found})
    for check in (operations, prepared, stored, skipped, unscaled, against_numba, copies):
        report({"case": check.__name__, "found": check()})


def report(found: dict[str, Any]) -> None:
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
