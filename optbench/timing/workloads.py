"""Workloads, as data: how many tensors of which shapes an optimizer or an averager is timed on, and how many parameter
groups a scheduler. Importing this needs no torch."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import prod

from optbench.errors import UsageError, unknown
from optbench.subjects import Ground, Kind

Shape = tuple[int, ...]

STANDING = "standing"
MOVING = "moving"
ROWS = "rows"
_AUTOGRAD = "/autograd"


@dataclass(frozen=True)
class Workload:
    """Tensors to step, and whether their gradients stay where they are; or parameter groups to schedule.

    Args:
        name: as on the command line; with "/autograd" behind it where gradients move.
        shapes: shapes of the parameters; empty for a user's workload, whose tensors are known once it is loaded.
        gradients: "standing": the same gradient tensors every step. "moving": autograd makes new ones before every
            step, as after `zero_grad(set_to_none=True)`, so no address repeats from one step to the next. "rows": the
            same sparse tensors every step, each of one row in sixteen.
        meaning: one line.
        curve: a point of the throughput-against-size curve and nothing else.
        share: its part of a suite's time, relative to the others'.
        target: "path.py:function" or "module:function" of a user's workload.
        groups: number of parameter groups, of a workload for schedulers; 0: of any other.
    """

    name: str
    shapes: tuple[Shape, ...] = ()
    gradients: str = STANDING
    meaning: str = ""
    curve: bool = False
    share: float = 1.0
    target: str = ""
    groups: int = 0

    @property
    def elements(self) -> int:
        return sum(prod(shape) for shape in self.shapes)

    def fits(self, kind: Kind) -> bool:
        """Whether a subject of this kind can be timed on it: averaging takes tensors, but no gradients."""
        if kind == "scheduler" or self.groups:
            return kind == "scheduler" and bool(self.groups)
        return kind == "optimizer" or not self.name.endswith(_AUTOGRAD)


def _resnet50() -> tuple[Shape, ...]:
    """The 161 parameter shapes of torchvision's ResNet-50, 25.6M elements."""
    shapes: list[Shape] = [(64, 3, 7, 7), (64,), (64,)]
    channels = 64
    for width, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for block in range(blocks):
            for shape in ((width, channels, 1, 1), (width, width, 3, 3), (4 * width, width, 1, 1)):
                shapes += [shape, shape[:1], shape[:1]]
            if block == 0:
                shapes += [(4 * width, channels, 1, 1), (4 * width,), (4 * width,)]
            channels = 4 * width
    return (*shapes, (1000, 2048), (1000,))


def _transformer() -> tuple[Shape, ...]:
    """The matrices of two layers of width 128: 0.4M elements, as torch's products in bfloat16 take seconds for more."""
    width = 128
    return ((3 * width, width), (width, width), (4 * width, width), (width, 4 * width)) * 2


def _curve(exponent: int) -> Workload:
    size = 1 << exponent
    text = f"{size >> 20}M" if exponent >= 20 else f"{size >> 10}K"
    return Workload(f"1x{text}", ((size,),), meaning=f"one tensor of 2**{exponent} elements", curve=True, share=0.25)


def _many(name: str, shape: Shape, meaning: str, share: float) -> list[Workload]:
    shapes = (shape,) * 1000
    return [
        Workload(name, shapes, meaning=f"{meaning}, standing gradients", share=share),
        # Making the gradients takes longer than the step.
        Workload(name + _AUTOGRAD, shapes, MOVING, f"{meaning}, gradients made by autograd", share=2 * share),
    ]


_HEADLINE = [
    Workload("1x16M", ((1 << 24,),), meaning="one tensor of 2**24 elements: memory bandwidth", share=3.0),
    *_many("1000x64", (64,), "1,000 tensors of 64 elements: the host's overhead", 0.75),
    *_many("1000x1024", (32, 32), "1,000 tensors of 32x32 elements: a small model", 1.0),
    Workload("resnet50", _resnet50(), MOVING, "the shapes of ResNet-50, gradients made by autograd", share=3.0),
    Workload("transformer", _transformer(), meaning="a tiny transformer's matrices, standing gradients", share=3.0),
    Workload("embeddings", ((1024, 64),) * 8 + ((1 << 17, 64),), ROWS,
             "eight small tables and a large one, sparse gradients of one row in sixteen"),
]
_CURVE = [_curve(exponent) for exponent in range(10, 24, 2)]
# So many take milliseconds a step.
_SLOW_GROUPS = 10_000


def _groups(count: int) -> Workload:
    text = "one parameter group" if count == 1 else f"{count:,} parameter groups"
    name, share = f"{count}group{'s' * (count > 1)}", 3.0 if count >= _SLOW_GROUPS else 1.0
    return Workload(name, meaning=f"{text} of an optimizer: a scheduler's step", share=share, groups=count)


# The headline first: a summary names it.
_GROUPS = [_groups(count) for count in (1000, 1, 100, 10_000)]

WORKLOADS: dict[str, Workload] = {workload.name: workload for workload in (*_HEADLINE, *_CURVE, *_GROUPS)}

