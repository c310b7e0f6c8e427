"""Options under which a scheduler does all that it does within so many epochs: to draw its curve, and to time it.

They are plain data, as the declarations' own values are. Importing this needs no torch.
"""

from __future__ import annotations

from typing import Any

from optbench.subjects._schedule import Constant, Part, Power

# What rates that fall without end have fallen to when a course is over.
_LAST = 0.02


def course(subject: str, epochs: int, period: int) -> dict[str, Any]:
    """The options of a scheduler for a course.

    Args:
        subject: name of its declaration.
        epochs: length of the course.
        period: epochs after which what happens again and again, or once early, happens.

    Example:
        >>> course("onecyclelr", 100, 25)
        {'max_lr': 0.5, 'total_steps': 101}
    """
    every_epoch = _LAST ** (1 / epochs)
    every_period = _LAST ** (period / epochs)
    warm_up = Part("linearlr", {"start_factor": 0.1, "total_iters": period})
    courses: dict[str, dict[str, Any]] = {
        "lambdalr": {"lr_lambda": Power(every_epoch)},
        "multiplicativelr": {"lr_lambda": Constant(every_epoch)},
        "steplr": {"step_size": period, "gamma": every_period},
        "multisteplr": {"milestones": tuple(range(period, epochs, 2 * period)), "gamma": every_period},
        "constantlr": {"factor": 0.25, "total_iters": period},
        "linearlr": {"start_factor": 0.1, "total_iters": epochs // 2},
        "exponentiallr": {"gamma": every_epoch},
        "polynomiallr": {"total_iters": epochs, "power": 2.0},
        "cosineannealinglr": {"T_max": epochs},
        "chainedscheduler": {
            "schedulers": (
                Part("constantlr", {"factor": 0.5, "total_iters": period}),
                Part("exponentiallr", {"gamma": every_epoch}),
            )
        },
        "sequentiallr": {
            "schedulers": (warm_up, Part("cosineannealinglr", {"T_max": epochs - period})),
            "milestones": (period,),
        },
        "reducelronplateau": {"patience": period // 2, "factor": every_period, "eps": 0.0},
        "cycliclr": {"base_lr": 0.01, "max_lr": 0.5, "step_size_up": period // 2},
        "onecyclelr": {"max_lr": 0.5, "total_steps": epochs + 1},
        "cosineannealingwarmrestarts": {"T_0": period, "T_mult": 2},
        "swalr": {"swa_lr": 0.01, "anneal_epochs": epochs // 2},
    }
    return courses[subject]
