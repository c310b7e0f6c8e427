"""timm.optim's classes that stand for torch's.

Its Adadelta, Adagrad, Adam, Adamax, AdamW, NAdam, RAdam, RMSprop and SGD are torch's own, which it passes on; it keeps
its own former AdamW, NAdam and RAdam as a reference.
"""

import importlib.util
import sys

from .peer import Peer, same

PACKAGE = "timm"
PEERS = {
    "AdamW": Peer(
        "timm.optim.adamw:AdamWLegacy",
        same("lr", "betas", "eps", "weight_decay", "amsgrad", "maximize"),
    ),
    "Lion": Peer(
        "timm.optim.lion:Lion",
        same("lr", "betas", "weight_decay", "maximize"),
    ),
    "Muon": Peer(
        "timm.optim.muon:Muon",
        same("lr", "weight_decay", "momentum", "nesterov", "ns_coefficients", "ns_steps", "eps"),
        given={"adjust_lr_fn": "original"},
        group={"use_muon": True},
        differs=(
            "lr is 0.02, nesterov off, ns_coefficients a preset of five and adjust_lr_fn match_rms_adamw by default",
            "what is no matrix, or a small or a long one, is given to AdamW unless its group says use_muon=True",
        ),
    ),
    "NAdam": Peer(
        "timm.optim.nadam:NAdamLegacy",
        same("lr", "betas", "eps", "weight_decay", schedule_decay="momentum_decay"),
        dtypes=("float32", "bfloat16", "float16"),
        differs=("the product of the momenta, m_schedule, is a Python number, in torch a float32 tensor",),
    ),
    "RAdam": Peer(
        "timm.optim.radam:RAdamLegacy",
        same("lr", "betas", "eps", "weight_decay"),
        only={"weight_decay": (0,)},
        differs=("weight decay is always decoupled", "state is float32 whatever the parameter's dtype"),
    ),
    "SGD": Peer(
        "timm.optim.sgdw:SGDW",
        same("lr", "momentum", "dampening", "weight_decay", "nesterov", "maximize"),
        only={"weight_decay": (0,)},
        differs=("SGDW without weight decay is SGD; its decay is decoupled",),
    ),
}
OTHERS = {
    "Adafactor": "scales by the parameter's size in its own schedule only, as it documents; factors sides above 16",
    "AdafactorBigVision": "documents that it follows the Big Vision variant",
    "NAdamW": "another Nesterov form of AdamW, without NAdam's schedule of momenta",
    "RMSpropTF": "TensorFlow's, as it says: eps in the root, squares that start at one, the rate in the momentum",
}


def prepare() -> None:
    """Make its optimizers importable without its models, which need a torchvision that is built for this torch.

    Their packages are entered without running their `__init__`, unless they are imported already.
    """
    for name in ("timm", "timm.optim"):
        if name not in sys.modules:
            spec = importlib.util.find_spec(name)
            if spec is None:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
            sys.modules[name] = importlib.util.module_from_spec(spec)
