"""Lion's declaration. torch.optim has no such class."""

from dataclasses import replace

from ._declare import Option, Paper, StateEntry, Subject
from .adam import CAPTURABLE, LR_VALUES, MAXIMIZE, refused, refused_betas

SUBJECT = Subject(
    name="lion",
    class_name="Lion",
    kind="optimizer",
    summary="steps by the sign of an interpolation between the gradient and its running mean",
    papers=(
        Paper("X. Chen, C. Liang, D. Huang, E. Real, K. Wang, Y. Liu, H. Pham, X. Dong, T. Luong, C. Hsieh, Y. Lu, "
              "Q. V. Le", "Symbolic Discovery of Optimization Algorithms", 2023, "https://arxiv.org/abs/2302.06675"),
    ),
    rule="""\
g = -g                                  if maximize
p = p - lr*weight_decay*p
p = p - lr*sign(beta1*m + (1 - beta1)*g)
m = beta2*m + (1 - beta2)*g""",
    options=(
        Option("lr", 1e-4, LR_VALUES, "lr >= 0, a float or a 1-element tensor", "step size"),
        Option("betas", (0.9, 0.99), ((0.9, 0.99), (0.5, 0.8)), "0 <= beta < 1",
               "weight of the running mean in the step, and its decay rate"),
        Option("weight_decay", 0.0, (0.0, 0.1), "weight_decay >= 0", "decay of the parameter, times lr",
               decays=True),
        MAXIMIZE, replace(CAPTURABLE, meaning="never wait for the parameters' device"),
    ),
    state=(StateEntry("exp_avg", "element", "running mean of the gradient", drives=True),),
    illegal=(*refused("lr", "weight_decay"), *refused_betas()),
    fullest={"weight_decay": 0.1},
    in_torch=False,
    tuned={"quadratic": {"lr": 0.3}, "rosenbrock": {"lr": 0.05}, "network": {"lr": 0.05}},
)  # fmt: skip
