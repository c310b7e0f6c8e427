"""What the trials of all kinds of subject have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from optbench.case import Case
from optbench.registry import Implementation, Oracle
from optbench.subjects import Subject
from optbench.trials.checker import Checker

T = TypeVar("T")
# Wrong quantities that are kept: enough to tell one mistake from another.
SCENES = 6


class Unsupported(Exception):
    """The implementation documents that it does not take this case; the message is the reason."""


@dataclass
class TrialBase:
    """One law's work on one case of one implementation.

    Args:
        subject: the algorithm's declaration.
        implementation: what is judged.
        case: what it is judged on.
        checker: takes the comparisons.
        state_alias: foreign name -> declared name: of optimizers' state, and of an averager's attributes.
        options: the options that foreign code takes, None for any.
        named: the options that foreign code's constructor names: each is given, because its default may be another.
        oracle: who judges numbers; None: one of ours.
        scenes: what came out wrong, with all that is needed to find out why; see `optbench.failures.diagnosis`.
        journal: what the law does, while somebody listens; see `optbench.failures.scripts.journal`.
    """

    subject: Subject
    implementation: Implementation
    case: Case
    checker: Checker
    state_alias: Mapping[str, str]
    options: frozenset[str] | None = None
    named: frozenset[str] = frozenset()
    oracle: Oracle | None = None
    scenes: list[Any] = field(default_factory=list)
    journal: Any = None

    def takes(self, option: str) -> bool:
        """Whether the implementation under test has this option."""
        return self.options is None or option in self.options

    def keep(self, word: str, value: T, text: str = "") -> T:
        """A value that a script knows by this word; it came about as the text says, "": it is written down."""
        kept: T = self.journal.keep(word, value, text) if self.journal else value
        return kept

    def tell(self, text: str, doing: Callable[[], T]) -> T:
        """Do what a script does by this text."""
        done: T = self.journal.tell(text, doing) if self.journal else doing()
        return done

    def make(self, word: str, build: Callable[[], T], text: str | Callable[[Any], str]) -> T:
        """What is built, known by this word; a text's words are the latest of their kind."""
        if not self.journal:
            return build()
        wrote = self.journal.resolved(text) if isinstance(text, str) else text(self.journal)
        made: T = self.journal.make(word, wrote, build)
        return made
