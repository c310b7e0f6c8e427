"""ReduceLROnPlateau's declaration."""

from ._declare import Illegal, Option, Subject
from ._schedule import Each

SUBJECT = Subject(
    name="reducelronplateau",
    class_name="ReduceLROnPlateau",
    kind="scheduler",
    module="lr_scheduler",
    summary="times factor when a metric has not improved for more than patience epochs; no function of the epoch",
    papers=(),
    rule="""\
better = metric < best * (1 - threshold), metric < best - threshold     min: rel, abs
       = metric > best * (1 + threshold), metric > best + threshold     max: rel, abs
bad = 0 if better else bad + 1
bad = 0                                 in the `cooldown` epochs after a reduction
lr = max(lr*factor, min_lr), bad = 0    if bad > patience, and lr falls by more than eps""",
    options=(
        Option("mode", "min", ("min", "max"), "one of these", "what is better"),
        Option("factor", 0.1, (0.1, 0.5), "factor < 1", "the factor"),
        Option("patience", 10, (10, 0, 2), "an integer >= 0", "epochs without improvement that are let pass"),
        Option("threshold", 1e-4, (1e-4, 0.1, 0.0), "a float", "how much better is better"),
        Option("threshold_mode", "rel", ("rel", "abs"), "one of these", "relative to the best, or absolute"),
        Option("cooldown", 0, (0, 2), "an integer >= 0", "epochs after a reduction in which nothing counts"),
        Option("min_lr", 0, (0, Each((0.001, 0.02))), "a float, or a list of one for each group", "the lowest rate"),
        Option("eps", 1e-8, (1e-8, 0.01), "a float", "the smallest reduction that is made"),
    ),
    state=(),
    illegal=(
        Illegal({"factor": 1.0}, "ValueError", "1.0"),
        Illegal({"factor": 1.5}, "ValueError", "1.5"),
        Illegal({"mode": "best"}, "ValueError", "best"),
        Illegal({"threshold_mode": "square"}, "ValueError", "square"),
        Illegal({"min_lr": Each((0.1, 0.2, 0.3))}, "ValueError", "3"),
    ),
    base={"patience": 2},
    fullest={"patience": 1, "factor": 0.5, "cooldown": 1, "min_lr": Each((0.001, 0.02))},
    dtypes=("float64",),
    degenerate=(
        {"patience": 0}, {"factor": 0.0}, {"min_lr": 1.0}, {"eps": 10.0}, {"threshold": 0.0}, {"patience": 10**9},
        {"cooldown": 10**9, "patience": 0},
        # The first group's rate would fall by just that.
        {"eps": 0.15, "factor": 0.5, "patience": 0},
        # And here by a little more.
        {"eps": 0.15 * (1 - 2**-12), "factor": 0.5, "patience": 0},
    ),
)  # fmt: skip
