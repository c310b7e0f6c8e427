"""Classes of mistakes of schedulers: what rate each would have given. A table of data, as that of `mistakes`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from optbench.case import format_value

if TYPE_CHECKING:
    from optbench.trials.schedulers import Trial

# (what more is to be said of the class, the rate it would have given)
Explanations = Iterator[tuple[str, float | None]]
_NEAR = 1e-12


@dataclass(frozen=True)
class RateScene:
    """A rate that came out wrong.

    Args:
        trial: the trial that knows the formula.
        epoch: when.
        group: number of the parameter group.
        got: the rate.
    """

    trial: Trial
    epoch: float
    group: int
    got: float
    classes: ClassVar[tuple[tuple[str, Callable[[RateScene], Explanations]], ...]] = ()
    counted: ClassVar[None] = None
    then: ClassVar[tuple[()]] = ()

    @property
    def truth(self) -> float | None:
        return self.at(self.epoch)

    def at(self, epoch: float, group: int | None = None, **options: Any) -> float | None:
        """The rate of a group at an epoch, under other options; None where there is none."""
        chosen = {**self.trial.case.options, **options}
        try:
            return self.trial.expected(epoch, options=chosen)[self.group if group is None else group]
        except Exception:
            # Before the first epoch, beyond the last one, or under options that do not go together.
            return None

    def explained_by(self, rate: float | None) -> bool:
        """Whether the rate is this one."""
        return rate is not None and abs(self.got - rate) <= _NEAR * abs(rate)


def _still(scene: RateScene) -> Explanations:
    yield "", scene.at(0) if scene.epoch else None


def _another_epoch(scene: RateScene) -> Explanations:
    yield "it lags behind", scene.at(scene.epoch - 1) if scene.epoch else None
    yield "it is ahead", scene.at(scene.epoch + 1)


def _another_group(scene: RateScene) -> Explanations:
    for group in range(len(scene.trial.expected(0))):
        if group != scene.group:
            yield "", scene.at(scene.epoch, group)


def _ignored(scene: RateScene) -> Explanations:
    full = scene.trial.full()
    for option in scene.trial.subject.options:
        for value in (option.default, *option.values):
            if value != full[option.name]:
                yield f"as if {option.name}={format_value(value)}", scene.at(scene.epoch, **{option.name: value})


# The first that explains what was observed is named.
RateScene.classes = (
    ("rate stands still", _still),
    ("epoch off by one", _another_epoch),
    ("wrong group's rate", _another_group),
    ("option ignored", _ignored),
)
