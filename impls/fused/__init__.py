"""One kernel launch for all parameters: Numba on a CPU, Triton on a GPU.

`adadelta` to `sgd`: an update rule and a class each. `lang`: the language of rules. `optimizer`, `plan`, `entry`,
`layout`, `bucket`: what the host does. `numba_backend`, `triton_backend`: what runs the rules.

Not elementwise: `sparse_adam`, and sparse gradients of Adagrad and SGD, through `rows`; `adafactor`, through `tiles`;
`muon`, through `launch`; `lbfgs`, through `vectors` and `wolfe`. The modules named after these with `numba_` and
`triton_` before them hold the kernels. `kept`: a test that nothing has changed since the last step. `watch`, `peek`:
how thousands of tensors are asked whether they changed, without Python objects for their gradients.

`lr_scheduler`, `swa_utils`: schedules and averages of weights, as in torch.optim.
"""

from .adadelta import Adadelta
from .adafactor import Adafactor
from .adagrad import Adagrad
from .adam import Adam
from .adamax import Adamax
from .adamw import AdamW
from .asgd import ASGD
from .lbfgs import LBFGS
from .lion import Lion
from .muon import Muon
from .nadam import NAdam
from .radam import RAdam
from .rmsprop import RMSprop
from .rprop import Rprop
from .sgd import SGD
from .sparse_adam import SparseAdam

__all__ = [
    "ASGD", "LBFGS", "SGD", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "Lion", "Muon",
    "NAdam", "RAdam", "RMSprop", "Rprop", "SparseAdam",
]  # fmt: skip
