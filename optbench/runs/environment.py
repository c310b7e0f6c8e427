"""Where and with what a run took place: versions, processor, caches, threads, accelerator, load, commit.

Nothing here fails because something is missing: what cannot be found out is None.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import optbench

Answer = TypeVar("Answer")

_CHECKOUT = Path(optbench.__file__).resolve().parent.parent
_CACHES = Path("/sys/devices/system/cpu")


def collect(seed: int, device: str) -> dict[str, Any]:
    """Everything a reader needs to judge whether two runs can be compared, ready for JSON.

    Args:
        seed: the run's seed.
        device: the torch device the run is on, "cpu" or "cuda:1".

    Returns:
        A dict with the keys optbench, python, torch, triton, numba, numpy (versions), os, cpu, cores, usable_cores,
        last_level_cache_bytes, memory_bytes, torch_threads, numba_threads, device, gpu (None, or name, driver, runtime
        and memory_bytes), load_average (1, 5 and 15 minutes), commit, dirty, time (UTC), seed, and machine, which is
        the same for two runs on one machine.

    Example:
        >>> collect(seed=0, device="cpu")["seed"]
        0
    """
    found: dict[str, Any] = {
        "optbench": optbench.__version__,
        "python": platform.python_version(),
        **{package: _version(package) for package in ("torch", "triton", "numba", "numpy")},
        "os": " ".join(part for part in (platform.system(), platform.release(), platform.machine()) if part),
        "cpu": _try(cpu_model),
        "cores": os.cpu_count(),
        "usable_cores": _try(_usable_cores),
        "last_level_cache_bytes": _try(last_level_cache_bytes),
        "memory_bytes": _try(_memory_bytes),
        "torch_threads": _try(_torch_threads),
        "numba_threads": _try(_numba_threads),
        "device": device,
        "gpu": _try(lambda: _accelerator(device)),
        "load_average": _try(lambda: [round(load, 2) for load in os.getloadavg()]),
        **describe_checkout(),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": seed,
    }
    found["machine"] = _machine(found)
    return found


def _try(question: Callable[[], Answer]) -> Answer | None:
    """The answer, or None: a report without a driver's version is better than no report."""
    try:
        return question()
    except Exception:
        return None


def _output(*command: str) -> str:
    """What a command prints, stripped; raises where there is no such command or it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True, stdin=subprocess.DEVNULL)
    return done.stdout.strip()


def _version(package: str) -> str | None:
    # A module already loaded knows its local version ("2.13.0+cpu"), which metadata may lack.
    loaded = getattr(sys.modules.get(package), "__version__", None)
    if loaded:
        return str(loaded)
    return _try(lambda: importlib.metadata.version(package))


def cpu_model() -> str | None:
    """The processor's name as its maker writes it."""
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() in ("model name", "Model", "cpu model") and value.strip():
                return value.strip()
    if sys.platform == "darwin":
        return _output("sysctl", "-n", "machdep.cpu.brand_string") or None
    if sys.platform == "win32":
        return _registry(r"HARDWARE\DESCRIPTION\System\CentralProcessor\0", "ProcessorNameString")
    return platform.processor() or platform.machine() or None


def _registry(key: str, value: str) -> str | None:
    """A string of Windows' registry, under HKEY_LOCAL_MACHINE."""
    if sys.platform != "win32":
        return None
    import winreg

    with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, key) as opened:
        return str(winreg.QueryValueEx(opened, value)[0]).strip()


