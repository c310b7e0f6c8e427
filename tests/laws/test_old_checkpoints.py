"""opt.old_checkpoints: what the declarations call newer is what torch fills in."""

from __future__ import annotations

import pytest
import torch

from optbench import subjects

OPTIMIZERS = [subject for subject in map(subjects.load, subjects.NAMES) if subject.kind == "optimizer"]


@pytest.mark.parametrize("subject", [item for item in OPTIMIZERS if item.in_torch], ids=lambda subject: subject.name)
def test_newer_entries_are_those_that_torch_fills_in(subject: subjects.Subject) -> None:
    optimizer = getattr(torch.optim, subject.class_name)([torch.zeros(2, 2, requires_grad=True)])
    saved = optimizer.state_dict()
    saved["state"] = {}
    for group in saved["param_groups"]:
        for name in group.keys() - {"params"}:
            del group[name]
    optimizer.load_state_dict(saved)
    filled = optimizer.param_groups[0].keys() - {"params"}
    # torch asks for SparseAdam's maximize with a default instead.
    assert filled == set(subject.later) - ({"maximize"} if subject.name == "sparse_adam" else set())
