"""Muon's declaration."""

from ._declare import REAL, Illegal, Option, Paper, StateEntry, Subject
from .adam import LR_VALUES

SUBJECT = Subject(
    name="muon",
    class_name="Muon",
    kind="optimizer",
    summary="momentum whose update, a matrix, is brought near the closest matrix with orthogonal rows or columns",
    papers=(
        Paper("K. Jordan, Y. Jin, V. Boza, J. You, F. Cesista, L. Newhouse, J. Bernstein",
              "Muon: An optimizer for hidden layers in neural networks", 2024,
              "https://kellerjordan.github.io/posts/muon/"),
        Paper("J. Liu et al.", "Muon is Scalable for LLM Training", 2025, "https://arxiv.org/abs/2502.16982"),
    ),
    rule="""\
b = momentum*b + (1 - momentum)*g
u = momentum*b + (1 - momentum)*g if nesterov else b
X = u/max(norm(u), eps)                 in bfloat16, transposed where it has more rows than columns
A = X X^T; X = a*X + (b*A + c*A*A) X    ns_steps times, with ns_coefficients (a, b, c)
p = p - lr*weight_decay*p
p = p - lr*factor(rows, columns)*X      with the factor of adjust_lr_fn""",
    options=(
        Option("lr", 1e-3, LR_VALUES, "lr >= 0, a float or a 1-element tensor", "step size"),
        Option("weight_decay", 0.1, (0.1, 0.3), "weight_decay >= 0", "decay of the parameter, times lr",
               decays=True),
        Option("momentum", 0.95, (0.95, 0.5), "momentum >= 0", "decay of the buffer"),
        Option("nesterov", True, (True, False), "bool", "look ahead along the buffer"),
        Option("ns_coefficients", (3.4445, -4.775, 2.0315), ((3.4445, -4.775, 2.0315), (2.0, -1.5, 0.5)),
               "three numbers", "coefficients of the Newton-Schulz iteration"),
        Option("eps", 1e-7, (1e-7, 1e-3), "any", "least norm that is divided by"),
        Option("ns_steps", 5, (5, 2), "below 100", "number of Newton-Schulz iterations"),
        Option("adjust_lr_fn", None, (None, "match_rms_adamw", "original"),
               "None, 'original' or 'match_rms_adamw'", "how the rate follows the matrix' shape"),
    ),
    state=(StateEntry("momentum_buffer", "element", "running mean of the gradient", drives=True),),
    illegal=(
        Illegal({"lr": -0.5}, "ValueError", "-0.5"),
        Illegal({"momentum": -0.25}, "ValueError", "-0.25"),
        Illegal({"weight_decay": -0.75}, "ValueError", "-0.75"),
        Illegal({"adjust_lr_fn": "none"}, "ValueError", "none"),
        Illegal({"ns_steps": 100}, "ValueError", "100"),
        Illegal({"ns_coefficients": (2.5, -1.5)}, "ValueError", "-1.5"),
    ),
    edges=({"lr": 0.0}, {"momentum": 0.0}, {"weight_decay": 0.0}, {"ns_steps": 99}, {"ns_steps": 0}),
    sees="tensor",
    dtypes=REAL,
    dimensions=2,
    coarse={"param": "bfloat16"},
    launches=4,
    # Products of bfloat16 numbers are of float32 on a CPU.
    temporaries={"fused": 5},
    calls=("baddbmm", "bmm", "addmm", "mm", "linalg_vector_norm", "clamp_", "div_"),
    tuned={
        "quadratic": {"lr": 0.3, "weight_decay": 0.0}, "rosenbrock": {"lr": 0.05, "weight_decay": 0.0},
        "network": {"lr": 0.1, "weight_decay": 0.0},
    },
)  # fmt: skip
