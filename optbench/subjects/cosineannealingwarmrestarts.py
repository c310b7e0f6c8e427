"""CosineAnnealingWarmRestarts's declaration."""

from ._declare import REQUIRED, Illegal, Option, Subject
from ._schedule import ETA_MIN, SGDR

SUBJECT = Subject(
    name="cosineannealingwarmrestarts",
    class_name="CosineAnnealingWarmRestarts",
    kind="scheduler",
    module="lr_scheduler",
    summary="half a cosine down to eta_min, again and again, each T_mult times as long as the one before",
    papers=(SGDR,),
    rule="""\
lr(t) = eta_min + (initial_lr - eta_min) * (1 + cos(pi * T_cur / T_i)) / 2
T_i = T_0 * T_mult**n                   n: restarts until t
T_cur = t - (T_0 + T_0*T_mult + ... + T_0*T_mult**(n - 1))""",
    options=(
        Option("T_0", REQUIRED, (5, 3, 1), "an integer > 0", "epochs until the first restart"),
        Option("T_mult", 1, (1, 2, 3), "an integer >= 1", "how much longer the next cycle is"),
        ETA_MIN,
    ),
    state=(),
    illegal=(
        Illegal({"T_0": 0}, "ValueError", "0"),
        Illegal({"T_0": -3}, "ValueError", "-3"),
        Illegal({"T_0": 2.5}, "ValueError", "2.5"),
        Illegal({"T_mult": 0}, "ValueError", "0"),
        Illegal({"T_mult": 1.5}, "ValueError", "1.5"),
        Illegal({"eta_min": "low"}, "ValueError", "low"),
    ),
    base={"T_0": 5},
    fullest={"T_0": 2, "T_mult": 2, "eta_min": 0.001},
    dtypes=("float64",),
    absolute=True,
    degenerate=({"T_0": 1}, {"T_0": 1, "T_mult": 10}, {"T_0": 1, "T_mult": 3}, {"T_0": 10**9}, {"eta_min": 0.06}),
)
