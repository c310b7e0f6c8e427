"""Makes a faulty implementation: a tier's source with a few lines exchanged, or its class wrapped."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

from optbench import registry, subjects
from optbench.errors import OptbenchError
from optbench.registry import Implementation

from .faults import Fault


def implementation(fault: Fault, folder: Path) -> Implementation:
    """The tier with the fault in it.

    Args:
        fault: what to plant.
        folder: takes the mutated source, which Numba and tracebacks read.

    Raises:
        OptbenchError: the text to exchange is not in the tier's source any more.
    """
    original = registry.IMPLEMENTATIONS[fault.tier]
    class_name = subjects.load(fault.subject).class_name
    cls: Any = _mutated(fault, original, folder, class_name) if fault.patches else original.load(class_name)
    faulty = fault.wrap(cls) if fault.wrap else cls
    # pickle finds a class by its module and name.
    faulty.__module__, faulty.__qualname__ = __name__, f"_planted_{fault.id.replace('-', '_')}"
    globals()[faulty.__qualname__] = faulty
    return Implementation(
        original.name,
        fault.what,
        ours=True,
        backend=original.backend,
        made=lambda asked: _only(asked, class_name, faulty),
    )


def _only(asked: str, class_name: str, faulty: Any) -> Any:
    assert asked == class_name
    return faulty


def _mutated(fault: Fault, original: Implementation, folder: Path, class_name: str) -> Any:
    """Run the changed source as a sibling of the original module, so that its relative imports hold."""
    package = importlib.import_module(original.module).__name__
    module = importlib.util.find_spec(f"{package}.{fault.file or fault.subject}")
    assert module is not None and module.origin is not None
    text = Path(module.origin).read_text(encoding="utf-8")
    for old, new in fault.patches:
        if text.count(old) != 1:
            raise OptbenchError(
                f"selftest: {fault.id} no longer applies: {old!r} stands {text.count(old)} times in {fault.tier}."
            )
        text = text.replace(old, new)
    name = f"{package}._fault_{fault.id.replace('-', '_')}"
    path = folder / f"{fault.id.replace('-', '_')}.py"
    path.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    changed = importlib.util.module_from_spec(spec)
    # Imported modules only: dataclasses and the compilers look a function's module up by name.
    sys.modules[name] = changed
    spec.loader.exec_module(changed)
    return getattr(changed, class_name)
