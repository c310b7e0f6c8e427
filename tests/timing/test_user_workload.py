"""A user's model as a workload, and everything that can be wrong with it."""

from pathlib import Path

import pytest
import torch

from optbench.errors import UsageError
from optbench.timing.user_workload import load_parameters

SCRIPT = """
import torch
import beside

def model():
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2, bias=False))
    net[1].weight.requires_grad_(False)
    return net

def shared():
    weight = torch.nn.Parameter(torch.ones(beside.SIZE))
    return [weight, torch.nn.Parameter(torch.ones(2)), weight]

def generator():
    yield torch.nn.Parameter(torch.ones(3))

def frozen():
    return [torch.ones(3)]

def needs_an_argument(size):
    return []

def leaves():
    raise SystemExit(3)

number = 7
tensor = lambda: torch.ones(3)
mixed = lambda: [torch.nn.Parameter(torch.ones(3)), "weight"]
nothing = lambda: None
"""


@pytest.fixture
def script(tmp_path: Path) -> str:
    (tmp_path / "beside.py").write_text("SIZE = 5\n")
    (tmp_path / "train.py").write_text(SCRIPT)
    (tmp_path / "broken.py").write_text("1 / 0\n")
    (tmp_path / "lacking.py").write_text("import no_such_package_here\n")
    return str(tmp_path / "train.py")


@pytest.mark.parametrize(
    ("function", "shapes"),
    [("model", [(4, 3), (4,)]), ("shared", [(5,), (2,)]), ("generator", [(3,)])],
)
def test_parameters(script: str, function: str, shapes: list[tuple[int, ...]]) -> None:
    params = load_parameters(f"{script}:{function}")
    assert [tuple(param.shape) for param in params] == shapes
    assert all(isinstance(param, torch.Tensor) and not param.requires_grad for param in params)


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("train.py:missing", "has no 'missing'"),
        ("train.py:number", "'number' is a int, not a function"),
        ("train.py:frozen", "no parameter that requires a gradient"),
        ("train.py:needs_an_argument", "raised TypeError"),
        ("train.py:leaves", "raised SystemExit: 3 when it was called"),
        ("train.py:tensor", "returned Tensor: it has to return"),
        ("train.py:mixed", "an iterable with a str in it"),
        ("train.py:nothing", "returned NoneType"),
        ("absent.py:model", "there is no file"),
        ("broken.py:model", "raised ZeroDivisionError: division by zero while it was imported"),
        ("lacking.py:model", "needs 'no_such_package_here', which is not installed"),
    ],
)
def test_mistakes_end_in_one_line(script: str, target: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_parameters(str(Path(script).parent / target))
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_unknown_module() -> None:
    with pytest.raises(UsageError, match="there is no module 'no_such_module_here'"):
        load_parameters("no_such_module_here:model")
