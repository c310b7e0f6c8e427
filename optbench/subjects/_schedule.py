"""Values that options of schedulers have besides numbers: functions, values a group, parts of a composite.

They are plain data with short names, because cases carry them to worker processes and into their ids.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from optbench.case import format_value

from ._declare import Option, Paper


@dataclass(frozen=True)
class Power:
    """rate**epoch."""

    rate: float

    def __call__(self, epoch: float) -> float:
        return float(self.rate**epoch)

    def __str__(self) -> str:
        return f"power:{self.rate:g}"


@dataclass(frozen=True)
class Ramp:
    """Rises from 1/length to 1."""

    length: int

    def __call__(self, epoch: float) -> float:
        return min(1.0, (epoch + 1) / self.length)

    def __str__(self) -> str:
        return f"ramp:{self.length}"


@dataclass(frozen=True)
class Constant:
    """The same at every epoch."""

    value: float

    def __call__(self, epoch: float) -> float:
        return self.value

    def __str__(self) -> str:
        return f"constant:{self.value:g}"


@dataclass(frozen=True)
class Inverse:
    """1 / (1 + epoch)."""

    def __call__(self, epoch: float) -> float:
        return 1.0 / (1.0 + epoch)

    def __str__(self) -> str:
        return "inverse"


@dataclass(frozen=True, eq=False)
class Table:
    """Factors in a list, which a state_dict has, of which the last one stays."""

    factors: list[float]

    def __call__(self, epoch: float) -> float:
        return self.factors[min(int(epoch), len(self.factors) - 1)]

    def __str__(self) -> str:
        return "table:" + ":".join(f"{factor:g}" for factor in self.factors)


@dataclass(eq=False)
class Tally:
    """0.8**epoch by an object that counts its calls, which a state_dict has."""

    calls: int = 0

    def __call__(self, epoch: float) -> float:
        self.calls += 1
        return float(0.8**epoch)

    def __str__(self) -> str:
        return "tally"


@dataclass(frozen=True)
class Plain:
    """Passed as a plain Python function, which a state_dict leaves out, rather than as an object that can be called."""

    of: Callable[[float], float]

    def __call__(self, epoch: float) -> float:
        return self.of(epoch)

    def __str__(self) -> str:
        return f"function:{self.of}"


@dataclass(frozen=True)
class Builtin:
    """2**epoch, passed as Python's own function, which has no attributes that a state_dict could keep."""

    @property
    def of(self) -> Callable[[float], float]:
        return math.exp2

    def __call__(self, epoch: float) -> float:
        return self.of(epoch)

    def __str__(self) -> str:
        return "builtin"


@dataclass(frozen=True)
class Each:
    """A value for each group, passed as a list."""

    values: tuple[Any, ...]

    def __str__(self) -> str:
        return "each:" + ":".join(format_value(value) for value in self.values)


@dataclass(frozen=True)
class Part:
    """A scheduler that a composite is made of.

    Args:
        subject: name of its declaration.
        options: its hyperparameters.
    """

    subject: str
    options: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.subject}[{';'.join(f'{name}={format_value(value)}' for name, value in self.options.items())}]"


TOTAL_ITERS = Option("total_iters", 5, (5, 1, 8), "an integer >= 0", "number of epochs until it is over")
ETA_MIN = Option("eta_min", 0.0, (0.0, 0.001, 0.06), "a float", "the lowest rate")
SGDR = Paper("I. Loshchilov, F. Hutter", "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017,
             "https://arxiv.org/abs/1608.03983")  # fmt: skip
CLR = Paper("L. N. Smith", "Cyclical Learning Rates for Training Neural Networks", 2017,
            "https://arxiv.org/abs/1506.01186")  # fmt: skip
GOYAL = Paper("P. Goyal et al.", "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour", 2017,
              "https://arxiv.org/abs/1706.02677")  # fmt: skip
