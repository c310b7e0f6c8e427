"""pytorch_optimizer's classes that stand for torch's.

Its SGD, Adam, AdamW, NAdam, RMSprop and LBFGS are torch's own, which it passes on.
"""

from .peer import Peer, same

PACKAGE = "pytorch_optimizer"
PEERS = {
    "Adadelta": Peer(
        "pytorch_optimizer.optimizer.adadelta:AdaDelta",
        same("lr", "rho", "eps", "weight_decay", "maximize"),
    ),
    "Adamax": Peer(
        "pytorch_optimizer.optimizer.adamax:AdaMax",
        same("lr", "betas", "eps", "weight_decay", "maximize"),
        differs=("lr is 1e-3 by default, torch's is 2e-3",),
    ),
    "Lion": Peer(
        "pytorch_optimizer.optimizer.lion:Lion",
        same("lr", "betas", "weight_decay", "maximize"),
    ),
    "Muon": Peer(
        "pytorch_optimizer.optimizer.muon.muon:Muon",
        same("lr", "weight_decay", "momentum", "nesterov", "ns_steps"),
        group={"use_muon": True},
        differs=("lr is 0.02 and weight_decay 0 by default", "each group has to say use_muon"),
    ),
    "RAdam": Peer(
        "pytorch_optimizer.optimizer.radam:RAdam",
        same("lr", "betas", "eps", "weight_decay", "maximize", weight_decouple="decoupled_weight_decay"),
        given={"degenerated_to_sgd": True},
        differs=(
            "weight decay is decoupled by default, torch's is coupled",
            "degenerated_to_sgd is off by default: no step at first, where torch steps by the mean of gradients",
        ),
    ),
    "SGD": Peer(
        "pytorch_optimizer.optimizer.sgd:SGDW",
        same("lr", "momentum", "dampening", "weight_decay", "nesterov", "maximize"),
        given={"weight_decouple": False},
        differs=("decoupled decay by default: SGDW with weight_decouple=False is SGD", "lr is 1e-4 by default"),
    ),
}
OTHERS = {
    "AdaFactor": "documents that it follows the Big Vision variant: squares plus eps, a mean of updates in bfloat16",
    "ASGD": "accelerates by an estimate of the curvature; torch's ASGD averages parameters",
}