# The last point of the curve is the headline's 1x16M.
SUITES: dict[str, tuple[str, ...]] = {
    "quick": ("1x16M", "1000x64", "1000x64/autograd", "1x1K", "1x16K", "1x256K", "1x4M"),
    "full": (
        "1x16M", "1000x64", "1000x64/autograd", "1000x1024", "1000x1024/autograd", "resnet50",
        *(workload.name for workload in _CURVE),
    ),
}  # fmt: skip
_SCHEDULED = tuple(workload.name for workload in _GROUPS)
_SUITES: dict[Ground, dict[str, tuple[str, ...]]] = {
    "optimizer": SUITES,
    "matrices": dict.fromkeys(SUITES, ("transformer", "1000x1024")),
    "rows": dict.fromkeys(SUITES, ("embeddings",)),
    "scheduler": {"quick": _SCHEDULED, "full": _SCHEDULED},
    "averager": {
        "quick": ("1x16M", "1000x64", "resnet50", "1x1K", "1x16K", "1x256K", "1x4M"),
        "full": tuple(name for name in SUITES["full"] if not name.endswith(_AUTOGRAD)),
    },
}
_FITTING: dict[Kind, str] = {
    "optimizer": "on tensors with gradients: 1x16M, 1000x64/autograd, resnet50, COUNTxSIZE or path.py:function",
    "scheduler": f"on parameter groups: {', '.join(_SCHEDULED)} or COUNTgroups",
    "averager": "on tensors without gradients: 1x16M, 1000x64, resnet50, COUNTxSIZE or path.py:function",
}

# Seconds of timing for one algorithm, unless the caller says otherwise.
SUITE_SECONDS = {"quick": 5.0, "full": 120.0}

_GRAMMAR = re.compile(r"([1-9]\d*)x([1-9]\d*)([KM]?)(/autograd)?")
_GROUPS_GRAMMAR = re.compile(r"([1-9]\d*)groups?")
_MOST_GROUPS = 1_000_000
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20}
_MOST_ELEMENTS = 1 << 33


def parse(text: str) -> Workload:
    """The workload that `--workload` names.

    Args:
        text: a name of `WORKLOADS`; COUNTxSIZE, optionally with K or M (powers of two) and "/autograd"; COUNTgroups; or
            "path/train.py:build_model" (or "module:function"), a function without arguments that returns an
            nn.Module or an iterable of parameters.

    Raises:
        UsageError: it is none of these.

    Example:
        >>> parse("8x4K/autograd").elements
        32768
    """
    text = text.strip()
    if text in WORKLOADS:
        return WORKLOADS[text]
    if ":" in text:
        return _parse_target(text)
    found = _GROUPS_GRAMMAR.fullmatch(text)
    if found:
        return _parse_groups(text, int(found[1]))
    found = _GRAMMAR.fullmatch(text)
    if not found:
        raise unknown("workload", text, WORKLOADS, "optbench list workloads")
    count, size = int(found[1]), int(found[2]) * _UNITS[found[3]]
    if count * size > _MOST_ELEMENTS:
        raise UsageError(f"workload {text!r} has {count * size:,} elements: at most {_MOST_ELEMENTS:,} can be timed.")
    gradients = MOVING if found[4] else STANDING
    tensors = "one tensor" if count == 1 else f"{count:,} tensors"
    meaning = f"{tensors} of {size:,} elements, gradients {gradients}"
    return Workload(text, ((size,),) * count, gradients, meaning)


def _parse_groups(text: str, count: int) -> Workload:
    if count > _MOST_GROUPS:
        raise UsageError(f"workload {text!r} has {count:,} parameter groups: at most {_MOST_GROUPS:,} can be timed.")
    return _groups(count)


def _parse_target(text: str) -> Workload:
    target = text.removesuffix(_AUTOGRAD)
    where, _, function = target.rpartition(":")
    if not where or not function.isidentifier():
        raise UsageError(
            f"workload {text!r} is not of the form path.py:function or module:function, as in train.py:build_model."
        )
    gradients = MOVING if text.endswith(_AUTOGRAD) else STANDING
    return Workload(text, (), gradients, f"the parameters of {target}", share=2.0, target=target)


def select(
    names: Sequence[str | Workload], suite: str, kind: Kind = "optimizer", ground: Ground | None = None
) -> list[Workload]:
    """The workloads of a run for subjects of one kind: those named that fit it, or the suite's for their ground.

    Raises:
        UsageError: a name or a suite that does not exist, or none of those named fits.
    """
    if suite not in SUITES:
        raise unknown("suite", suite, SUITES, "optbench list workloads")
    chosen = [name if isinstance(name, Workload) else parse(name) for name in names or _SUITES[ground or kind][suite]]
    fitting = {workload.name: workload for workload in chosen if workload.fits(kind)}
    if not fitting:
        raise UsageError(_unfit(chosen[0].name, [kind]))
    return list(fitting.values())


def check(names: Sequence[str | Workload], suite: str, kinds: Collection[Kind]) -> None:
    """Refuse a choice of which a part would be left out without a word.

    Raises:
        UsageError: a name that does not exist, or fits none of the kinds; or a kind that none of the names fits.
    """
    for name in names:
        workload = name if isinstance(name, Workload) else parse(name)
        if not any(workload.fits(kind) for kind in kinds):
            raise UsageError(_unfit(workload.name, kinds))
    for kind in kinds:
        select(names, suite, kind)


def _unfit(name: str, kinds: Collection[Kind]) -> str:
    told = "; ".join(f"{'an' if kind[0] in 'ao' else 'a'} {kind} is timed {_FITTING[kind]}" for kind in kinds)
    return f"workload {name!r} does not fit: {told}."