def _usable_cores() -> int | None:
    """Cores this process may run on, which in a container can be fewer than the machine has."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def last_level_cache_bytes() -> int | None:
    """Size of the last cache before memory, in bytes, summed over its instances; None where it is unknown."""
    if sys.platform == "linux":
        return _linux_cache()
    if sys.platform == "darwin":
        # Apple's own processors have no third level; the fast cores' second level is the last one that is told.
        for name in ("hw.l3cachesize", "hw.perflevel0.l2cachesize", "hw.l2cachesize"):
            size = _try(lambda name=name: int(_output("sysctl", "-n", name)))  # type: ignore[misc]
            if size:
                return size
        return None
    if sys.platform == "win32":
        query = "(Get-CimInstance Win32_Processor | Measure-Object L3CacheSize -Sum).Sum"
        return int(_output("powershell", "-NoProfile", "-Command", query)) * 1024 or None
    return None


def _linux_cache() -> int | None:
    # (level, cores that share it) -> bytes, so that an instance shared by many cores counts once.
    instances: dict[tuple[int, str], int] = {}
    for index in _CACHES.glob("cpu[0-9]*/cache/index[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            if (index / "type").read_text().strip() == "Instruction":
                continue
            level = int((index / "level").read_text())
            shared = (index / "shared_cpu_list").read_text().strip()
            instances[level, shared] = parse_size((index / "size").read_text())
    last = max((level for level, _ in instances), default=0)
    return sum(size for (level, _), size in instances.items() if level == last) or None


def parse_size(text: str) -> int:
    """Bytes of a size as Linux writes it.

    Example:
        >>> parse_size("32768K")
        33554432
    """
    text = text.strip()
    unit = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}.get(text[-1:].upper(), 1)
    return int(text[:-1] if unit > 1 else text) * unit


def _memory_bytes() -> int | None:
    if hasattr(os, "sysconf"):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    query = "(Get-CimInstance Win32_ComputerSystem).TotalPhysicalMemory"
    return int(_output("powershell", "-NoProfile", "-Command", query))


def _torch_threads() -> int:
    import torch

    return torch.get_num_threads()


def _numba_threads() -> int:
    import numba

    # Not numba.get_num_threads(), which starts Numba's own team: on the OpenMP runtime that both share, it gave torch
    # as many threads as there are cores, whatever OMP_NUM_THREADS said.
    return int(numba.config.NUMBA_NUM_THREADS)


def _accelerator(device: str) -> dict[str, Any] | None:
    """The accelerator a run is on; for a run on the CPU, the first CUDA device, if there is one."""
    import torch

    kind, _, index = device.partition(":")
    kind = "cuda" if kind == "cpu" else kind
    module = getattr(torch, kind, None)
    if module is None or not module.is_available():
        return None
    if kind == "mps":
        return {"name": _try(cpu_model), "driver": platform.mac_ver()[0], "runtime": "Metal", "memory_bytes": None}
    properties = module.get_device_properties(int(index or 0))
    hip = getattr(torch.version, "hip", None)
    runtime = f"HIP {hip}" if hip else f"CUDA {torch.version.cuda}" if kind == "cuda" else kind
    return {
        "name": str(properties.name),
        "driver": getattr(properties, "driver_version", None) or _try(_driver),
        "runtime": runtime,
        "memory_bytes": int(properties.total_memory),
    }


def _driver() -> str | None:
    """The kernel driver's version, NVIDIA's or AMD's."""
    asked = _try(lambda: _output("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"))
    if asked:
        return asked.splitlines()[0].strip()
    for source in ("/sys/module/nvidia/version", "/sys/module/amdgpu/version"):
        with contextlib.suppress(OSError):
            return Path(source).read_text().strip()
    return None


def describe_checkout(root: Path = _CHECKOUT) -> dict[str, Any]:
    """Commit and dirtiness of the checkout optbench runs from; None for both when it is installed from a wheel."""
    if not ((root / ".git").exists() and (root / "pyproject.toml").is_file()):
        return {"commit": None, "dirty": None}
    # A checkout owned by another user, as in containers, is still ours to describe.
    git = ("git", "--no-optional-locks", "-c", f"safe.directory={root.as_posix()}", "-C", str(root))
    status = _try(lambda: _output(*git, "status", "--porcelain"))
    return {
        "commit": _try(lambda: _output(*git, "rev-parse", "HEAD")),
        "dirty": None if status is None else bool(status),
    }


def _machine(found: dict[str, Any]) -> str:
    """Marks comparisons across machines without telling which machine it was.

    The operating system's own id is hashed with the hardware, because containers come without one, or share one.
    """
    gpu = (_try(lambda: _accelerator("cpu")) or {}).get("name")
    memory = found["memory_bytes"] and round(found["memory_bytes"] / 2**30)
    parts = (_try(_machine_id), found["cpu"], found["cores"], found["last_level_cache_bytes"], memory, gpu)
    return hashlib.sha256(f"optbench machine {parts}".encode()).hexdigest()[:12]


def _machine_id() -> str | None:
    if sys.platform == "win32":
        return _registry(r"SOFTWARE\Microsoft\Cryptography", "MachineGuid")
    if sys.platform == "darwin":
        lines = _output("ioreg", "-rd1", "-c", "IOPlatformExpertDevice").splitlines()
        return next((line.split('"')[-2] for line in lines if "IOPlatformUUID" in line), None)
    for source in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        with contextlib.suppress(OSError):
            return Path(source).read_text().strip()
    return None
