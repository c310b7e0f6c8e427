"""SequentialLR's declaration."""

from ._declare import REQUIRED, Illegal, Option, Subject
from ._schedule import Constant, Part, Plain, Power

WARM_UP = Part("linearlr", {"total_iters": 4})
DECAY = Part("exponentiallr", {"gamma": 0.9})
COSINE = Part("cosineannealinglr", {"T_max": 10})
TWO = (WARM_UP, COSINE)
# The first rate of the second part is not that of the first.
THREE = (DECAY, Part("constantlr", {"factor": 0.5, "total_iters": 20}), Part("steplr", {"step_size": 3}))
ABSOLUTE = (
    DECAY,
    Part("cosineannealingwarmrestarts", {"T_0": 2, "T_mult": 2, "eta_min": 0.001}),
    Part("lambdalr", {"lr_lambda": Plain(Power(0.8))}),
)
RESTS = (WARM_UP, Part("multisteplr", {"milestones": (2, 4)}), Part("polynomiallr", {"total_iters": 6, "power": 2.0}))

SUBJECT = Subject(
    name="sequentiallr",
    class_name="SequentialLR",
    kind="scheduler",
    module="lr_scheduler",
    summary="one scheduler after another, each from its own epoch 0 and the initial rate",
    papers=(),
    rule="""\
i = number of milestones <= t
lr(t) = lr_i(t - milestone_i)           milestone_0 = 0""",
    options=(
        Option("schedulers", REQUIRED, (TWO, THREE, ABSOLUTE, RESTS), "a list of schedulers of this optimizer",
               "the parts"),
        Option("milestones", REQUIRED, ((4,), (9,), (4, 9), (5, 6)), "a list of epochs, one fewer than schedulers",
               "where the next one begins"),
    ),
    state=(),
    forbidden=tuple(
        (("schedulers", parts), ("milestones", milestones))
        for parts in (TWO, THREE, ABSOLUTE, RESTS)
        for milestones in ((4,), (9,), (4, 9), (5, 6))
        if len(parts) != len(milestones) + 1
    ),
    illegal=(
        Illegal({"schedulers": (), "milestones": ()}, "ValueError", "at least one"),
        Illegal({"schedulers": TWO, "milestones": ()}, "ValueError", "milestones"),
        Illegal({"schedulers": TWO, "milestones": (3, 7)}, "ValueError", "milestones"),
        Illegal({"schedulers": THREE, "milestones": (7, 3)}, "ValueError", "milestones"),
        Illegal({"schedulers": (WARM_UP, Part("reducelronplateau", {})), "milestones": (3,)}, "ValueError",
                "ReduceLROnPlateau"),
        Illegal({"schedulers": (WARM_UP, 7), "milestones": (3,)}, "TypeError", "1"),
    ),
    base={"schedulers": TWO, "milestones": (4,)},
    fullest={"schedulers": THREE, "milestones": (3, 7)},
    dtypes=("float64",),
    degenerate=(
        {"schedulers": (DECAY,), "milestones": ()},
        {"schedulers": (WARM_UP, DECAY), "milestones": (0,)},
        {"schedulers": (WARM_UP, COSINE, DECAY), "milestones": (3, 3)},
        {"schedulers": (WARM_UP, COSINE, DECAY), "milestones": (0, 0)},
        {"schedulers": (WARM_UP, DECAY), "milestones": (2.5,)},
        {"schedulers": (WARM_UP, DECAY), "milestones": (1,)},
        {"schedulers": (DECAY, Part("lambdalr", {"lr_lambda": Constant(0.0)})), "milestones": (2,)},
        {"schedulers": (WARM_UP, DECAY), "milestones": (10**9,)},
    ),
)  # fmt: skip
