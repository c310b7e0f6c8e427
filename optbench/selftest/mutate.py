"""Makes a faulty implementation: a tier's source with a few lines exchanged, or its class wrapped."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from optbench import registry, subjects
from optbench.errors import OptbenchError
from optbench.registry import Implementation

from .fault import Fault
from .operators import sources
from .operators.catalogue import Mutant


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
    return _wrapped(fault.id, fault.what, original, found, fault.wrap, (name, subject.module), changed)


@contextlib.contextmanager
def planted(mutant: Mutant, subject: str) -> Iterator[Implementation]:
    """The tier with the mutant in it, for the moment.

    Args:
        mutant: what to plant.
        subject: whose laws are asked.
    """
    original = registry.IMPLEMENTATIONS[mutant.tier]
    if mutant.source:
        with sources.planted(mutant.source):
            yield original
        return
    declared = subjects.load(subject)
    name = mutant.target or declared.class_name
    found = original.load(name, declared.module)
    yield _wrapped(mutant.id, mutant.id, original, found, mutant.wrap, (name, declared.module))


def unharmed(subject: str, tier: str) -> Implementation:
    """The tier with nothing wrong in it, its class wrapped as a faulty one is: planting itself must not be seen."""
    original, declared = registry.IMPLEMENTATIONS[tier], subjects.load(subject)
    found = original.load(declared.class_name, declared.module)
    name = (declared.class_name, declared.module)
    return _wrapped(f"nothing in {subject}", "nothing", original, found, _same, name)


def _same(cls: type[Any]) -> type[Any]:
    class Same(cls):  # type: ignore[misc, valid-type]
        pass

    return Same


def _wrapped(
    fault: str,
    what: str,
    original: Implementation,
    found: Any,
    wrap: Callable[[Any], Any] | None,
    name: tuple[str, str],
    changed: ModuleType | None = None,
) -> Implementation:
    """The tier with a class or function of that name and submodule wrapped."""
    faulty = wrap(found) if wrap else found
    # pickle finds a class by its module and name, and messages name it.
    if faulty is not found:
        faulty.__name__ = found.__name__
        if isinstance(found, type):
            # What it takes is no fault.
            faulty.__signature__ = inspect.signature(found)
    faulty.__module__, faulty.__qualname__ = __name__, "_planted_" + re.sub(r"\W", "_", fault)
    globals()[faulty.__qualname__] = faulty
    return Implementation(
        original.name,
        what,
        module=original.module,
        ours=True,
        backend=original.backend,
        path=original.path,
        made=partial(_made, {name: faulty}, changed, original),
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
