"""The accelerator's stopwatch, on a device that only notes what it is told."""

import platform
import subprocess
import sys
from typing import Any

import pytest
import torch

from optbench.timing import device
from optbench.timing.device import DeviceStopwatch
from optbench.timing.timer import Contestant, HostStopwatch


class FakeDevice:
    """A stream on which a step takes 3 ms and a flush 5."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log: list[str] = []
        self.now = 0.0
        owner = self

        class Event:
            def __init__(self, where: Any, enable_timing: bool) -> None:
                assert enable_timing
                self.at = -1.0

            def record(self) -> None:
                owner.log.append("event")
                self.at = owner.now

            def elapsed_time(self, other: "Event") -> float:
                assert self.at >= 0 and other.at >= 0
                assert owner.log[-1] == "synchronize"
                return 1e3 * (other.at - self.at)

        class Buffer:
            def zero_(self) -> None:
                owner.work("flush", 5e-3)

        monkeypatch.setattr(torch, "Event", Event)
        monkeypatch.setattr(torch.accelerator, "synchronize", lambda where: self.log.append("synchronize"))
        monkeypatch.setattr(torch, "empty", lambda *size, **options: Buffer())

    def work(self, what: str, seconds: float) -> None:
        self.log.append(what)
        self.now += seconds

    def step(self) -> None:
        self.work("step", 3e-3)


def test_small_workloads_start_cold_and_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeDevice(monkeypatch)
    sample = DeviceStopwatch("cuda", footprint=10, l2=100).measure(Contestant("c", fake.step), 2)
    assert sample.wall == pytest.approx(3e-3)
    assert fake.log[:6] == ["flush", "synchronize", "event", "step", "event", "synchronize"]
    assert fake.log.count("flush") == 2


def test_large_workloads_run_back_to_back(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeDevice(monkeypatch)
    sample = DeviceStopwatch("cuda", footprint=1000, l2=100).measure(Contestant("c", fake.step), 4)
    assert sample.wall == pytest.approx(3e-3)
    assert fake.log == ["synchronize", "event", *["step"] * 4, "event", "synchronize"]


def test_gradients_are_made_outside_the_events(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeDevice(monkeypatch)
    contestant = Contestant("c", fake.step, before_step=lambda: fake.work("backward", 1.0))
    sample = DeviceStopwatch("cuda", footprint=1000, l2=100).measure(contestant, 3)
    assert sample.wall == pytest.approx(3e-3)
    assert fake.log.count("backward") == 3


def test_the_cpu_needs_no_events() -> None:
    assert isinstance(device.stopwatch("cpu", 1 << 30), HostStopwatch)
    assert device.warm_up_seconds("cpu") == 0 and device.warm_up_seconds("cuda:1") > 0


def test_threads_are_torchs_and_not_set_again(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", told.append)
    assert device.pin_threads() == torch.get_num_threads() and not told
    monkeypatch.setattr(torch, "get_num_threads", lambda: 10_000)
    cores = device.pin_threads()
    assert told == [cores] and 1 <= cores < 10_000


def test_free_memory_is_known_or_none() -> None:
    free = device.free_bytes("cpu")
    assert free is None or free > 1 << 20
    assert device.free_bytes("nosuchdevice") is None


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")
def test_memory_that_was_freed_is_kept() -> None:
    code = """
import resource, torch
from optbench.timing import device

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.zeros(1 << 22, dtype=torch.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

mapped = faults()
assert device.keep_memory()
faults()
kept = faults()
print(mapped, kept)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    mapped, kept = map(int, said.split())
    # 1,024 pages each, touched anew twenty times, or not at all.
    assert kept < 100 < mapped
