"""SWALR's declaration."""

from ._declare import REQUIRED, Illegal, Option, Paper, Subject
from ._schedule import Each

IZMAILOV = Paper(
    "P. Izmailov, D. Podoprikhin, T. Garipov, D. Vetrov, A. G. Wilson",
    "Averaging Weights Leads to Wider Optima and Better Generalization",
    2018,
    "https://arxiv.org/abs/1803.05407",
)

SUBJECT = Subject(
    name="swalr",
    class_name="SWALR",
    kind="scheduler",
    module="swa_utils",
    summary="from the rate that stands to a constant one, for weight averaging",
    papers=(IZMAILOV,),
    rule="""\
a(t) = s                                linear, s = min(1, t / anneal_epochs)
     = (1 - cos(pi * s)) / 2            cos
lr(t) = (1 - a(t)) * lr_before + a(t) * swa_lr""",
    options=(
        Option("swa_lr", REQUIRED, (0.05, Each((0.02, 0.2))), "a float, or a list of one for each group", "the last"),
        Option("anneal_epochs", 10, (10, 4, 1), "an integer >= 0", "epochs until swa_lr is reached"),
        Option("anneal_strategy", "cos", ("cos", "linear"), "one of these", "the form of the way"),
    ),
    state=(),
    illegal=(
        Illegal({"anneal_strategy": "exp"}, "ValueError", "exp"),
        Illegal({"anneal_epochs": -1}, "ValueError", "-1"),
        Illegal({"anneal_epochs": 2.5}, "ValueError", "2.5"),
        Illegal({"swa_lr": Each((0.1, 0.2, 0.3))}, "ValueError", "3"),
    ),
    base={"swa_lr": 0.05},
    fullest={"swa_lr": Each((0.02, 0.2)), "anneal_epochs": 6, "anneal_strategy": "linear"},
    dtypes=("float64",),
    degenerate=(
        {"anneal_epochs": 0}, {"anneal_epochs": 0, "anneal_strategy": "linear"}, {"anneal_epochs": 0, "swa_lr": 0.5},
        {"anneal_epochs": 1}, {"anneal_epochs": 10**9}, {"swa_lr": 0.0},
    ),
)  # fmt: skip
