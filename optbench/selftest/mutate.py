"""Makes a faulty implementation: a tier's source with a few lines exchanged, or its class wrapped."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from functools import partial
from pathlib import Path
from types import ModuleType
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
    subject = subjects.load(fault.subject)
    name = fault.target or subject.class_name
    changed = _mutated(fault, original, folder, subject.module) if fault.patches else None
    found: Any = getattr(changed, name) if changed else original.load(name, subject.module)
    faulty = fault.wrap(found) if fault.wrap else found
    # pickle finds a class by its module and name.
    faulty.__module__, faulty.__qualname__ = __name__, f"_planted_{fault.id.replace('-', '_')}"
    globals()[faulty.__qualname__] = faulty
    return Implementation(
        original.name,
        fault.what,
        module=original.module,
        ours=True,
        backend=original.backend,
        path=original.path,
        made=partial(_made, {(name, subject.module): faulty}, changed, original),
    )


def _made(
    faulty: dict[tuple[str, str], Any], changed: ModuleType | None, original: Implementation, name: str, submodule: str
) -> Any:
    """What stands under a name: the fault, what its changed module defines beside it, or what the tier has."""
    if (name, submodule) in faulty:
        return faulty[name, submodule]
    beside = getattr(changed, name, None)
    return beside if beside is not None else original.load(name, submodule)


def _mutated(fault: Fault, original: Implementation, folder: Path, submodule: str) -> ModuleType:
    """Run the changed source as a sibling of the original module, so that its relative imports hold."""
    package = ".".join(filter(None, (importlib.import_module(original.module).__name__, submodule)))
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
    return changed
