"""`--impl where:Class`: what loads, and one line for each thing that can be wrong."""

import subprocess
import sys
import textwrap

import pytest

from optbench.adapter import Adapter
from optbench.errors import UsageError
from optbench.foreign.loading import accepted_options, adapter_of, describe, load_class, load_factory

GOOD = """
    import torch
    from optbench.adapter import Adapter

    class Plain(torch.optim.SGD):
        pass

    class Renamed(torch.optim.Optimizer):
        names = Adapter(options={"learning_rate": "lr"}, state={"m": "exp_avg"})

        def __init__(self, params, learning_rate=1e-3, *, eps=1e-8):
            super().__init__(params, {"lr": learning_rate, "eps": eps})

        def step(self, closure=None):
            pass

    class Open:
        def __init__(self, params, **options):
            self.param_groups = [{"params": list(params), **options}]

        def step(self):
            pass

    class NoGroups:
        def __init__(self, params):
            pass

        def step(self):
            pass

    class NoStep(torch.optim.Optimizer):
        pass

    class Nothing:
        pass

    def make(params):
        pass
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith(("_optbench_file", "own_")):
            del sys.modules[name]


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))
    return path


def refusal(target):
    with pytest.raises(UsageError) as caught:
        load_class(target)
    message = str(caught.value)
    assert "\n" not in message and repr(target) in message
    return message


def test_loads_from_a_file_and_from_a_module_of_the_current_folder(folder):
    write(folder / "own_code.py", GOOD)
    write(folder / "own_package" / "deep.py", GOOD)
    assert load_class("own_code.py:Plain").__name__ == "Plain"
    assert load_class(f"{folder}/own_code.py:Plain") is load_class("own_code.py:Plain")
    assert load_class("own_code:Plain").__module__ == "own_code"
    assert load_class("own_package.deep:Plain").__module__ == "own_package.deep"
    assert load_class("torch.optim:AdamW").__name__ == "AdamW"


def test_a_file_does_not_shadow_a_module_of_its_name(folder):
    import random

    write(folder / "random.py", GOOD)
    assert load_class("random.py:Plain").__name__ == "Plain"
    assert sys.modules["random"] is random


def test_a_file_imports_its_neighbours(folder):
    write(folder / "deep" / "own_helper.py", "RATE = 1\n")
    write(
        folder / "deep" / "own_main.py", "from own_helper import RATE\nimport torch\nclass A(torch.optim.SGD): pass\n"
    )
    assert load_class("deep/own_main.py:A").__name__ == "A"


def test_the_optimizer_of_a_file_survives_pickle(folder):
    import pickle

    import torch

    write(folder / "own_code.py", GOOD)
    optimizer = load_class("own_code.py:Plain")([torch.nn.Parameter(torch.ones(2))], lr=0.5)
    assert pickle.loads(pickle.dumps(optimizer)).param_groups[0]["lr"] == 0.5


def test_shape_of_the_target(folder):
    for target in ("no_colon", ":Class", "module:"):
        assert "expected package.module:Class or path/file.py:Class" in refusal(target)


def test_missing_file_and_module(folder):
    write(folder / "own_code.py", GOOD)
    assert "there is no file 'own_cod.py': did you mean 'own_code.py'?" in refusal("own_cod.py:Plain")
    assert "there is no file 'elsewhere/x.py': the current folder is" in refusal("elsewhere/x.py:Plain")
    assert "there is no module 'own_missing' here: install it" in refusal("own_missing:Plain")
    assert "there is no module 'torch.optim.missing' here" in refusal("torch.optim.missing:Plain")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\n1 / 0\n", "raised ZeroDivisionError: division by zero (own_bad.py, line 2)"),
        (
            "x = 1\nimport own_not_there\n",
            "raised ModuleNotFoundError: No module named 'own_not_there' (own_bad.py, line 2)",
        ),
        ("x = 1\n\ndef f(:\n", "raised SyntaxError: invalid syntax (own_bad.py, line 3)"),
        ("raise SystemExit\n", "raised SystemExit: without a message (own_bad.py, line 1)"),
        ("raise ValueError('two\\nlines')\n", "raised ValueError: two lines (own_bad.py, line 1)"),
    ],
)
def test_an_import_that_raises_names_exception_and_line(folder, text, said):
    write(folder / "own_bad.py", text)
    for target in ("own_bad.py:A", "own_bad:A"):
        assert said in refusal(target)


def test_attributes_that_are_no_optimizer(folder):
    write(folder / "own_code.py", GOOD)
    assert "it has no 'Plian': did you mean 'Plain'?" in refusal("own_code.py:Plian")
    assert "its classes are: Plain, Renamed, Open, NoGroups, NoStep, Nothing." in refusal("own_code.py:zzz")
    assert "that is a function, not a class" in refusal("own_code.py:make")
    assert "NoStep has no `step` of its own" in refusal("own_code.py:NoStep")
    assert "Nothing is no optimizer: it lacks `step` and `param_groups`" in refusal("own_code.py:Nothing")
    assert "NoGroups is no optimizer: it lacks `param_groups`" in refusal("own_code.py:NoGroups")
    assert "base class" in refusal("torch.optim:Optimizer")
    assert load_class("own_code.py:Open").__name__ == "Open"


def test_options_come_from_the_signature(folder):
    write(folder / "own_code.py", GOOD)
    assert accepted_options(load_class("own_code.py:Renamed")) == {"lr", "eps"}
    assert accepted_options(load_class("own_code.py:Open")) is None
    assert "momentum" in (accepted_options(load_class("own_code.py:Plain")) or set())


def test_a_composite_names_its_parts_before_the_optimizer():
    assert accepted_options(load_class("torch.optim.lr_scheduler:ChainedScheduler")) == {"schedulers"}
    assert accepted_options(load_class("torch.optim.lr_scheduler:StepLR")) == {"step_size", "gamma", "last_epoch"}


def test_adapter_renames_options_and_state(folder):
    import torch

    write(folder / "own_code.py", GOOD)
    made = load_factory("own_code.py:Renamed")([torch.nn.Parameter(torch.ones(1))], lr=0.25, eps=1e-3)
    assert made.param_groups[0]["lr"] == 0.25 and made.param_groups[0]["eps"] == 1e-3
    told = describe("own_code.py:Renamed")
    inherits = told.pop("inherits")
    assert told == {
        "name": "Renamed", "kind": "optimizer", "options": ["eps", "lr"], "named": ["eps", "lr"],
        "state": {"m": "exp_avg"},
    }  # fmt: skip
    assert {"__init__", "load_state_dict", "add_param_group"} <= set(inherits) and "step" not in inherits
    other = describe("own_code.py:Open")
    assert (other["options"], other["named"], other["inherits"]) == (None, [], [])


def test_kinds_of_foreign_code(folder):
    text = """
        import torch
        from optbench.adapter import Adapter

        class Average(torch.nn.Module):
            def __init__(self, model, beta=0.9):
                super().__init__()

            def update_parameters(self, model):
                pass

        class Other:
            names = Adapter(options={"beta": "decay"}, state={"update": "update_parameters", "ema_model": "module"})

            def __init__(self, model, beta=0.9):
                pass

            def update(self, model):
                pass

        class Schedule:
            def __init__(self, optimizer, gamma):
                pass

            def get_last_lr(self):
                pass

            def step(self):
                pass
    """
    write(folder / "own_kinds.py", text)
    kinds = {name: describe(f"own_kinds.py:{name}")["kind"] for name in ("Average", "Other", "Schedule")}
    assert kinds == {"Average": "averager", "Other": "averager", "Schedule": "scheduler"}
    assert describe("torch.optim.lr_scheduler:StepLR")["kind"] == "scheduler"
    assert describe("torch.optim.swa_utils:AveragedModel")["kind"] == "averager"
    assert describe("own_kinds.py:Other")["options"] == ["decay"]


def test_adapter_of_the_module_serves_every_class_without_its_own(folder):
    write(folder / "own_code.py", GOOD + "\n    anything = Adapter(state={'v': 'exp_avg_sq'})\n")
    assert adapter_of(load_class("own_code.py:Plain")).state == {"v": "exp_avg_sq"}
    assert adapter_of(load_class("own_code.py:Renamed")).state == {"m": "exp_avg"}
    assert adapter_of(load_class("torch.optim:Adam")) == Adapter()


def test_importing_it_needs_no_torch():
    code = "import optbench.foreign.loading, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
