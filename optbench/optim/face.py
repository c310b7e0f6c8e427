"""Classes that only choose: calling one gives an object of the tier that its arguments select."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

from .. import subjects

TIERS = {"reference": "optbench.reference", "foreach": "optbench.impls.foreach", "fused": "optbench.impls.fused"}
_DOC = """{0.class_name}, of the tier that {1} names: {0.summary}.

Args: those of torch.{2}, which this signature shows; `optbench show {0.name}` tells what each is for.

Raises: what the tier raises.

Example:
{3}

Source: {4}.
"""


class Face(type):
    """The type of names that choose. A module of them derives its own, and says which tier arguments select."""

    # The submodule of torch.optim, and of every tier's package, where the classes live.
    submodule = ""

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> Face:
        for base in bases:
            if isinstance(base, Face):
                home = ".".join(filter(None, (TIERS["reference"], base.submodule)))
                raise TypeError(
                    f"{name} cannot derive from {base.__module__}.{base.__name__}, which only chooses a tier: "
                    f"derive from a tier's class, such as {home}.{base.__name__}"
                )
        return super().__new__(cls, name, bases, namespace)

    def __call__(cls, *arguments: Any, **named: Any) -> Any:
        try:
            options = cls.__signature__.bind(*arguments, **named).arguments
        except TypeError as error:
            raise TypeError(f"{cls.__name__}: {error}") from None
        tier = cls.choose(options)
        return cls.of_tier(tier)(**options)

    def choose(cls, options: dict[str, Any]) -> str:
        """The tier for these arguments, by name; an iterator among them is replaced by what it gives."""
        raise NotImplementedError

    def of_tier(cls, tier: str) -> Any:
        """The tier's class of this name; the tier is imported when it is first chosen."""
        home = ".".join(filter(None, (TIERS[tier], cls.submodule)))
        return getattr(importlib.import_module(home), cls.__name__)

    def __instancecheck__(cls, instance: Any) -> bool:
        homes = [".".join(filter(None, (tier, cls.submodule))) for tier in TIERS.values()]
        return any(
            base.__name__ == cls.__name__ and base.__module__.rpartition(".")[0] in homes
            for base in type(instance).__mro__
        )

    @property
    def __signature__(cls) -> inspect.Signature:
        return inspect.signature(cls.of_tier("reference"))


def documented(subject: subjects.Subject, page: str, example: str) -> str:
    """The docstring of a name that chooses.

    Args:
        subject: its declaration.
        page: the module that tells which tier is chosen.
        example: lines of a doctest.
    """
    where = ".".join(filter(None, ("optim", subject.module, subject.class_name)))
    lines = "\n".join(f"    {line}" for line in example.splitlines())
    paper = next((f"{paper.authors}, {paper.year}, {paper.url}" for paper in subject.papers), f"torch.{where}")
    return _DOC.format(subject, page, where, lines, paper)
