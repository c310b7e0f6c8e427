"""Optimizers, schedulers and averagers of other people, by `package.module:Class` or `path/file.py:Class`.

Everything that can be wrong with such a target ends as one line that names it. Importing this needs no torch; loading a
class runs its code, which the harness does in a worker process only.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import sys
import traceback
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from optbench.adapter import Adapter
from optbench.errors import UsageError
from optbench.foreign import peers
from optbench.subjects import Kind

# Named by the constructor, but no hyperparameter, where it is not the first: a composite may name its parts before.
_OPTIMIZER = "optimizer"
# Classes that are there already, by what `--impl` would call them.
_HELD: dict[str, type[Any]] = {}
# What an averager does, under the name that an Adapter may map its own to.
_UPDATE = "update_parameters"


def target_of(cls: type[Any]) -> str:
    """What `--impl` calls a class: "package.module:Class"; of what a script defines, "path/script.py:Class"."""
    module = sys.modules.get(cls.__module__)
    path = getattr(module, "__file__", None) if cls.__module__ == "__main__" else None
    return f"{path or cls.__module__}:{cls.__qualname__}"


def hold(target: str, cls: type[Any] | None) -> bool:
    """Let a target be this class, judged in this process, wherever it came from; None: what is found there again.

    Returns:
        Whether the target was another class before.
    """
    before = _HELD.pop(target, None)
    if cls is not None:
        _HELD[target] = cls
    return before is not cls


def held(target: str) -> type[Any] | None:
    """The class that `hold` was given under a target."""
    return _HELD.get(target)


def load_class(target: str) -> type[Any]:
    """The class that `--impl` names. The current folder is importable.

    Args:
        target: "package.module:Class" or "path/file.py:Class".

    Raises:
        UsageError: no such file or module, an import that raises, no such attribute, not a class, neither an
            optimizer nor a scheduler nor an averager.

    Example:
        >>> load_class("torch.optim:Adam").__name__
        'Adam'
    """
    where, _, name = target.rpartition(":")
    if not where or not name:
        raise UsageError(f"--impl {target!r}: expected package.module:Class or path/file.py:Class.")
    found: Any = _HELD.get(target)
    if found is None:
        module = _load_file(target, where) if _is_path(where) else _load_module(target, where)
        found = _attribute(target, module, name)
    if not inspect.isclass(found):
        raise UsageError(f"--impl {target!r}: that is a {type(found).__name__}, not a class.")
    if kind_of(found) == "optimizer":
        _require_optimizer(target, found)
    return found


def load_factory(target: str, class_name: str = "") -> Callable[..., Any]:
    """The class that `--impl` names, taking hyperparameters under their declared names.

    Args:
        target: as `load_class` has it, or a table.
        class_name: which of torch's classes it has to stand for, where the target is a table.

    Raises:
        UsageError: as `load_class`.
        NothingToRun: as `peers.factory`.
    """
    if peers.is_table(target):
        return peers.factory(target, class_name)
    cls = load_class(target)
    adapter = adapter_of(cls)
    return partial(_construct, cls, adapter) if adapter.options else cls


def accepted_options(cls: type[Any]) -> set[str] | None:
    """The hyperparameters that a class takes, under their declared names; None: any, it has `**kwargs`.

    An option that is missing here is a `skip: no such option`.

    Example:
        >>> class Plain:
        ...     def __init__(self, params, lr): ...
        >>> accepted_options(Plain)
        {'lr'}
    """
    try:
        parameters = list(inspect.signature(cls).parameters.values())
    except (TypeError, ValueError):
        return None
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return _named_options(cls)


def _named_options(cls: type[Any]) -> set[str]:
    """The hyperparameters that a class's constructor names, under their declared names."""
    try:
        parameters = list(inspect.signature(cls).parameters.values())
    except (TypeError, ValueError):
        return set()
    by_name = [
        parameter.name
        for parameter in parameters
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    ]
    adapter = adapter_of(cls)
    # The first else is no hyperparameter: the parameters themselves, an optimizer, a model.
    subject = _OPTIMIZER if _OPTIMIZER in by_name else by_name[0] if by_name else ""
    return {adapter.declared(name) for name in by_name if name != subject}


def adapter_of(cls: type[Any]) -> Adapter:
    """The Adapter on a class or one of its bases, else in the class's module, else one that renames nothing."""
    spaces: list[Mapping[str, Any]] = [vars(base) for base in cls.__mro__]
    module = sys.modules.get(cls.__module__)
    if module is not None:
        spaces.append(vars(module))
    for space in spaces:
        for value in list(space.values()):
            if isinstance(value, Adapter):
                return value
    return Adapter()


def kind_of(cls: type[Any]) -> Kind:
    """What a class is: torch's schedulers and their like are schedulers, what has `update_parameters` an averager.

    All else is taken for an optimizer.

    Example:
        >>> class Average:
        ...     def update_parameters(self, model): ...
        >>> kind_of(Average)
        'averager'
    """
    import torch

    if issubclass(cls, torch.optim.Optimizer):
        return "optimizer"
    if issubclass(cls, torch.optim.lr_scheduler.LRScheduler) or hasattr(cls, "get_last_lr"):
        return "scheduler"
    own = [name for name, declared in adapter_of(cls).state.items() if declared == _UPDATE]
    return "averager" if any(hasattr(cls, name) for name in (_UPDATE, *own)) else "optimizer"


