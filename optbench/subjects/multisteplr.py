"""MultiStepLR's declaration."""

from ._declare import REQUIRED, Option, Subject
from .steplr import GAMMA

SUBJECT = Subject(
    name="multisteplr",
    class_name="MultiStepLR",
    kind="scheduler",
    module="lr_scheduler",
    summary="times gamma at each milestone; StepLR's are equally far apart",
    papers=(),
    rule="lr(t) = initial_lr * gamma**(number of milestones <= t)",
    options=(
        Option("milestones", REQUIRED, ((2, 5), (3, 3, 7), (6, 2)), "epochs, in any order", "when it decays"),
        GAMMA,
    ),
    state=(),
    base={"milestones": (2, 5)},
    fullest={"milestones": (2, 5, 5, 9), "gamma": 0.5},
    dtypes=("float64",),
    degenerate=(
        {"milestones": ()}, {"milestones": (0,)}, {"milestones": (0, 0, 3)}, {"milestones": (2.5,)},
        {"milestones": (10**12,)}, {"gamma": 0.0},
    ),
)  # fmt: skip
