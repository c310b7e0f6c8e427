"""What a step really ran, and the figures that do not depend on the clock.

A `TorchDispatchMode` sees every operation that a step sends through torch's dispatcher. From that follow the number of
operations, the memory of tensors that live only during the step, and whether a path that calls itself fused is fused.
"""

from __future__ import annotations

import sys
import weakref
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from optbench.registry import Implementation

# A fused step may make scratch tensors and copy into them; everything else on whole parameters is arithmetic.
_MOVES = frozenset(
    (
        "empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "zeros", "zeros_like", "copy_",
        "clone", "_to_copy", "_foreach_copy_", "detach", "alias", "view", "_unsafe_view", "reshape", "as_strided",
        "view_as_real", "view_as_complex", "expand", "permute", "t", "transpose", "slice", "select", "unsqueeze",
        "squeeze", "lift_fresh", "_local_scalar_dense", "is_pinned", "pin_memory", "_pin_memory", "record_stream",
        "resolve_conj", "resolve_neg", "unbind", "is_coalesced", "values", "indices", "_values", "_indices", "_nnz",
    )
)  # fmt: skip


@dataclass
class Tally:
    """What one step did.

    Args:
        operations: dispatched operations by name, without the "aten::" before it.
        heavy: those that took or made a tensor of more than one element.
        peak_bytes: most bytes that were held at one time by tensors that the step's operations made. It does not see
            memory that a kernel takes and returns by itself, nor NumPy's.
        kept_bytes: how many of them were still held when the step ended.
    """

    operations: Counter[str] = field(default_factory=Counter)
    heavy: Counter[str] = field(default_factory=Counter)
    peak_bytes: int = 0
    kept_bytes: int = 0

    @property
    def count(self) -> int:
        return self.operations.total()

    def has(self, prefix: str) -> bool:
        return any(name.startswith(prefix) for name in self.operations)


class _Mode(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.tally = Tally()
        # Names by operation, "" for the profiler's own: a for-loop over a thousand tensors sends twenty thousand.
        self._names: dict[Any, str] = {}
        self._live = 0
        # Storages by identity. What an operation takes before one has made it was there before the step.
        self._seen: dict[int, Any] = {}

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = self._names.get(func)
        if name is None:
            namespace, _, name = func._schema.name.partition("::")
            name = self._names[func] = "" if namespace == "profiler" else name
        if not name:
            return func(*args, **kwargs)
        heavy = False
        for tensor in _tensors((*args, *kwargs.values()) if kwargs else args):
            self._remember(tensor, made=False)
            heavy = heavy or tensor.numel() > 1
        result = func(*args, **kwargs)
        for tensor in _tensors((result,)):
            self._remember(tensor, made=True)
            heavy = heavy or tensor.numel() > 1
        self.tally.operations[name] += 1
        if heavy:
            self.tally.heavy[name] += 1
        return result

    def _remember(self, tensor: Tensor, made: bool) -> None:
        storage = tensor.untyped_storage()
        key = id(storage)
        if key in self._seen:
            return
        size = storage.nbytes() if made else 0

        def gone(_: object) -> None:
            self._live -= size
            self._seen.pop(key, None)

        self._seen[key] = weakref.ref(storage, gone)
        self._live += size
        self.tally.peak_bytes = max(self.tally.peak_bytes, self._live)

    def finish(self) -> Tally:
        self.tally.kept_bytes = self._live
        return self.tally


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield from (value._indices(), value._values()) if value.is_sparse else (value,)
        elif isinstance(value, (list, tuple)):
            yield from _tensors(value)


def watch(step: Callable[[], object], device: str) -> Tally:
    """Take a step under observation.

    Args:
        step: the optimizer's step.
        device: on an accelerator the peak is its allocator's own, which sees what kernels take by themselves.
    """
    mode = _Mode()
    module: Any = getattr(torch, device.partition(":")[0], None)
    counts = hasattr(module, "max_memory_allocated")
    before = 0
    if counts:
        module.reset_peak_memory_stats(device)
        before = module.memory_allocated(device)
    with mode:
        step()
    tally = mode.finish()
    if counts:
        tally.peak_bytes = max(0, module.max_memory_allocated(device) - before)
    return tally


def impostor(
    implementation: Implementation, optimizer: Any, tally: Tally, device: str, calls: Collection[str] = ()
) -> str | None:
    """Why a step is not of the kind that its name says; None where it is.

    Args:
        implementation: what was asked for.
        optimizer: what was built.
        tally: a step of it, not the first.
        device: where it ran.
        calls: torch's operations that a fused step of this algorithm may call.
    """
    if implementation.target:
        return None
    name = implementation.name
    if name.startswith("torch-"):
        return _torch_impostor(name, tally)
    declared = implementation.backend_on(device)
    if declared in ("numba", "triton"):
        return _fused_impostor(declared, optimizer, tally, calls)
    if declared == "foreach":
        return None if tally.has("_foreach_") else f"no _foreach_ operation ran: {_shown(tally)}"
    if tally.has("_foreach_") or tally.has("_fused_"):
        return f"it runs torch's horizontal or fused kernels: {_shown(tally)}"
    return None


def _torch_impostor(name: str, tally: Tally) -> str | None:
    fused, foreach = tally.has("_fused_"), tally.has("_foreach_")
    if name == "torch-fused" and not fused:
        return f"torch's fused kernel did not run: {_shown(tally)}"
    if name == "torch-foreach" and (fused or not foreach):
        return f"torch's foreach path did not run: {_shown(tally)}"
    if name == "torch-forloop" and (fused or foreach):
        return f"torch's for-loop did not run: {_shown(tally)}"
    return None


def _fused_impostor(declared: str, optimizer: Any, tally: Tally, calls: Collection[str]) -> str | None:
    ran = getattr(optimizer, "backend", None)
    if ran != declared:
        return f"the {declared} backend did not run: the optimizer says {ran!r}"
    arithmetic = Counter({name: n for name, n in tally.heavy.items() if name not in _MOVES and name not in calls})
    if arithmetic:
        return f"it is not fused: torch's own operations did arithmetic: {_shown(Tally(arithmetic))}"
    return None


def _shown(tally: Tally) -> str:
    common = ", ".join(f"{name} x{count}" for name, count in tally.operations.most_common(3))
    return common or "no operation was dispatched"


def compiled_graphs() -> int:
    """How many graphs torch.compile has made in this process."""
    # Not imported for this: where it is not loaded, nothing was compiled.
    utils = sys.modules.get("torch._dynamo.utils")
    return int(utils.counters["stats"]["unique_graphs"]) if utils else 0
