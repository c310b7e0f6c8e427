"""What scripts are made of: calls as Python, and lines that repeat themselves as loops."""

from __future__ import annotations

import torch

from optbench import registry, subjects
from optbench.case import Case
from optbench.failures.scripts.folding import folded
from optbench.failures.scripts.lines import Line, sliced
from optbench.subjects._schedule import Each, Part, Power
from optbench.trials.checker import Checker
from optbench.trials.schedulers import Trial


def test_a_composite_is_written_with_its_parts() -> None:
    cyclic = Part("cycliclr", {"base_lr": 0.1, "max_lr": Each((0.2, 0.3))})
    parts = (Part("lambdalr", {"lr_lambda": Power(0.5)}), cyclic)
    trial = Trial(subjects.load("sequentiallr"), registry.find("torch"), Case("sequentiallr", {}), Checker(), {})
    optimizer = torch.optim.SGD([{"params": [torch.zeros(1)], "lr": lr} for lr in (0.3, 0.05)], lr=0.1, momentum=0.9)
    trial.listen()
    assert trial.journal
    trial.journal.keep("optimizer", optimizer, "…")
    part = Part("sequentiallr", {"schedulers": parts, "milestones": (4,)})
    text = trial.journal.scheduler(part, trial.implementation, optimizer).replace("optimizer_1", "optimizer")
    assert text == (
        "torch.optim.lr_scheduler.SequentialLR(optimizer, schedulers=["
        "torch.optim.lr_scheduler.LambdaLR(optimizer, lr_lambda=lambda epoch: 0.5 ** epoch), "
        "torch.optim.lr_scheduler.CyclicLR(optimizer, base_lr=0.1, max_lr=[0.2, 0.3])], milestones=[4])"
    )
    assert eval(text, {"torch": torch, "optimizer": optimizer}).get_last_lr() == [0.3, 0.05]


def test_what_is_repeated_is_a_loop() -> None:
    assert folded(["a.step()", "b.step()"] * 3) == ["for _ in range(3):\n    a.step()\n    b.step()"]
    assert folded(["a.step()", "b.step()"] * 2) == ["a.step()", "b.step()"] * 2
    given = [line for value in (1, 2, 4) for line in ("a.step()", f"b.step({value})")]
    assert folded(["c", *given]) == ["c", "for value in (1, 2, 4):\n    a.step()\n    b.step(value)"]


def test_only_what_a_fact_comes_from_is_kept() -> None:
    texts = ["optimizer_1 = A()", "optimizer_2 = A()", "saved_1 = optimizer_1.state_dict()", "optimizer_1.step()",
             "optimizer_2.load_state_dict(saved_1)", "f(optimizer_2)"]  # fmt: skip
    kept = sliced([Line(text) for text in texts], {"optimizer_2"}, {})
    assert [line.text for line in kept] == [text for text in texts if text != "optimizer_1.step()"]
