"""One kernel launch for all parameters: Numba on a CPU, Triton on a GPU.

`adam`, `adamw`, `sgd`: an update rule and a class each. `lang`: the language of rules. `optimizer`, `plan`, `entry`,
`layout`, `bucket`: what the host does. `numba_backend`, `triton_backend`: what runs the rules.
"""

from .adam import Adam
from .adamw import AdamW
from .sgd import SGD
from .sparse_adam import SparseAdam

__all__ = ["SGD", "Adam", "AdamW", "SparseAdam"]
