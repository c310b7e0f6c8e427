"""A user's own workload: `--workload path/train.py:build_model`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from optbench.errors import OptbenchError, UsageError


def load_parameters(target: str) -> list[Tensor]:
    """The parameters that a user's function returns, on whatever device and in whatever dtype it made them.

    Args:
        target: "path.py:function" or "module:function"; the function takes no arguments and returns an nn.Module or an
            iterable of parameters. Parameters that need no gradient are left out, and a shared one counts once.

    Raises:
        UsageError: the target does not exist, does not import, raises, or returns something else.
    """
    built = _call(target, _find(target))
    if isinstance(built, torch.nn.Module):
        built = built.parameters()
    if isinstance(built, (Tensor, str, dict)) or not isinstance(built, Iterable):
        raise _wrong_type(target, type(built).__name__)
    items = list(built)
    for item in items:
        if not isinstance(item, Tensor):
            raise _wrong_type(target, f"an iterable with a {type(item).__name__} in it")
    params = list({id(item): item.detach() for item in items if item.requires_grad}.values())
    if not params:
        raise UsageError(f"workload {target!r} returned no parameter that requires a gradient: nothing to step.")
    return params


def _wrong_type(target: str, what: str) -> UsageError:
    return UsageError(
        f"workload {target!r} returned {what}: it has to return an nn.Module or an iterable of parameters."
    )


def _find(target: str) -> Callable[[], Any]:
    where, _, name = target.rpartition(":")
    module = _import(target, where)
    found = getattr(module, name, None)
    if found is None:
        raise UsageError(f"workload {target!r}: {where} has no {name!r}.")
    if not callable(found):
        raise UsageError(f"workload {target!r}: {name!r} is a {type(found).__name__}, not a function.")
    return found  # type: ignore[no-any-return]


def _import(target: str, where: str) -> ModuleType:
    try:
        return _from_file(target, Path(where)) if where.endswith(".py") else _from_path(where)
    except OptbenchError:
        raise
    except ModuleNotFoundError as error:
        if error.name == where:
            raise UsageError(f"workload {target!r}: there is no module {where!r} here.") from error
        raise UsageError(f"workload {target!r} needs {error.name!r}, which is not installed.") from error
    except (Exception, SystemExit) as error:
        raise UsageError(f"workload {target!r} raised {_one_line(error)} while it was imported.") from error


def _from_path(where: str) -> ModuleType:
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    return importlib.import_module(where)


def _from_file(target: str, path: Path) -> ModuleType:
    if not path.is_file():
        raise UsageError(f"workload {target!r}: there is no file {str(path)!r}.")
    # What the script imports from beside itself has to be found, as when it is run.
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    name = f"optbench_workload_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"workload {target!r}: {str(path)!r} is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _call(target: str, function: Callable[[], Any]) -> Any:
    try:
        return function()
    except (Exception, SystemExit) as error:
        raise UsageError(f"workload {target!r} raised {_one_line(error)} when it was called.") from error


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
