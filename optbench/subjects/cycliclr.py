"""CyclicLR's declaration."""

import math

from ._declare import REQUIRED, Illegal, Option, Subject
from ._schedule import CLR, Constant, Each, Inverse

SUBJECT = Subject(
    name="cycliclr",
    class_name="CyclicLR",
    kind="scheduler",
    module="lr_scheduler",
    summary="up and down between two rates, and the momentum down and up",
    papers=(CLR,),
    rule="""\
cycle = floor(1 + t / (step_size_up + step_size_down))
height = share of the way up, or of the way down that is left, in this cycle
scale = 1                               triangular
      = 1 / 2**(cycle - 1)              triangular2
      = gamma**t                        exp_range
      = scale_fn(cycle or t)            where it is given
lr(t) = base_lr + (max_lr - base_lr) * height * scale
momentum(t) = max_momentum - (max_momentum - base_momentum) * height * scale""",
    options=(
        Option("base_lr", REQUIRED, (0.01, Each((0.01, 0.002))), "a float, or a list of one for each group",
               "the lowest rate, which becomes the initial one"),
        Option("max_lr", REQUIRED, (0.1, Each((0.1, 0.3))), "a float, or a list of one for each group", "the highest"),
        Option("step_size_up", 2000, (4, 3, 1), "a number > 0", "epochs on the way up"),
        Option("step_size_down", None, (None, 5, 2), "a number >= 0 or None: as up", "epochs on the way down"),
        Option("mode", "triangular", ("triangular", "triangular2", "exp_range"), "one of these", "how it is scaled"),
        Option("gamma", 1.0, (1.0, 0.9), "a float", "of exp_range", needs={"mode": "exp_range"}),
        Option("scale_fn", None, (None, Inverse()), "a function or None", "instead of mode"),
        Option("scale_mode", "cycle", ("cycle", "iterations"), "one of these", "what scale_fn is given",
               needs={"scale_fn": Inverse()}),
        Option("cycle_momentum", True, (True, False), "bool", "whether momentum, or beta1, is cycled too"),
        Option("base_momentum", 0.8, (0.8, Each((0.8, 0.7))), "a float, or a list of one for each group", "the lowest"),
        Option("max_momentum", 0.9, (0.9, Each((0.9, 0.95))), "a float, or a list of one for each group",
               "the highest"),
    ),
    state=(),
    illegal=(
        Illegal({"mode": "square"}, "ValueError", "square"),
        Illegal({"max_lr": Each((0.1, 0.2, 0.3))}, "ValueError", "3"),
        Illegal({"base_lr": Each((0.1, 0.2, 0.3))}, "ValueError", "3"),
        Illegal({"base_momentum": Each((0.1, 0.2, 0.3))}, "ValueError", "3"),
        Illegal({"step_size_up": -2}, "ValueError", "-2"),
        Illegal({"step_size_down": -2}, "ValueError", "-2"),
        Illegal({"step_size_up": -3, "step_size_down": 5}, "ValueError", "-3"),
        Illegal({"step_size_up": math.inf}, "ValueError", "inf"),
        Illegal({"step_size_down": math.inf}, "ValueError", "inf"),
        Illegal({"step_size_up": 0, "step_size_down": 3}, "ValueError", "0"),
    ),
    base={"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 4},
    fullest={"step_size_up": 3, "step_size_down": 4, "mode": "triangular2", "max_lr": Each((0.1, 0.3))},
    dtypes=("float64",),
    absolute=True,
    degenerate=(
        {"step_size_up": 0, "step_size_down": 3}, {"step_size_down": 0}, {"step_size_up": 0}, {"step_size_up": 1},
        {"step_size_up": 2.5}, {"step_size_up": 10**9}, {"max_lr": 0.01}, {"mode": "exp_range", "gamma": 0.0},
        {"mode": "none", "scale_fn": Inverse()}, {"scale_fn": Constant(-0.5)}, {"scale_fn": Constant(1.5)},
    ),
)  # fmt: skip
