"""torch.optim.swa_utils by its two code paths: a function of one tensor, or a function of lists of tensors.

What a path offers is a table from the names in torch.optim.swa_utils to callables with torch's arguments. An
`AveragedModel` that is given no averaging function takes the mean of all models, on the path that it is named for; one
that is given a function takes that function's path. An exponential average is had by giving it the function that the
same table offers.

Example: `AVG_FN["AveragedModel"](model, avg_fn=AVG_FN["get_ema_avg_fn"](0.99))`.
"""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

from torch.optim import swa_utils
from torch.optim.swa_utils import AveragedModel

Factory = Callable[..., Any]

_SIGNATURE = inspect.signature(AveragedModel)


def _averaged_by(argument: str, mean: Callable[[], Any]) -> Factory:
    """AveragedModel that passes the mean's function as `argument` where it is given no function."""

    @wraps(AveragedModel, updated=())
    def build(*args: Any, **options: Any) -> AveragedModel:
        given = _SIGNATURE.bind(*args, **options).arguments
        if given.get("avg_fn") is None and given.get("multi_avg_fn") is None:
            given[argument] = mean()
        return AveragedModel(**given)

    return build


AVG_FN: dict[str, Factory] = {
    "AveragedModel": _averaged_by("avg_fn", swa_utils.get_swa_avg_fn),
    "get_ema_avg_fn": swa_utils.get_ema_avg_fn,
    "get_swa_avg_fn": swa_utils.get_swa_avg_fn,
    "update_bn": swa_utils.update_bn,
}
MULTI_AVG_FN: dict[str, Factory] = {
    "AveragedModel": _averaged_by("multi_avg_fn", swa_utils.get_swa_multi_avg_fn),
    "get_ema_multi_avg_fn": swa_utils.get_ema_multi_avg_fn,
    "get_swa_multi_avg_fn": swa_utils.get_swa_multi_avg_fn,
    "update_bn": swa_utils.update_bn,
}
