"""SWALR against its recurrence and torch's, alone and after another scheduler."""

import copy

import pytest
import torch
from optbench.reference import lr_scheduler, swa_utils
from torch.optim import swa_utils as torchs

from tests.recurrences import schedules
from tests.reference.lr_scheduler.cases import advance, make_optimizer, rates

OPTIONS = [
    {"swa_lr": 0.05}, {"swa_lr": 0.2, "anneal_epochs": 7, "anneal_strategy": "linear"},
    {"swa_lr": 0.01, "anneal_epochs": 1}, {"swa_lr": 0.01, "anneal_epochs": 0}, {"swa_lr": 0.0, "anneal_epochs": 150},
    {"swa_lr": 0.5, "anneal_epochs": 0, "anneal_strategy": "linear"},
]  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_schedule_is_its_recurrence_and_torchs(options):
    optimizer, other = make_optimizer(), make_optimizer()
    ours, theirs = swa_utils.SWALR(optimizer, **options), torchs.SWALR(other, **options)
    assert set(ours.state_dict()) == set(theirs.state_dict())
    for epoch in range(3 * options.get("anneal_epochs", 10) + 3):
        wanted = [schedules.swalr(epoch, base, **options) for base in (0.1, 0.03)]
        assert rates(optimizer) == pytest.approx(wanted, rel=1e-12, abs=1e-30)
        assert rates(optimizer) == pytest.approx(rates(other), rel=1e-10, abs=1e-15)
        assert ours.get_last_lr() == rates(optimizer)
        advance(optimizer, ours)
        advance(other, theirs)


@pytest.mark.parametrize("strategy", ["cos", "linear"])
def test_it_takes_over_from_another_scheduler(strategy):
    runs = []
    for module, average in ((lr_scheduler, swa_utils), (torch.optim.lr_scheduler, torchs)):
        optimizer = make_optimizer()
        cosine = module.CosineAnnealingLR(optimizer, 30)
        swalr = average.SWALR(optimizer, 0.05, 6, strategy)
        runs.append([*advance(optimizer, cosine, epochs=9), *advance(optimizer, swalr, epochs=9)])
    for (ours, _), (theirs, _) in zip(*runs, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-12, abs=0)
    assert runs[0][-1][0] == [0.05, 0.05]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_it_resumes_everywhere(options):
    optimizer = make_optimizer()
    scheduler = swa_utils.SWALR(optimizer, **options)
    run = [rates(optimizer)]
    saved = [copy.deepcopy((optimizer.state_dict(), scheduler.state_dict()))]
    for _ in range(14):
        run.extend(lrs for lrs, _ in advance(optimizer, scheduler))
        saved.append(copy.deepcopy((optimizer.state_dict(), scheduler.state_dict())))
    for cut in range(1, 14):
        other = make_optimizer()
        other.load_state_dict(saved[cut][0])
        loaded = swa_utils.SWALR(other, **options)
        loaded.load_state_dict(saved[cut][1])
        assert rates(other) == run[cut]
        assert [lrs for lrs, _ in advance(other, loaded, epochs=14 - cut)] == run[cut + 1 :]
        other = make_optimizer(lrs=run[cut])
        for group, base in zip(other.param_groups, (0.1, 0.03), strict=True):
            group["initial_lr"] = base
        resumed = swa_utils.SWALR(other, **options, last_epoch=cut - 1)
        assert rates(other) == run[cut]
        assert [lrs for lrs, _ in advance(other, resumed, epochs=14 - cut)] == run[cut + 1 :]
        # torch's keeps its function of the strategy out of the checkpoint, too.
        theirs = make_optimizer()
        torchs_own = torchs.SWALR(theirs, **options)
        torchs_own.load_state_dict(saved[cut][1])
        theirs.load_state_dict(saved[cut][0])
        seen = [lrs for lrs, _ in advance(theirs, torchs_own, epochs=14 - cut)]
        assert [lr for lrs in seen for lr in lrs] == pytest.approx(
            [lr for lrs in run[cut + 1 :] for lr in lrs], rel=1e-10
        )  # fmt: skip


def test_groups_and_errors():
    optimizer = make_optimizer()
    scheduler = swa_utils.SWALR(optimizer, [0.05, 0.05], 4)
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(1))], "lr": 0.45})
    seen = advance(optimizer, scheduler, epochs=5)
    assert seen[0][0][2] == pytest.approx(schedules.swalr(1, 0.45, swa_lr=0.05, anneal_epochs=4))
    assert seen[-1][0] == [0.05] * 3
    optimizer = make_optimizer()
    scheduler = swa_utils.SWALR(optimizer, [0.05, 0.1], 4)
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(1))], "lr": 0.45})
    optimizer.step()
    with pytest.raises(ValueError, match=r"param_groups\[2\]"):
        scheduler.step()
    for options, message in [
        ({"swa_lr": [0.1]}, "swa_lr"), ({"anneal_strategy": "step"}, "step"), ({"anneal_epochs": -1}, "-1"),
        ({"anneal_epochs": 2.5}, "2.5"),
    ]:  # fmt: skip
        optimizer = make_optimizer()
        with pytest.raises(ValueError, match=message):
            swa_utils.SWALR(optimizer, **({"swa_lr": 0.1} | options))
        assert "swa_lr" not in optimizer.param_groups[0]


@pytest.mark.parametrize("outer", [lr_scheduler, torch.optim.lr_scheduler], ids=["ours", "torch"])
def test_it_can_be_a_part_of_a_sequence(outer):
    optimizer = make_optimizer()
    parts = [lr_scheduler.ExponentialLR(optimizer, 0.9), swa_utils.SWALR(optimizer, 0.05, 4)]
    sequence = outer.SequentialLR(optimizer, parts, [3])
    seen = [rates(optimizer), *(lrs for lrs, _ in advance(optimizer, sequence, epochs=9))]
    falling = [0.1 * 0.9**t for t in range(3)]
    wanted = [*falling, *(schedules.swalr(t, falling[-1], swa_lr=0.05, anneal_epochs=4) for t in range(7))]
    assert [lrs[0] for lrs in seen] == pytest.approx(wanted, rel=1e-12, abs=0)
