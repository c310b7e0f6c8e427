"""Runs schedules and averages in Triton's interpreter and by Numba, and compares them, as JSON.

Run as a program by test_device.py, in a process of its own: the interpreter is chosen before Triton is imported.
Tensors on the CPU then stand for those on a GPU, and launches without the host for the replays of a graph.
"""

from __future__ import annotations

import os

os.environ["TRITON_INTERPRET"] = "1"

import copy
import functools
import itertools
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from optbench.impls.fused import lr_scheduler, swa_utils
from optbench.impls.fused.lr_scheduler import device

sys.path.insert(0, str(Path(__file__).parent))
from support import CONFIGS, half, momenta, optimizer, ours, rates

DTYPES = {"float32": torch.float32, "float64": torch.float64}
EPOCHS = 9
# a rule of the epoch alone, of a table, of a table for each group, of a function of the user's, and with momentum
REPLAYED = ("steplr", "multisteplr", "multiplicativelr-each", "lambdalr", "cycliclr", "onecyclelr", "swalr")


def on(backend: str) -> None:
    os.environ["OPTBENCH_FUSED_BACKEND"] = backend


def make(config: str, dtype: torch.dtype | None, backend: str) -> Any:
    """A scheduler whose rates and betas are tensors, or floats."""
    on(backend)
    name, options = CONFIGS[config]
    tensor = float if dtype is None else functools.partial(torch.tensor, dtype=dtype)
    return ours(name)(optimizer("Adam", tensor, tensor), **options)


def step(scheduler: Any) -> None:
    # Its step cannot be taken where betas are tensors on a CPU, and is not what is looked at.
    scheduler.optimizer._opt_called = True
    scheduler.step()


def worst(found: list[float], expected: list[float]) -> float:
    return max(abs(a - b) / abs(b) if b else abs(a) for a, b in zip(found, expected, strict=True))


def difference(config: str, dtype: torch.dtype) -> dict[str, float]:
    """The largest relative difference of rates and momenta from those of floats, one of which is changed midway."""
    largest = {"rates": 0.0, "momenta": 0.0}
    runs = make(config, dtype, "triton"), make(config, None, "numba")
    for epoch in range(EPOCHS):
        for scheduler, backend in zip(runs, ("triton", "numba"), strict=True):
            on(backend)
            if epoch == 5:
                scheduler.optimizer.param_groups[1]["lr"] *= 1.5
            step(scheduler)
        assert runs[0]._device is not None and runs[1]._device is None
        largest["rates"] = max(largest["rates"], worst(rates(runs[0]), rates(runs[1])))
        largest["momenta"] = max(largest["momenta"], worst(momenta(runs[0]), momenta(runs[1])))
    return largest


def replay(config: str) -> bool:
    """Whether launches without the host go on alike, and are taken note of."""
    replayed, stepped = make(config, torch.float64, "triton"), make(config, torch.float64, "triton")
    tensors = [group["lr"] for group in replayed.optimizer.param_groups]
    for _ in range(2):
        step(replayed)
    replayed._replayed = True
    for _ in range(4):
        replayed._device.run()
    for _ in range(6):
        step(stepped)
    same = [replayed.last_epoch == 6, replayed._step_count == 7, rates(replayed) == rates(stepped)]
    same.append([float(rate) for rate in replayed.get_last_lr()] == rates(stepped))
    same.append(replayed.state_dict()["last_epoch"] == 6)
    twin = copy.deepcopy(replayed)
    for scheduler in (replayed, stepped, twin):
        step(scheduler)
    same += [rates(replayed) == rates(stepped), worst(rates(twin), rates(stepped)) < 1e-14]
    same.append(all(a["lr"] is b for a, b in zip(replayed.optimizer.param_groups, tensors, strict=True)))
    return all(same)


