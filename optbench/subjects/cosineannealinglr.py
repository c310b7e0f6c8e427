"""CosineAnnealingLR's declaration."""

from ._declare import REQUIRED, Option, Subject
from ._schedule import ETA_MIN, SGDR

SUBJECT = Subject(
    name="cosineannealinglr",
    class_name="CosineAnnealingLR",
    kind="scheduler",
    module="lr_scheduler",
    summary="half a cosine down to eta_min in T_max epochs, and up again beyond",
    papers=(SGDR,),
    rule="lr(t) = eta_min + (initial_lr - eta_min) * (1 + cos(pi * t / T_max)) / 2",
    options=(Option("T_max", REQUIRED, (10, 4, 7, 60), "T_max > 0", "epochs from the highest to the lowest"), ETA_MIN),
    state=(),
    base={"T_max": 10},
    fullest={"T_max": 7, "eta_min": 0.001},
    dtypes=("float64",),
    degenerate=(
        {"T_max": float("inf")},
        {"T_max": 0}, {"T_max": 1}, {"T_max": 2}, {"T_max": 2.5}, {"T_max": 10**9}, {"T_max": 1, "eta_min": 0.06},
    ),
)  # fmt: skip
