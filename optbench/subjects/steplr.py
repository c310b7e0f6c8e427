"""StepLR's declaration."""

from ._declare import REQUIRED, Option, Subject

GAMMA = Option("gamma", 0.1, (0.1, 0.5, 1.25), "a float", "the factor")

SUBJECT = Subject(
    name="steplr",
    class_name="StepLR",
    kind="scheduler",
    module="lr_scheduler",
    summary="times gamma every step_size epochs",
    papers=(),
    rule="lr(t) = initial_lr * gamma**floor(t / step_size)",
    options=(Option("step_size", REQUIRED, (3, 1, 5), "step_size > 0", "epochs between two decays"), GAMMA),
    state=(),
    base={"step_size": 3},
    fullest={"step_size": 4, "gamma": 0.5},
    dtypes=("float64",),
    degenerate=(
        {"step_size": 0}, {"step_size": 1}, {"step_size": 2.5}, {"step_size": 10**9}, {"gamma": 0.0}, {"gamma": 1.0},
    ),
)  # fmt: skip
