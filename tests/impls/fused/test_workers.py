"""Steps from many threads, in forked children and in spawned workers."""

import multiprocessing
import os
import threading

import pytest
import torch
from optbench.impls import fused
from optbench.impls.fused import workers

from .support import random

# Enough for many chunks.
SIZE = 400_000


@pytest.fixture(autouse=True)
def two_threads():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


def trained(seed=0, steps=3):
    param = random((SIZE,), torch.float32, seed).requires_grad_()
    optimizer = fused.AdamW([param], lr=0.1)
    for step in range(steps):
        param.grad = random((SIZE,), torch.float32, 10 + step)
        optimizer.step()
    return param.detach()


@pytest.fixture
def expected():
    torch.set_num_threads(1)
    result = [trained(seed) for seed in range(4)]
    torch.set_num_threads(2)
    return result


def test_team_and_pool_compute_the_same(expected, monkeypatch):
    assert torch.equal(trained(), expected[0])
    used = []
    pool_run = workers._pool.run
    monkeypatch.setattr(workers, "_torch_team", lambda: None)
    monkeypatch.setattr(workers._pool, "run", lambda *job: used.append(job[3]) or pool_run(*job))
    assert torch.equal(trained(), expected[0])
    assert used == [2, 2, 2]


@pytest.mark.parametrize("team", [True, False])
def test_steps_from_several_python_threads(team, expected, monkeypatch):
    if not team:
        monkeypatch.setattr(workers, "_torch_team", lambda: None)
    results = {}
    threads = [threading.Thread(target=lambda seed=seed: results.update({seed: trained(seed)})) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert all(torch.equal(results[seed], expected[seed]) for seed in range(4))


def check_in_child(expected):
    os._exit(0 if torch.equal(trained(), expected) else 1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform does not fork")
def test_forked_child(expected):
    # The parent's team and pool must have run before.
    assert torch.equal(trained(), expected[0])
    workers._pool._grow(1)
    child = multiprocessing.get_context("fork").Process(target=forked, args=(expected[0].numpy(),))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert torch.equal(trained(), expected[0])


def forked(expected):
    # torch's own parallel loops hang in a forked child, so gradients come from numpy's memory by torch.from_numpy
    # alone.
    assert workers._forked
    torch.set_num_threads(1)
    inputs = [random((SIZE,), torch.float32, seed) for seed in (0, 10, 11, 12)]
    threads = torch.get_num_threads
    torch.get_num_threads = lambda: 2
    param = inputs[0].requires_grad_()
    optimizer = fused.AdamW([param], lr=0.1)
    for grad in inputs[1:]:
        param.grad = grad
        optimizer.step()
    torch.get_num_threads = threads
    assert workers._pool.threads == 1
    os._exit(0 if (param.detach().numpy() == expected).all() else 1)


def spawned(queue):
    torch.set_num_threads(2)
    queue.put(trained().numpy())


@pytest.mark.slow
def test_spawned_worker(expected):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    child = context.Process(target=spawned, args=(queue,))
    child.start()
    result = queue.get(timeout=60)
    child.join(60)
    assert (result == expected[0].numpy()).all()


def test_a_pool_that_cannot_start_threads_still_finishes(expected, monkeypatch):
    def refuse(*_, **__):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(workers, "_torch_team", lambda: None)
    monkeypatch.setattr(workers, "_pool", workers._Pool())
    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert torch.equal(trained(), expected[0])
