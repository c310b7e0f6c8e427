"""LambdaLR, all groups at once: rate = base*function(epoch).

Source: torch.optim.lr_scheduler.LambdaLR, whose functions are the user's.
"""

from ...common.lr_scheduler.lambdalr import LambdaLRBase
from .base import LRScheduler, Vector, scaled
from .lambdas import factors


class LambdaLR(LambdaLRBase, LRScheduler):
    """A base rate times the user's function of the epoch, of each group.

        rate(t) = base * f(t)

    Args:
        optimizer: whose groups' rates are set.
        lr_lambda: the function, or a list of one for each group; called once an epoch, also where groups share it.
        last_epoch: the epoch before; -1 to begin.

    Raises:
        ValueError: for fewer or more functions than parameter groups.
        TypeError: for a function that is none, or an optimizer that is none.
        KeyError: if a run goes on, and a group has no `initial_lr`.

    Example:
        >>> scheduler = LambdaLR(optimizer, lambda epoch: 0.95**epoch)
        >>> scheduler.step()

    Source: arguments of torch.optim.lr_scheduler.LambdaLR.
    """

    def _rates(self, epoch: float, base: Vector) -> Vector:
        # rate = base * f(t)
        return scaled(base, factors(self.lr_lambdas, epoch))
