"""torch.optim for people who train: its names and arguments, the fastest tier that conforms on this device.

    from optbench.optim import AdamW
    from optbench.optim.lr_scheduler import OneCycleLR
    from optbench.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    optimizer = AdamW(model.parameters(), lr=3e-4)

Each module tells which tier it chooses: `optimizers`, whose names are here too, `lr_scheduler` and `swa_utils`. `face`:
what a name that only chooses is.
"""

from . import lr_scheduler as lr_scheduler
from . import swa_utils as swa_utils
from .optimizers import *  # noqa: F403
from .optimizers import __all__ as __all__
from .optimizers import choose_tier as choose_tier
