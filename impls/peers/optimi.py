"""optimi's classes that stand for torch's (the package torch-optimi).

On a CPU its for-loop runs; its Triton kernels need a GPU.
"""

from .peer import Peer, same

PACKAGE = "optimi"
# 0 divided by it is 0; beside any root it is nothing.
_NEARLY_NONE = 1e-30
_DEBIASED = {"exp_avg": "debiased exp_avg", "exp_avg_sq": "debiased exp_avg_sq"}
_DEFAULTS = "betas are (0.9, 0.99) and eps is 1e-6 by default, and lr has none"
_KEPT = "keeps the moments with their bias already corrected, so that its state is not torch's"
_KAHAN = "16-bit parameters get Kahan summation by default"

PEERS = {
    "Adam": Peer(
        "optimi.adam:Adam",
        same("lr", "betas", "eps", "weight_decay", decouple_wd="decoupled_weight_decay"),
        state=_DEBIASED,
        differs=(_DEFAULTS, _KEPT, _KAHAN),
    ),
    "AdamW": Peer(
        "optimi.adamw:AdamW",
        same("lr", "betas", "eps", "weight_decay"),
        state=_DEBIASED,
        differs=(_DEFAULTS, _KEPT, _KAHAN),
    ),
    "Lion": Peer(
        "optimi.lion:Lion",
        same("lr", "betas", "weight_decay"),
        differs=("lr has no default", _KAHAN),
    ),
    "RAdam": Peer(
        "optimi.radam:RAdam",
        same("lr", "betas", "eps", "weight_decay", decouple_wd="decoupled_weight_decay"),
        only={"eps": (_NEARLY_NONE,)},
        state=_DEBIASED,
        differs=(_DEFAULTS, _KEPT, _KAHAN, "eps is added to the debiased root, in torch to the root before"),
    ),
    "SGD": Peer(
        "optimi.sgd:SGD",
        same("lr", "momentum", "weight_decay"),
        state={"exp_avg": "momentum_buffer"},
        differs=("lr has no default", "dampening is a switch, 1 - momentum where it is on", _KAHAN),
    ),
}
OTHERS = {
    "StableAdamW": "clips AdamW's update, as it documents",
}
