"""heavyball's classes that stand for torch's."""

import importlib

from .peer import Peer, same

PACKAGE = "heavyball"
# Gradients are left where they are, as torch leaves them.
_GIVEN = {"consume_grad": False}
_STATE = "state lies one level deeper and is float32; 16-bit tensors are rounded stochastically"
_GRADS = "gradients are set to None by a step unless consume_grad=False"
# 0 divided by it is 0; beside any root it is nothing.
_NEARLY_NONE = 1e-30
_EPS = "the denominator is the larger of the root and eps, in torch their sum"

PEERS = {
    "AdamW": Peer(
        "heavyball:AdamW",
        same("lr", "betas", "eps", "weight_decay"),
        given=_GIVEN,
        only={"eps": (_NEARLY_NONE,)},
        dtypes=("float32",),
        differs=("lr is 0.0025, betas are (0.9, 0.99) and weight_decay is 0 by default", _STATE, _GRADS, _EPS),
    ),
    "NAdam": Peer(
        "heavyball:NAdam",
        same("lr", "betas", "eps", "weight_decay", "momentum_decay", "decoupled_weight_decay"),
        given=_GIVEN,
        only={"eps": (_NEARLY_NONE,)},
        dtypes=("float32",),
        differs=(_STATE, _GRADS, _EPS),
    ),
    "SGD": Peer(
        "heavyball:SGD",
        same("lr", "weight_decay", beta="momentum"),
        given=_GIVEN,
        only={"weight_decay": (0,)},
        dtypes=("float32",),
        differs=(
            "beta is 0.9 by default",
            "weight decay is decoupled",
            "keeps a buffer without momentum too",
            _STATE,
            _GRADS,
        ),
    ),
}
OTHERS = {
    "Muon": "orthogonalises by a method and a scale of its own",
    "RMSprop": "says that it is not torch's: its second moment is debiased as Adam's",
}


def prepare() -> None:
    """Run its functions uncompiled, by its documented switch: compiling them for every shape would take minutes."""
    importlib.import_module("heavyball.utils").compile_mode = None  # type: ignore[attr-defined]