def describe(target: str, class_name: str = "") -> dict[str, Any]:
    """What a run needs to know about foreign code, as plain data that a worker process can send.

    Args:
        target: as `load_factory` has it.
        class_name: which of torch's classes is meant, where the target is a table; "": all.

    Returns:
        {"name": class name, "kind": as of a subject, "options": sorted declared hyperparameters or None, "named": those
        that its constructor names, "state": own name -> declared name, "inherits": the methods that it has from
        torch.optim.Optimizer}; of a table, what `peers.describe` says

    Raises:
        UsageError: as `load_class`.
        NothingToRun: as `peers.describe`.
    """
    if peers.is_table(target):
        return peers.describe(target, class_name)
    cls = load_class(target)
    options = accepted_options(cls)
    return {
        "name": cls.__name__,
        "kind": kind_of(cls),
        "options": None if options is None else sorted(options),
        "named": sorted(_named_options(cls)),
        "state": dict(adapter_of(cls).state),
        "inherits": sorted(inherited(cls)),
    }


def inherited(cls: type[Any]) -> set[str]:
    """The methods that a class has from torch.optim.Optimizer as they are there."""
    import torch

    if not issubclass(cls, torch.optim.Optimizer):
        return set()
    methods = vars(torch.optim.Optimizer).items()
    own = {name for name, method in methods if inspect.isfunction(method) and getattr(cls, name) is method}
    # Whoever derives from it has to call it.
    return {*own, "__init__"}


def _construct(cls: type[Any], adapter: Adapter, *params: Any, **options: Any) -> Any:
    return cls(*params, **adapter.arguments(options))


def _is_path(where: str) -> bool:
    return where.endswith(".py") or "/" in where or "\\" in where


def _load_file(target: str, where: str) -> ModuleType:
    path = Path(where).expanduser().resolve()
    if not path.is_file():
        near = difflib.get_close_matches(path.name, [entry.name for entry in path.parent.glob("*.py")], n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"the current folder is {str(Path.cwd())!r}."
        raise UsageError(f"--impl {target!r}: there is no file {where!r}: {hint}")
    # A name of its own: a file called random.py must not become, or be taken for, the module `random`.
    name = f"_optbench_file_{path.stem}_{zlib.crc32(str(path).encode()):08x}"
    if name in sys.modules:
        return sys.modules[name]
    _make_importable(path.parent)
    _make_importable(Path.cwd())
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"--impl {target!r}: {where!r} is no Python file.")
    module = importlib.util.module_from_spec(spec)
    # Registered before it runs, as import does: dataclasses and pickle look a class's module up by name.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise _import_failed(target, where, error) from error
    return module


def _load_module(target: str, where: str) -> ModuleType:
    _make_importable(Path.cwd())
    try:
        return importlib.import_module(where)
    except ModuleNotFoundError as error:
        if error.name and (where == error.name or where.startswith(error.name + ".")):
            raise UsageError(
                f"--impl {target!r}: there is no module {error.name!r} here: install it, or run from its folder."
            ) from error
        raise _import_failed(target, where, error) from error
    except (Exception, SystemExit) as error:
        raise _import_failed(target, where, error) from error


def _make_importable(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def _import_failed(target: str, where: str, error: BaseException) -> UsageError:
    # A SyntaxError's text repeats the place.
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    said = " ".join(text.split()) or "without a message"
    return UsageError(f"--impl {target!r}: importing {where!r} raised {type(error).__name__}: {said} ({_line(error)}).")


def _line(error: BaseException) -> str:
    """Where it was raised: the last line outside Python's import machinery."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{Path(error.filename).name}, line {error.lineno}"
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<frozen") and frame.filename not in (__file__, importlib.__file__)
    ]
    return f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else "before its first line"


def _attribute(target: str, module: ModuleType, name: str) -> Any:
    if hasattr(module, name):
        return getattr(module, name)
    classes = [key for key, value in vars(module).items() if inspect.isclass(value)]
    near = difflib.get_close_matches(name, classes, n=1, cutoff=0.4)
    own = [key for key in classes if vars(module)[key].__module__ == module.__name__]
    hint = f"did you mean {near[0]!r}?" if near else f"its classes are: {', '.join(own) or 'none'}."
    raise UsageError(f"--impl {target!r}: it has no {name!r}: {hint}")


def _require_optimizer(target: str, found: Any) -> None:
    import torch

    if found is torch.optim.Optimizer:
        raise UsageError(f"--impl {target!r}: that is the base class, which has no rule of its own.")
    if issubclass(found, torch.optim.Optimizer):
        if found.step is torch.optim.Optimizer.step:
            raise UsageError(f"--impl {target!r}: {found.__name__} has no `step` of its own.")
        return
    lacks = [name for name, there in _duck_type(found).items() if not there]
    if lacks:
        bases = ", ".join(base.__name__ for base in found.__bases__)
        lacking = " and ".join(f"`{name}`" for name in lacks)
        raise UsageError(
            f"--impl {target!r}: {found.__name__} is no optimizer: it lacks {lacking}. "
            f"Derive it from torch.optim.Optimizer (its bases are: {bases})."
        )


def _duck_type(cls: type[Any]) -> dict[str, bool]:
    """Which of the things that the laws use a class has that is no torch.optim.Optimizer."""
    import torch

    has = {"step": callable(getattr(cls, "step", None)), "param_groups": hasattr(cls, "param_groups")}
    if not has["step"]:
        return has
    # param_groups is made by the constructor: only an instance can tell.
    try:
        instance = cls([torch.nn.Parameter(torch.zeros(1))])
    except Exception:
        return {**has, "param_groups": True}
    return {**has, "param_groups": hasattr(instance, "param_groups")}
