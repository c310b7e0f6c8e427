"""A module's parameters and buffers, found again without walking through it."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from itertools import chain
from operator import is_
from typing import Any

from torch import Tensor
from torch.nn import Module

# A class that overrides one of these may have its own idea of what its parameters are.
_WALKS = ("parameters", "named_parameters", "buffers", "named_buffers", "modules", "named_modules", "_named_members")
_END = object()


class Tree:
    """The tensors below a root module, which is not kept alive.

    Functions in C look whether the same children and tensors are still where they were.
    """

    def __init__(self, root: Module) -> None:
        kept: dict[str, Any] = {}
        self._kept = kept
        self.root = weakref.ref(root, lambda _: kept.clear())
        self._usual = all(getattr(type(root), name) is getattr(Module, name) for name in _WALKS)

    def tensors(self) -> tuple[list[Tensor], list[Tensor]]:
        """`parameters()` and `buffers()`; lists that nobody may change."""
        kept = self._kept
        if kept and all(map(is_, chain.from_iterable(kept["live"]), kept["held"])):
            return kept["tensors"]  # type: ignore[no-any-return]
        root = self.root()
        assert root is not None
        found: tuple[list[Tensor], list[Tensor]] = list(root.parameters()), list(root.buffers())
        if self._usual:
            entries: Iterator[tuple[dict[str, Any], ...]]
            entries = ((module._modules, module._parameters, module._buffers) for module in root.modules())
            # Live views of what modules hold, and what they held. The end mark makes two sequences of different lengths
            # differ.
            live = [*map(dict.values, chain.from_iterable(entries)), (_END,)]
            kept.update(live=live, held=list(chain.from_iterable(live)), tensors=found)
        return found
