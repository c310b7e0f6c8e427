"""How a class of another package stands for one of torch.optim's. Needs neither torch nor that package."""

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any


@dataclass(frozen=True)
class Peer:
    """A class that claims to be the algorithm of one of torch.optim's, and what its arguments are there.

    Args:
        target: "package.module:Class".
        options: its constructor argument -> torch's. What is not here is never passed.
        given: arguments that are always passed, because they make it torch's algorithm.
        group: entries that are put into each group, because they make it torch's algorithm there.
        only: torch's option -> the values under which both are the same; others differ by a documented convention.
        dtypes: of the parameters, where both are the same; (): all that torch's takes.
        state: key in `optimizer.state[p]` -> torch's; a key whose meaning is another is renamed to what it means.
        differs: documented differences of convention, a line each.

    Example:
        >>> lion = Peer("timm.optim.lion:Lion", {"lr": "lr", "betas": "betas"}, given={"caution": False})
        >>> lion.arguments({"lr": 0.1})
        {'caution': False, 'lr': 0.1}
    """

    target: str
    options: Mapping[str, str]
    given: Mapping[str, Any] = field(default_factory=dict)
    group: Mapping[str, Any] = field(default_factory=dict)
    only: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    dtypes: tuple[str, ...] = ()
    state: Mapping[str, str] = field(default_factory=dict)
    differs: tuple[str, ...] = ()

    def arguments(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """torch's options under the names that the constructor takes, with what is always given."""
        return {**self.given, **self._renamed(options)}

    def groups(self, params: Iterable[Any]) -> list[Any]:
        """Parameters or groups of them as the constructor takes them, options of groups under its names."""
        given = list(params)
        if not any(isinstance(each, dict) for each in given):
            return [{"params": given, **self.group}] if self.group else given
        return [self.entries(each) for each in given]

    def entries(self, group: Mapping[str, Any]) -> dict[str, Any]:
        """A group of torch's as the class takes it."""
        return {**self.group, **self._renamed(group)}

    def load(self) -> type[Any]:
        """The class itself.

        Raises:
            ImportError: its package is not installed, or has no such module.
        """
        module, _, name = self.target.partition(":")
        return getattr(importlib.import_module(module), name)  # type: ignore[no-any-return]

    def factory(self) -> Callable[..., Any]:
        """What is called as torch's class is, and makes an object of the class."""
        return partial(_build, self, self.load())

    def _renamed(self, options: Mapping[str, Any]) -> dict[str, Any]:
        own = {theirs: argument for argument, theirs in self.options.items()}
        return {own.get(name, name): value for name, value in options.items()}


def same(*names: str, **renamed: str) -> dict[str, str]:
    """Arguments that are called as torch's are, and after them `theirs="torch's"`.

    Example:
        >>> same("lr", "eps", schedule_decay="momentum_decay")
        {'lr': 'lr', 'eps': 'eps', 'schedule_decay': 'momentum_decay'}
    """
    return {**{name: name for name in names}, **renamed}


def _build(peer: Peer, cls: type[Any], params: Iterable[Any], **options: Any) -> Any:
    optimizer = cls(peer.groups(params), **peer.arguments(options))
    if peer.group or any(own != theirs for own, theirs in peer.options.items()):
        # Groups that join later are told in torch's names too.
        add = optimizer.add_param_group
        optimizer.add_param_group = lambda group: add(peer.entries(group))
    return optimizer
