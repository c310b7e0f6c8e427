"""LBFGS's declaration."""

from ._declare import COMPLEX, Exempt, Illegal, Option, Paper, StateEntry, Subject
from .adam import LR_VALUES

_ONE_GROUP = "LBFGS takes one group of parameters only"
# Options beside which steps are long enough to be ended by a tolerance, and for pairs to be forgotten.
_LONG = {"lr": 1, "max_iter": 25, "max_eval": None}

SUBJECT = Subject(
    name="lbfgs",
    class_name="LBFGS",
    kind="optimizer",
    summary="steps along an estimate of Newton's direction from the last few steps and changes of the gradient",
    papers=(
        Paper("D. C. Liu, J. Nocedal", "On the limited memory BFGS method for large scale optimization", 1989,
              "https://doi.org/10.1007/BF01589116"),
    ),
    rule="""\
all parameters as one vector x; up to max_iter times in a step:
y = g - g_before; s = t*d               kept, the last history_size of them, if y.s > 1e-10
H = s.y/(y.y)
d = -(inverse Hessian of the pairs (s, y) from H) g, by the two-loop recursion; -g at first
t = lr, or min(1, 1/sum(abs(g)))*lr at first
x = x + t*d, with t from a strong-Wolfe line search if line_search_fn""",
    options=(
        Option("lr", 1, (1, 0.1, LR_VALUES[2]), "lr >= 0, a float or a 1-element tensor", "step size",
               needs={"max_iter": 4, "max_eval": None}),
        Option("max_iter", 20, (2, 4), "an int", "most iterations in a step", settled=True,
               needs={"max_eval": None}),
        Option("max_eval", None, (None, 3), "an int; None: max_iter*5/4", "most evaluations in a step",
               needs={"max_iter": 4, "tolerance_grad": 1e-7, "tolerance_change": 1e-9}),
        Option("tolerance_grad", 1e-7, (1e-7, 1e-2), "any", "stop where no gradient is larger",
               needs={**_LONG, "history_size": 100, "tolerance_change": 1e-9}),
        Option("tolerance_change", 1e-9, (1e-9, 1e-2), "any", "stop where neither value nor parameters change more",
               needs={**_LONG, "history_size": 100, "tolerance_grad": 1e-7}),
        Option("history_size", 100, (100, 2), "an int", "pairs that are kept", settled=True,
               needs={**_LONG, "tolerance_grad": 1e-7, "tolerance_change": 1e-9}),
        Option("line_search_fn", None, (None, "strong_wolfe"), "None or 'strong_wolfe'", "how t is found",
               needs={"lr": 0.01}),
    ),
    state=(
        StateEntry("d", "own", "direction of the last iteration, of all parameters", span="vector"),
        StateEntry("prev_flat_grad", "own", "gradient before the last iteration, of all parameters", span="vector"),
        StateEntry("old_dirs", "own", "list of the kept changes of the gradient", span="pairs"),
        StateEntry("old_stps", "own", "list of the kept steps", span="pairs"),
        StateEntry("ro", "own", "list of the inverses of their products"),
        StateEntry("al", "own", "list of the recursion's last coefficients", reads=False,
                   idle="each recursion makes its own"),
        StateEntry("H_diag", "own", "scale of the first inverse Hessian", idle="each pair that is kept brings its own"),
        StateEntry("t", "own", "step length of the last iteration"),
        StateEntry("prev_loss", "own", "value before the last iteration", idle="each iteration begins by setting it"),
        StateEntry("func_evals", "own", "number of evaluations, an int", idle="it only counts"),
        StateEntry("n_iter", "own", "number of iterations, an int"),
    ),
    illegal=(
        Illegal({"lr": -0.5}, "ValueError", "-0.5"), Illegal({"lr": float("nan")}, "ValueError", "nan"),
        Illegal({"line_search_fn": "armijo"}, "ValueError", "armijo"),
        Illegal({"history_size": 0}, "ValueError", "0"),
    ),
    edges=({"lr": 0.0}, {"lr": 0.0, "line_search_fn": "strong_wolfe"}, {"history_size": 1}, {"max_iter": 0}),
    sees="all",
    base={"max_iter": 2},
    # In float16 the products of whole vectors overflow.
    dtypes=("float32", "float64", "bfloat16", *COMPLEX),
    sparse_without=(),
    closure=True,
    launches=None,
    temporaries={"for-loop": 5, "foreach": 4, "fused": 4},
    calls=("cat", "linalg_vector_norm", "neg", "dot", "abs", "sum", "mul", "split_with_sizes", "_foreach_add_"),
    rests=None,
    exempt=(
        Exempt("opt.groups", "per-group_options", _ONE_GROUP),
        Exempt("opt.groups", "mixed_dtypes", "LBFGS takes all parameters as one vector, of one dtype"),
        Exempt("opt.groups", "group_joins_late", _ONE_GROUP),
        *(Exempt("opt.tensor_lr", groups, _ONE_GROUP) for groups in ("own_tensors", "one_tensor")),
        Exempt("opt.tensor_lr", "strong_wolfe", "a line search may turn at the last digit of what it compares"),
        Exempt("opt.replaced", "add_param_group", _ONE_GROUP),
        Exempt("opt.launch", "more_groups", _ONE_GROUP),
        Exempt("opt.launch", "more_dtypes", "LBFGS takes all parameters as one vector, of one dtype"),
        Exempt("opt.amp_skip", "", "torch.amp.GradScaler takes no closure"),
        Exempt("opt.replaced", "gradient_at_the_same_address", "its gradients are those that the closure makes"),
    ),
    tuned={
        "quadratic": {"max_iter": 10}, "rosenbrock": {"max_iter": 10, "line_search_fn": "strong_wolfe"},
        "network": {"max_iter": 10, "line_search_fn": "strong_wolfe"},
    },
)  # fmt: skip