def tables() -> dict[str, bool]:
    """What happens where a table ends."""
    device._TABLE = device._EPOCHS = 4
    found = {}
    for config in ("lambdalr", "lambdalr-each", "multisteplr", "cosineannealingwarmrestarts", "cycliclr-own"):
        found[f"{config} goes on"] = difference(config, torch.float64)["rates"] < 1e-14
    on("triton")
    scheduler = make("lambdalr", torch.float64, "triton")
    step(scheduler)
    scheduler._replayed = True
    for _ in range(4):
        scheduler._device.run()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        scheduler.get_last_lr()
        scheduler.get_last_lr()
    found["warns of what was not known"] = [str(warning.message)[:36] for warning in caught] == [
        "LambdaLR was tabulated up to epoch 4"
    ]

    scheduler = make("lambdalr-each", torch.float64, "triton")
    step(scheduler)
    scheduler._replayed = True
    rows = scheduler._device.rows.data_ptr()
    for epoch in range(2, 30):
        scheduler._device.run()
        if epoch % 2:
            found["a look between replays extends it"] = scheduler.last_epoch == epoch
    found["a look between replays extends it"] &= rates(scheduler) == scheduler.curve(29)
    found["in place"] = scheduler._device.rows.data_ptr() == rows

    def fails(epoch: int) -> float:
        if epoch > 3:
            raise KeyError(epoch)
        return half(epoch)

    scheduler = lr_scheduler.LambdaLR(optimizer(rate=torch.tensor), fails)
    for _ in range(3):
        step(scheduler)
    try:
        step(scheduler)
        found["fails when its epoch comes"] = False
    except KeyError:
        found["fails when its epoch comes"] = scheduler.last_epoch == 3
    device._TABLE, device._EPOCHS = 1 << 16, 1 << 10
    return found


def changes() -> dict[str, bool]:
    """Whether everything that a launch was told is told again when it changed."""

    def constant(scheduler: Any) -> None:
        scheduler.gamma = 0.25

    def base(scheduler: Any) -> None:
        scheduler.base_lrs = [0.25, 0.125]

    def tensor(scheduler: Any) -> None:
        for group in scheduler.optimizer.param_groups:
            group["lr"] = group["lr"].clone()

    def memory(scheduler: Any) -> None:
        for group in scheduler.optimizer.param_groups:
            group["lr"].data = group["lr"].data.clone()

    def group(scheduler: Any) -> None:
        scheduler.optimizer.add_param_group({"params": [torch.zeros(1)], "lr": torch.tensor(0.5, dtype=torch.float64)})

    def epoch(scheduler: Any) -> None:
        scheduler.last_epoch = 5

    found = {}
    for change in (constant, base, tensor, memory, group, epoch):
        runs = make("exponentiallr", torch.float64, "triton"), make("exponentiallr", torch.float64, "numba")
        for scheduler, backend in zip(runs, ("triton", "numba"), strict=True):
            on(backend)
            for _ in range(2):
                step(scheduler)
            change(scheduler)
            for _ in range(2):
                step(scheduler)
        found[change.__name__] = worst(rates(runs[0]), rates(runs[1])) < 1e-14
    return found


def averages() -> dict[str, bool]:
    """Whether averages of both backends are the same to the bit."""
    found = {}
    kinds = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "complex": torch.complex64}
    for (name, dtype), decay in itertools.product(kinds.items(), (0.3, 0.99999)):
        results = []
        for backend in ("triton", "numba"):
            on(backend)
            torch.manual_seed(1)
            model = torch.nn.ParameterList([torch.randn(size, dtype=dtype) for size in (3, 5000)])
            average = swa_utils.AveragedModel(model, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(decay))
            for _ in range(3):
                with torch.no_grad():
                    for param in model:
                        param.copy_(torch.randn_like(param))
                average.update_parameters(model)
            digits = [value for one in average._memory.digits for value in one if value is not None]
            results.append([*average.parameters(), *digits])
            assert average.backend == {"triton": "triton-interpreter"}.get(backend, backend)
        found[f"{name} {decay}"] = all(map(torch.equal, *results)) and len(results[0]) > 1
    return found


def main() -> None:
    torch.set_num_threads(1)
    # what is masked is computed as well
    warnings.simplefilter("ignore", RuntimeWarning)
    for (name, dtype), config in itertools.product(DTYPES.items(), CONFIGS):
        if dtype == torch.float64 or config in ("steplr", "onecyclelr"):
            found = {"check": "difference", "case": f"{config} {name}"} | difference(config, dtype)
            print(json.dumps(found), flush=True)
    for config in REPLAYED:
        print(json.dumps({"check": "replay", "case": config, "same": replay(config)}), flush=True)
    for check in (tables, changes, averages):
        for case, same in check().items():
            print(json.dumps({"check": check.__name__, "case": case, "same": same}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
