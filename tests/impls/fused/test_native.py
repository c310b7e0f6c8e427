"""Compiled kernels: what is in them, and when the copy on disk is used."""

import dataclasses
import os
import re
import subprocess
import sys
import textwrap

import pytest
from optbench.impls import fused
from optbench.impls.fused import adam, asgd, native, numba_source
from optbench.impls.fused.lang import Rule, constexpr, rule
from optbench.impls.fused.optimizer import FusedOptimizer

FLAGS = (1, 1, 1, 1)
CLASSES = (getattr(fused, name) for name in fused.__all__)
RULES = list(dict.fromkeys(cls.rule for cls in CLASSES if issubclass(cls, FusedOptimizer)))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("OPTBENCH_CACHE_DIR", str(tmp_path))
    native.kernel.cache_clear()
    yield tmp_path
    native.kernel.cache_clear()


@rule
def prepare(step, lr, FAST: constexpr):
    return lr


@rule
def update(param, grad, lr, FAST: constexpr):
    # step
    param = param - lr * grad
    if FAST:
        param = param - lr * grad
    return param


SIMPLE = Rule("simple", prepare, update, state=(), hyper=("lr",), scalars=("lr",), flags=("FAST",), stores_step=False)


@pytest.mark.parametrize(
    ("described", "storage"),
    [(described, "float32") for described in RULES] + [(adam.RULE, "bfloat16"), (asgd.RULE, "bfloat16")],
    ids=lambda value: getattr(value, "name", value),
)
def test_no_double_precision_in_the_loop(described, storage):
    flags = (1,) * len(described.flags)
    _, text = native.compile_kernel(numba_source.update_source(described, flags, storage), "update", "llvm")
    # Scalars are narrowed once a tensor; every arithmetic instruction is in float32, in vectors, and without
    # fast-math flags.
    assert not re.search(r"= f(add|sub|mul|div|neg)[a-z ]* (<\d+ x )?double", text)
    assert not re.search(r"fpext .* to (<\d+ x )?double", text)
    assert re.search(r"= fmul <\d+ x float>", text)
    assert not re.search(r"= f(add|sub|mul|div) (fast|reassoc|contract|nnan|ninf|nsz|arcp|afn)", text)


def test_no_contraction():
    _, text = native.compile_kernel(numba_source.update_source(adam.RULE, FLAGS, "float32"), "update", "asm")
    assert not re.search(r"\t(vfn?m|fmadd|fmla)", text)
    assert re.search(r"\tv?mul", text) or re.search(r"\tfmul", text)


def test_a_kernel_is_compiled_once_and_then_read(folder, monkeypatch):
    source = numba_source.update_source(SIMPLE, (0,), "float32")
    native.kernel(source, "update")
    assert [path.suffix for path in folder.iterdir()] == [".bin"]
    native.kernel.cache_clear()
    monkeypatch.setattr(native, "compile_kernel", None)
    native.kernel(source, "update")


def test_a_changed_rule_is_compiled_anew(folder):
    @rule
    def update(param, grad, lr, FAST: constexpr):
        # step
        param = param - 2.0 * lr * grad
        return param

    changed = dataclasses.replace(SIMPLE, update=update)
    sources = [
        numba_source.update_source(SIMPLE, (0,), "float32"),
        numba_source.update_source(SIMPLE, (1,), "float32"),
        numba_source.update_source(SIMPLE, (0,), "float64"),
        numba_source.update_source(changed, (0,), "float32"),
    ]
    for source in sources:
        native.kernel(source, "update")
    assert len(list(folder.iterdir())) == 4


@pytest.mark.parametrize("part", range(8))
def test_whatever_decides_the_machine_code_is_in_the_key(part, monkeypatch):
    parts = list(native._environment())
    before = native._key("source", "update")
    parts[part] += " of another kind"
    monkeypatch.setattr(native, "_environment", lambda: tuple(parts))
    assert native._key("source", "update") != before


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: b"", lambda content: b"x" + content])
def test_a_damaged_file_is_compiled_anew(folder, damage):
    source = numba_source.update_source(SIMPLE, (0,), "float32")
    native.kernel(source, "update")
    (path,) = folder.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    assert native._read(path) is None
    native.kernel.cache_clear()
    native.kernel(source, "update")
    assert native._read(path) is not None


def test_nowhere_to_write(tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setenv("OPTBENCH_CACHE_DIR", str(file / "below"))
    native.kernel.cache_clear()
    native.kernel(numba_source.update_source(SIMPLE, (0,), "float32"), "update")


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("if lr > 0:\n        param = grad", "flags only"),
        ("for i in range(3):\n        param = grad", "may hold assignments"),
        ("param = abs(param)", "may call"),
        ("param = param + 'a'", "numbers only"),
        ("param = param + 0.1", "a hyperparameter"),
        ("return param", "one return"),
    ],
)
def test_what_a_rule_may_not_hold(tmp_path, statement, message):
    text = f"def update(param, grad, lr, FAST):\n    {statement}\n    return param\n"
    path = tmp_path / "rule_with_a_fault.py"
    path.write_text(text)
    names: dict = {}
    exec(compile(text, str(path), "exec"), names)
    with pytest.raises(ValueError, match=message):
        numba_source.update_source(dataclasses.replace(SIMPLE, update=names["update"]), (0,), "float32")


def run_python(program, **environment):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout.split()


STEP = """
import sys
sys.path.insert(0, ".")
{before}
import torch
from optbench.impls import fused
param = torch.ones(10, requires_grad=True)
param.grad = torch.ones(10)
optimizer = fused.Adam([param])
optimizer.step()
optimizer.step()
print(optimizer.backend, "numba" in sys.modules, param[0].item())
"""


def test_a_cached_kernel_needs_neither_numba_nor_triton(tmp_path):
    # torch itself imports Triton where it finds it.
    block = "sys.modules['triton'] = None"
    compiled = run_python(STEP.format(before=block), OPTBENCH_CACHE_DIR=str(tmp_path))
    assert compiled[:2] == ["numba", "True"]
    cached = run_python(STEP.format(before=f"{block}; sys.modules['numba'] = None"), OPTBENCH_CACHE_DIR=str(tmp_path))
    assert cached[0] == "numba"
    assert cached[2] == compiled[2]
