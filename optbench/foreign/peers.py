"""Packages whose optimizers stand for torch's. Their tables are in impls/peers, one module a package.

A target that ends in `:*` names such a table; which of its classes is meant, torch's class name says. Needs no torch
until a class is loaded, and never the package to read its table.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Collection, Mapping
from typing import Any

from optbench import subjects
from optbench.errors import NothingToRun

_WAY_OUT = "pip install 'optbench[peers]'"


def is_table(target: str) -> bool:
    """Whether a target names a table of classes rather than one class."""
    return target.endswith(":*")


def table(target: str) -> Mapping[str, Any]:
    """What stands for which of torch's classes."""
    return _module(target).PEERS  # type: ignore[no-any-return]


def describe(target: str, class_name: str = "") -> dict[str, Any]:
    """What a run needs to know about a package, as plain data that a worker process can send.

    Returns:
        {"kind": "optimizer", "classes": torch's class name -> facts}, or of one class its facts: what
        `foreign.describe` says of a class, and {"only": option -> values, "dtypes": some or none}

    Raises:
        NothingToRun: the package is not installed, or has nothing that stands for the class.
    """
    if class_name:
        return _facts(_peer(target, class_name))
    _prepare(target)
    return {"kind": "optimizer", "classes": {name: _facts(peer) for name, peer in table(target).items()}}


def facts(about: Mapping[str, Any], kind: str, class_name: str) -> Mapping[str, Any] | None:
    """What `describe` of a class or a table told about one of torch's classes; None where nothing stands for it."""
    if about["kind"] != kind:
        return None
    return about["classes"].get(class_name) if "classes" in about else about


def agrees(facts: Mapping[str, Any], options: Mapping[str, Any]) -> bool:
    """Whether nothing is asked that is documented to be another algorithm's.

    Example:
        >>> agrees({"only": {"eps": (0.0,)}}, {"lr": 0.1, "eps": 1e-8})
        False
    """
    return all(options[name] in values for name, values in facts.get("only", {}).items() if name in options)


def told(name: str, about: Mapping[str, Any]) -> str:
    """What there is under a name, for a run that asks for something else."""
    return f"{name} has {', '.join(about['classes'])}" if "classes" in about else f"{name} is of kind {about['kind']}"


def factory(target: str, class_name: str) -> Callable[..., Any]:
    """What is called as torch's class is. Options that are not given have torch's defaults, whatever the package's are.

    Raises:
        NothingToRun: the package is not installed, or has nothing that stands for the class.
    """
    peer = _peer(target, class_name)
    build, defaults = peer.factory(), _defaults(class_name, peer.options.values())

    def complete(params: Any, **options: Any) -> Any:
        return build(params, **{**defaults, **options})

    return complete


def _peer(target: str, class_name: str) -> Any:
    _prepare(target)
    classes = table(target)
    if class_name not in classes:
        stands = ", ".join(classes)
        raise NothingToRun(f"{_module(target).PACKAGE} has nothing that stands for {class_name}, but for {stands}.")
    return classes[class_name]


def _facts(peer: Any) -> dict[str, Any]:
    from optbench.foreign.loading import inherited

    options = sorted(peer.options.values())
    about = {"state": dict(peer.state), "only": dict(peer.only), "dtypes": peer.dtypes}
    return {"kind": "optimizer", "options": options, "named": options, "inherits": inherited(peer.load()), **about}


def _prepare(target: str) -> None:
    """Make a package's classes loadable, or say that it is not installed."""
    module = _module(target)
    if importlib.util.find_spec(module.PACKAGE) is None:
        raise NothingToRun(f"{module.PACKAGE} is not installed: {_WAY_OUT}")
    getattr(module, "prepare", _nothing)()


def _module(target: str) -> Any:
    return importlib.import_module(target.removesuffix(":*"))


def _defaults(class_name: str, options: Collection[str]) -> dict[str, Any]:
    subject = next(each for each in subjects.select("optimizers") if each.class_name == class_name)
    return {name: value for name, value in subject.defaults.items() if name in options}


def _nothing() -> None:
    pass
