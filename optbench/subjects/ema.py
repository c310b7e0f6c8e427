"""EMA's declaration: a mean of the weights that forgets."""

from ._declare import Illegal, Option, Paper, Subject

SUBJECT = Subject(
    name="ema",
    class_name="AveragedModel",
    kind="averager",
    module="swa_utils",
    summary="an exponentially decaying mean of a model's weights: late ones count more than in swa",
    papers=(
        Paper("B. T. Polyak, A. B. Juditsky", "Acceleration of Stochastic Approximation by Averaging", 1992,
              "https://doi.org/10.1137/0330046"),
    ),
    rule="""\
a = p                               on the first update
a = decay*a + (1 - decay)*p         on later ones""",
    options=(
        Option("decay", 0.999, (0.999, 0.9, 0.0, 1.0), "0 <= decay <= 1", "what an update keeps of the average"),
        Option("use_buffers", False, (False, True), "bool", "average the buffers too; otherwise they are copied",
               settled=True),
    ),
    state=(),
    illegal=(
        Illegal({"decay": -0.25}, "ValueError", "-0.25"),
        Illegal({"decay": 1.0001}, "ValueError", "1.0001"),
    ),
    edges=({"decay": 0.0}, {"decay": 1.0}),
    rests={"decay": 1.0},
)  # fmt: skip
