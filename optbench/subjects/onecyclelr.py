"""OneCycleLR's declaration."""

from ._declare import REQUIRED, Illegal, Option, Paper, Subject
from ._schedule import Each

SUBJECT = Subject(
    name="onecyclelr",
    class_name="OneCycleLR",
    kind="scheduler",
    module="lr_scheduler",
    summary="one way up to max_lr and one far down, and the momentum down and up",
    papers=(Paper("L. N. Smith, N. Topin", "Super-Convergence: Very Fast Training of Neural Networks Using Large "
                  "Learning Rates", 2018, "https://arxiv.org/abs/1708.07120"),),
    rule="""\
initial_lr = max_lr / div_factor
min_lr = initial_lr / final_div_factor
up: initial_lr to max_lr                until t = pct_start*total_steps - 1
down: max_lr to min_lr                  until t = total_steps - 1
with three_phase, down: max_lr to initial_lr until t = 2*pct_start*total_steps - 2, then initial_lr to min_lr
between, by the share s of a phase:
lr = end + (start - end) * (1 + cos(pi * s)) / 2    anneal_strategy = cos
lr = start + (end - start) * s                      anneal_strategy = linear
momentum: the same from max_momentum to base_momentum and back""",
    options=(
        Option("max_lr", REQUIRED, (0.1, Each((0.1, 0.3))), "a float, or a list of one for each group", "the highest"),
        Option("total_steps", None, (20, None), "an integer > 0 or None", "length of the cycle"),
        Option("epochs", None, (None, 3), "an integer > 0 or None", "times steps_per_epoch, where total_steps is None"),
        Option("steps_per_epoch", None, (None, 6), "an integer > 0 or None", "see epochs"),
        Option("pct_start", 0.3, (0.3, 0.5, 0.25), "a float in [0, 1]", "share of the cycle that goes up"),
        Option("anneal_strategy", "cos", ("cos", "linear"), "one of these", "the form of a phase"),
        Option("cycle_momentum", True, (True, False), "bool", "whether momentum, or beta1, is cycled too"),
        Option("base_momentum", 0.85, (0.85, Each((0.8, 0.7))), "a float, or a list of one for each group",
               "the lowest"),
        Option("max_momentum", 0.95, (0.95, Each((0.9, 0.99))), "a float, or a list of one for each group",
               "the highest"),
        Option("div_factor", 25.0, (25.0, 10.0), "a float > 0", "max_lr / initial_lr"),
        Option("final_div_factor", 1e4, (1e4, 10.0), "a float > 0", "initial_lr / min_lr"),
        Option("three_phase", False, (False, True), "bool", "a phase of its own for the way below initial_lr"),
    ),
    state=(),
    forbidden=((("total_steps", None), ("epochs", None)), (("total_steps", None), ("steps_per_epoch", None))),
    illegal=(
        Illegal({"total_steps": 0}, "ValueError", "0"),
        Illegal({"total_steps": -3}, "ValueError", "-3"),
        Illegal({"total_steps": 2.5}, "ValueError", "2.5"),
        Illegal({"total_steps": None, "epochs": 0, "steps_per_epoch": 5}, "ValueError", "0"),
        Illegal({"total_steps": None, "epochs": 3, "steps_per_epoch": -7}, "ValueError", "-7"),
        Illegal({"total_steps": None, "epochs": 3}, "ValueError", "total_steps"),
        Illegal({"total_steps": None, "steps_per_epoch": 6}, "ValueError", "total_steps"),
        Illegal({"pct_start": 1}, "ValueError", "1"),
        Illegal({"pct_start": 1.5}, "ValueError", "1.5"),
        Illegal({"pct_start": -0.25}, "ValueError", "-0.25"),
        Illegal({"anneal_strategy": "exp"}, "ValueError", "exp"),
        Illegal({"max_lr": Each((0.1, 0.2, 0.3))}, "ValueError", "3"),
    ),
    base={"max_lr": 0.1, "total_steps": 20},
    fullest={"max_lr": Each((0.1, 0.3)), "total_steps": 10, "three_phase": True, "anneal_strategy": "linear"},
    dtypes=("float64",),
    absolute=True,
    degenerate=(
        {"total_steps": 1}, {"total_steps": 2}, {"total_steps": 3}, {"pct_start": 0.0}, {"pct_start": 1.0},
        {"total_steps": 10, "pct_start": 0.1}, {"total_steps": 2, "pct_start": 0.5},
        {"total_steps": 1, "three_phase": True}, {"total_steps": 2, "pct_start": 0.5, "three_phase": True},
        {"total_steps": 10, "pct_start": 0.5, "three_phase": True}, {"total_steps": 10**9}, {"div_factor": 1.0},
        {"anneal_strategy": "linear", "total_steps": 5}, {"div_factor": 0.0}, {"final_div_factor": 0.0},
        {"total_steps": 8, "pct_start": 1.0}, {"total_steps": 1, "pct_start": 1.0},
        {"total_steps": 1, "pct_start": 1.0, "anneal_strategy": "linear"},
        {"total_steps": 1, "anneal_strategy": "linear"},
    ),
)  # fmt: skip
