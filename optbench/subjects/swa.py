"""SWA's declaration: the mean of the weights at several moments of a run."""

from ._declare import Option, Paper, Subject

SUBJECT = Subject(
    name="swa",
    class_name="AveragedModel",
    kind="averager",
    module="swa_utils",
    summary="the equally weighted mean of a model's weights over the updates",
    papers=(
        Paper("P. Izmailov, D. Podoprikhin, T. Garipov, D. Vetrov, A. G. Wilson",
              "Averaging Weights Leads to Wider Optima and Better Generalization", 2018,
              "https://arxiv.org/abs/1803.05407"),
    ),
    rule="""\
a = p                       on the first update, n = 0
a = a + (p - a)/(n + 1)     on later ones
n = n + 1""",
    options=(
        Option("use_buffers", False, (False, True), "bool", "average the buffers too; otherwise they are copied",
               settled=True),
    ),
    state=(),
    rests=None,
)  # fmt: skip
