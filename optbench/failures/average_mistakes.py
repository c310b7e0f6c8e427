"""Classes of mistakes of averages: what each would have made of the models. A table of data, as that of `mistakes`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from optbench.case import format_value
from optbench.subjects import Subject
from optbench.trials import means
from optbench.trials.error import Quantity, real, real_dtype, scaled, spacing, worst

# (what more is to be said of the class, the average that it would have given)
Explanations = Iterator[tuple[str, Tensor | None]]


@dataclass(frozen=True)
class AverageScene:
    """A tensor of the averaged model that came out wrong.

    Args:
        subject: the averager.
        average: what the average is.
        name: the tensor's name in the model.
        everything: what the average begins with, and the models that it was shown behind it; float64 or complex128.
        begun: how many models the first of them stands for.
        made_of: the model that the averager was made of.
        tensor: the tensor itself, which goes on changing.
        got: what it held.
        wanted: what it had to hold.
    """

    subject: Subject
    average: means.Average
    name: str
    everything: Tensor
    begun: int
    made_of: Tensor
    tensor: Tensor
    got: Tensor
    wanted: Quantity
    classes: ClassVar[tuple[tuple[str, Callable[[AverageScene], Explanations]], ...]] = ()
    counted: ClassVar[None] = None
    then: ClassVar[tuple[()]] = ()

    @property
    def truth(self) -> Tensor:
        return self.wanted.expected

    def of(
        self, average: means.Average | None = None, everything: Tensor | None = None, begun: int | None = None
    ) -> Tensor | None:
        """An average, complex values as pairs; None where there is nothing to take it of."""
        some = self.everything if everything is None else everything
        count = self.begun if begun is None else begun
        return real(means.fold(average or self.average, some, count)) if len(some) and count > -len(some) else None

    def explained_by(self, value: Tensor | None) -> bool:
        """Whether what the tensor holds is this, within the cap."""
        if value is None:
            return False
        dtype = real_dtype(self.got.dtype)
        # What a mistake gives may be larger than what is right, and its numbers further apart.
        unit = torch.maximum(self.wanted.unit, 2 * spacing(value, dtype))
        judged = replace(self.wanted, expected=value, unit=unit, limit=value.to(dtype).to(value.dtype))
        return worst(scaled(real(self.got), judged)) <= judged.cap


def _still(scene: AverageScene) -> Explanations:
    yield "", real(scene.everything[0])


def _newest(scene: AverageScene) -> Explanations:
    yield "", real(scene.everything[-1])


def _another_count(scene: AverageScene) -> Explanations:
    yield "one model too many is counted", scene.of(begun=scene.begun + 1)
    yield "one model too few is counted", scene.of(begun=scene.begun - 1)


def _first_averaged(scene: AverageScene) -> Explanations:
    yield "", scene.of(everything=torch.cat([scene.made_of[None], scene.everything]))


def _swapped(scene: AverageScene) -> Explanations:
    decay = getattr(scene.average, "decay", None)
    yield "", None if decay is None else scene.of(means.Exponential(1 - decay))


def _another_average(scene: AverageScene) -> Explanations:
    if scene.average is means.mean:
        yield "an exponential average with decay=0.999", scene.of(means.Exponential(0.999))
    else:
        yield "a mean", scene.of(means.mean)


def _ignored(scene: AverageScene) -> Explanations:
    for option in scene.subject.options:
        if option.name == "decay":
            for value in (option.default, *option.values):
                if value != getattr(scene.average, "decay", value):
                    yield f"as if decay={format_value(value)}", scene.of(means.Exponential(value))


# The first that explains what was observed is named.
AverageScene.classes = (
    ("average stands still", _still),
    ("newest model in place of an average", _newest),
    ("count off by one", _another_count),
    ("first model averaged, not copied", _first_averaged),
    ("weights swapped", _swapped),
    ("option ignored", _ignored),
    ("another average", _another_average),
)
