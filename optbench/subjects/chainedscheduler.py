"""ChainedScheduler's declaration."""

from ._declare import REQUIRED, Illegal, Option, Subject
from ._schedule import Part
from .sequentiallr import DECAY, WARM_UP

STEPS = (Part("constantlr", {"factor": 0.5, "total_iters": 4}), DECAY)
THREE = (WARM_UP, Part("steplr", {"step_size": 3, "gamma": 0.5}), Part("polynomiallr", {"total_iters": 12}))
COSINE = (Part("cosineannealinglr", {"T_max": 30}), Part("multisteplr", {"milestones": (2, 5)}))

SUBJECT = Subject(
    name="chainedscheduler",
    class_name="ChainedScheduler",
    kind="scheduler",
    module="lr_scheduler",
    summary="several schedulers at once, each scaling what the others left",
    papers=(),
    rule="lr(t) = initial_lr * (lr_1(t) / initial_lr) * ... * (lr_n(t) / initial_lr)",
    options=(
        Option("schedulers", REQUIRED, (STEPS, THREE, COSINE), "a list of schedulers of one optimizer", "the parts"),
    ),
    state=(),
    illegal=(
        Illegal({"schedulers": ()}, "ValueError", "at least one"),
        Illegal({"schedulers": (WARM_UP, Part("reducelronplateau", {}))}, "ValueError", "ReduceLROnPlateau"),
        Illegal({"schedulers": (WARM_UP, 7)}, "TypeError", "1"),
    ),
    base={"schedulers": STEPS},
    fullest={"schedulers": THREE},
    dtypes=("float64",),
    degenerate=({"schedulers": (DECAY,)}, {"schedulers": (DECAY, DECAY)}),
)
