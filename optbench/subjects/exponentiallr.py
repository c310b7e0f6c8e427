"""ExponentialLR's declaration."""

from ._declare import REQUIRED, Option, Subject

SUBJECT = Subject(
    name="exponentiallr",
    class_name="ExponentialLR",
    kind="scheduler",
    module="lr_scheduler",
    summary="times gamma every epoch",
    papers=(),
    rule="lr(t) = initial_lr * gamma**t",
    options=(Option("gamma", REQUIRED, (0.9, 0.5, 1.05), "a float", "the factor"),),
    state=(),
    base={"gamma": 0.9},
    fullest={"gamma": 0.5},
    dtypes=("float64",),
    degenerate=({"gamma": 0.0}, {"gamma": 1.0}, {"gamma": 1e-200}),
)
