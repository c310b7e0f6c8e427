"""What a device needs around a timed step: threads pinned on a CPU; events, warm-up and a cold L2 on an accelerator."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from optbench.timing.roof import CACHES, DeviceRoof, HostRoof, applies, cache_bytes
from optbench.timing.timer import Clock, Contestant, HostStopwatch, Sample, Stopwatch, SystemClock

# An accelerator raises its clocks by time, not by count.
_ACCELERATOR_WARM_UP = 0.25
_UNKNOWN_L2 = 64 << 20
# OpenMP's idle threads spin for some milliseconds before they sleep.
_SPIN_SECONDS = 5e-3
# A workload of so many L2s evicts itself.
_OUTGROWN = 4
# glibc's mallopt: parameter -> value. 32 MiB is the largest threshold that it takes.
_MALLOC = {"M_TRIM_THRESHOLD": (-1, 2**31 - 1), "M_TOP_PAD": (-2, 64 << 20), "M_MMAP_THRESHOLD": (-3, 32 << 20)}


def is_cpu(device: str) -> bool:
    return device.partition(":")[0] == "cpu"


def pin_threads() -> int:
    """Hold torch to no more threads than cores, and say how many. The fused tier follows torch.

    Nothing is set that is so already: `torch.set_num_threads`, even to the present number, makes MKL share out the
    roots of small tensors among threads (measured on a busy machine: steps of 0.1 ms took 20). Numba's own number is
    left alone: to set it starts a second OpenMP team, whose idle threads spin on the cores that the first one needs.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = torch.get_num_threads()
    if threads > usable:
        torch.set_num_threads(usable)
        threads = usable
    return threads


@functools.cache
def keep_memory() -> bool:
    """Hold glibc's allocator to one habit for the rest of the process; False where another allocator is in use.

    As a process's history has it, glibc maps blocks anew or keeps them, and the temporaries of a for-loop then cost
    three times as much or not (measured). Here what is freed is kept, which is the faster of the two for everybody.
    """
    with contextlib.suppress(OSError, AttributeError):
        return all(ctypes.CDLL(None).mallopt(number, value) for number, value in _MALLOC.values())
    return False


def load_average() -> float | None:
    """The machine's load over the last minute."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


class DeviceStopwatch:
    """Times steps on an accelerator by events on its stream.

    Where the workload is smaller than 4 L2s, each step is timed alone behind a flush of the L2 and from an idle device,
    so that neither a warm cache nor a host running ahead flatters it. Larger ones run back to back.

    Args:
        device: a torch device.
        footprint: bytes that a step touches.
        l2: bytes of the device's L2.
    """

    def __init__(self, device: str, footprint: int, l2: int) -> None:
        self._device = torch.device(device)
        small = footprint < _OUTGROWN * l2
        self._flush = torch.empty(2 * l2, dtype=torch.uint8, device=self._device) if small else None

    def measure(self, contestant: Contestant, repetitions: int) -> Sample:
        cpu = 0.0
        spans = []
        alone = self._flush is not None or contestant.before_step is not None
        blocks, steps = (repetitions, 1) if alone else (1, repetitions)
        for _ in range(blocks):
            if contestant.before_step is not None:
                contestant.before_step()
            if self._flush is not None:
                self._flush.zero_()
            torch.accelerator.synchronize(self._device)
            start, end = self._event(), self._event()
            began = time.process_time()
            start.record()
            for _ in range(steps):
                contestant.step()
            end.record()
            cpu += time.process_time() - began
            spans.append((start, end))
            if alone:
                torch.accelerator.synchronize(self._device)
        torch.accelerator.synchronize(self._device)
        wall = sum(start.elapsed_time(end) for start, end in spans) / 1e3
        return Sample(wall / repetitions, cpu / repetitions)

    def _event(self) -> Any:
        return torch.Event(self._device, enable_timing=True)


def l2_bytes(device: str) -> int:
    """Bytes of an accelerator's L2, 64 MiB where it is unknown."""
    kind = getattr(torch, device.partition(":")[0], None)
    try:
        properties = kind.get_device_properties(torch.device(device))  # type: ignore[union-attr]
        return int(getattr(properties, "L2_cache_size", 0)) or _UNKNOWN_L2
    except Exception:
        return _UNKNOWN_L2


def stopwatch(device: str, footprint: int) -> Stopwatch:
    """What times steps on a device."""
    return HostStopwatch() if is_cpu(device) else DeviceStopwatch(device, footprint, l2_bytes(device))


def clock() -> Clock:
    return SystemClock()


def settle(steps: int) -> None:
    """Before the roof's own threads start: let the idle threads of torch's team fall asleep."""
    time.sleep(_SPIN_SECONDS)


def warm_up_seconds(device: str) -> float:
    return 0.0 if is_cpu(device) else _ACCELERATOR_WARM_UP


def roof(
    device: str, arrays: Sequence[Tensor], streams: int, footprint: int, threads: int
) -> HostRoof | DeviceRoof | None:
    """The roof to race against; None where the workload lives in a cache.

    Args:
        device: a torch device.
        arrays: the workload's own arrays, the one that is only read first, if it is a single tensor; else empty.
        streams: arrays that a step touches.
        footprint: bytes of all of them together.
        threads: number of threads.
    """
    if not is_cpu(device):
        l2 = l2_bytes(device)
        return DeviceRoof(device, footprint, l2) if applies(footprint, l2) else None
    cache = cache_bytes()
    if not applies(footprint, cache):
        return None
    # A workload that is smaller than the caches together, or in many pieces, is swept beside it.
    if len(arrays) != streams or footprint < CACHES * cache:
        length = max(footprint, CACHES * cache) // (8 * streams)
        arrays = [torch.full((length,), i, dtype=torch.int64) for i in range(streams)]
    words = [_words(array) for array in arrays]
    return HostRoof(words[0], words[1:], threads)


def _words(tensor: Tensor) -> Any:
    """A dense tensor's memory as int64, without the last few bytes that fill no word."""
    flat = tensor.detach().view(-1).view(torch.uint8).numpy()
    return flat[: flat.size // 8 * 8].view("int64")


def free_bytes(device: str) -> int | None:
    """Memory that can still be allocated; None where it is unknown."""
    try:
        if not is_cpu(device):
            module = getattr(torch, device.partition(":")[0])
            return int(module.mem_get_info(torch.device(device))[0])
        with open("/proc/meminfo") as lines:
            found = next(line for line in lines if line.startswith("MemAvailable:"))
        return int(found.split()[1]) << 10
    except Exception:
        return None
