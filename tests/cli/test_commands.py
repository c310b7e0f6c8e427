"""The command as a user meets it, in a process of its own; commands that are quick share one."""

import contextlib
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from optbench import registry, subjects

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "numba", "pandas", "matplotlib", "rich", "triton", "jinja2", "numpy")
_BATCH = """
import contextlib, io, json, sys
commands, heavy, blocked = json.load(sys.stdin)
for name in blocked:
    sys.modules[name] = None
from optbench.cli.app import run
for command in commands:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = run(command)
    imported = sorted(name for name in heavy if sys.modules.get(name))
    print(json.dumps([status, out.getvalue(), err.getvalue(), imported]))
"""


def environment(**more):
    return {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80", **more}


def optbench(*arguments, cwd, **more):
    """The outcome of one command line."""
    return subprocess.run(
        [sys.executable, "-m", "optbench", *arguments],
        cwd=cwd,
        env=environment(**more),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
    )


def batch(commands, cwd, blocked=()):
    """Exit status, standard output and error of each command, and which heavy packages are imported by then."""
    done = subprocess.run(
        [sys.executable, "-c", _BATCH],
        input=json.dumps([commands, HEAVY, blocked]),
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


LIGHT = [
    ["--help"],
    ["--version"],
    ["compare", "--help"],
    ["selftest", "--help"],
    ["diff", "--help"],
    ["list"],
    ["list", "algos"],
    ["list", "laws"],
    ["list", "workloads"],
    ["list", "deviations"],
    *(["show", name] for name in subjects.NAMES),
    ["show", "opt.layouts"],
    ["show", "D-005"],
    ["show", "adam", "--source", "reference"],
]


def test_light_commands_import_nothing_heavy_and_fit_80_columns(tmp_path):
    for command, (status, out, err, imported) in zip(LIGHT, batch(LIGHT, tmp_path), strict=True):
        assert (status, err, imported) == (0, "", []), command
        assert out.strip()
        if "--source" not in command:
            assert max(map(len, out.splitlines())) <= 80, command


@pytest.mark.parametrize("arguments", [["--help"], ["list"]], ids=" ".join)
def test_help_and_list_answer_at_once(arguments, tmp_path):
    # At most 0.4 s on an idle machine. CPU time tells it on a busy one too, where the best of a few tries counts.
    pytest.importorskip("resource")
    code = (
        "import resource, subprocess, sys\n"
        "subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(used.ru_utime + used.ru_stime)\n"
    )
    command = [sys.executable, "-c", code, sys.executable, "-m", "optbench", *arguments]
    times: list[float] = []
    while len(times) < 8 and min(times, default=1.0) >= 0.4:
        times.append(float(subprocess.check_output(command, cwd=tmp_path, env=environment(), text=True)))
    assert min(times) < 0.4, times


def test_completion_knows_the_names(tmp_path):
    words = {"_OPTBENCH_COMPLETE": "complete_bash", "COMP_CWORD": "2", "COMP_WORDS": "optbench show ad"}
    found = optbench(cwd=tmp_path, **words).stdout.split()
    assert found == ["adadelta", "adafactor", "adagrad", "adam", "adamax", "adamw"]


TIERS = ("reference", "foreach", "fused")
WRONG = [
    ("compare --algo adma", "unknown algorithm 'adma': did you mean 'adamax'? `optbench list algos` shows all."),
    ("check --algo adam --impl fusde", "unknown implementation 'fusde': did you mean 'fused'?"),
    ("check --algo adam --law opt.layout", "unknown law 'opt.layout': did you mean 'opt.layouts'?"),
    ("check --algo adam --dtype floot32", "unknown dtype 'floot32': did you mean 'float32'?"),
    ("check --algo adam --device GPU!", "--device 'GPU!' is no torch device"),
    ("check --algo adam -k (a", "-k '(a' cannot be read"),
    ("bench --algo adam --workload 1x", "unknown workload '1x'"),
    ("bench --algo steplr --workload 1x16M", "does not fit: a scheduler is timed on parameter groups: 1000groups, "),
    ("compare --algo ema -w 1000x64/autograd", "does not fit: an averager is timed on tensors without gradients"),
    ("bench --algo adam --workload 100groups", "does not fit: an optimizer is timed on tensors with gradients"),
    ("bench --algo steplr --dtype bfloat16", "--dtype bfloat16: steplr takes float64."),
    ("bench --algo ema --baseline torch-fused", "baseline 'torch-fused' has no averagers: name one of torch-best, "),
    ("bench --algo adam --baseline torch-bets", "unknown implementation 'torch-bets'"),
    ("bench --algo adam --format junit", "--format junit tells about laws"),
    ("compare --algo adam --no-check --no-bench", "leave nothing to do"),
    ("compare --algo adam -o no/folder/x", "there is no folder 'no/folder'"),
    ("compare --algo adam --html .", "--html '.' is a folder"),
    ("compare --algo adam --seed -1", "Invalid value for '--seed'"),
    ("compare --algo adam --suite quik", "'quik' is not one of 'quick', 'full'. Try `optbench compare --help`."),
    ("check", "check needs --algo NAMES (`optbench list algos` shows all), or a class of your own: --impl package"),
    ("check --impl fused", "fused has many algorithms: name one by --algo; `optbench list algos` has all."),
    ("check --impl a.py:A,reference", "reference has many algorithms: name one by --algo"),
    ("check --algo adam --oracle a.py:A", "--oracle judges classes of your own only: name one by --impl path/file.py"),
    ("check --impl a.py:A --oracle fused", "--oracle 'fused' is ours, and judges already: name a class of your own."),
    ("check --impl a.py:A --oracle b", "unknown implementation 'b': `optbench list impls` shows all."),
    ("check --algo adam --impl mine/adam.py", "--impl 'mine/adam.py' names a file and no class: write mine/adam.py:C"),
    ("check --algo adam --expect none.toml", "--expect 'none.toml': there is no such file."),
    ("compare", "Missing option '--algo' / '-a'. Try `optbench compare --help`."),
    ("compare --algoo adam", "No such option: --algoo"),
    ("compaer", "No such command 'compaer'"),
    ("show opt.layotus", "unknown algorithm, law or deviation 'opt.layotus': did you mean 'opt.layouts'?"),
    ("show opt.layouts --source fused", "opt.layouts has no such source; only algorithms have."),
    ("show d-005 --source fused", "d-005 has no such source"),
    ("list laws -o x.md", "-o 'x.md': only deviations have a page"),
    ("report none.json -o x.html", "there is no record none.json"),
    ("diff none.json none.json", "there is no record none.json"),
    ("diff none.json none.json --threshold 10", "--threshold '10' is no part: write 10% or 0.1."),
]


def test_wrong_usage_is_one_line_and_needs_no_torch(tmp_path):
    # Names are checked before anything slow is imported: here torch cannot be.
    outcomes = batch([command.split() for command, _ in WRONG], tmp_path, blocked=["torch"])
    for (command, said), (status, out, err, _) in zip(WRONG, outcomes, strict=True):
        assert status == 2 and out == "", command
        assert said in err and err.startswith("optbench: ") and err.count("\n") == 1, (command, err)
    assert list(tmp_path.iterdir()) == []


def test_no_arguments_show_the_help(tmp_path):
    ((status, out, err, _),) = batch([[]], tmp_path)
    assert status == 2 and "Usage: optbench" in out + err


def test_devices_that_are_not_there(tmp_path):
    commands = [["check", "--algo", "sgd", "--device", device] for device in ("nonsense", "xpu")]
    nonsense, missing = batch([*commands], tmp_path)
    assert nonsense[0] == 2 and "--device 'nonsense': Expected one of cpu" in nonsense[2]
    assert missing[0] == 3 and "--device 'xpu' is not there" in missing[2]
    assert nonsense[2].count("\n") == missing[2].count("\n") == 1
    assert not (tmp_path / ".optbench").exists()


def test_list_impls_and_env(tmp_path):
    impls, text, plain = batch([["list", "impls"], ["env"], ["env", "--format", "json"]], tmp_path)
    rows = {line.split()[0]: line.split()[1:] for line in impls[1].splitlines() if line}
    assert rows["Adam"][:6] == ["for-loop", "✓", "✓", "✓", "✓", "✓"]
    assert rows["AdamW"][:3] == ["for-loop", "✓", "✓"]
    assert rows["RMSprop"][:3] == ["for-loop", "✓", "–"]
    assert rows["LBFGS"][:3] == ["for-loop", "–", "–"]
    assert rows["Lion"][:3] == ["–", "–", "–"]
    for subject in map(subjects.load, subjects.NAMES):
        assert rows[subject.class_name][-3:] == ["✓", "✓", "✓"]
    assert rows["OneCycleLR"][:-3] == ["torch"] and rows["AveragedModel"][:-3] == ["torch-forloop,", "torch-foreach"]
    assert "cores " in text[1]
    assert json.loads(plain[1])["torch"]
    assert [outcome[0] for outcome in (impls, text, plain)] == [0, 0, 0]


def test_show_tells_what_an_algorithm_costs_and_where_torch_differs(tmp_path):
    names = ("sgd", "sparse_adam", "lbfgs", "lion")
    sgd, sparse, lbfgs, lion = batch([["show", name] for name in names], tmp_path)
    assert "\n   12  defaults\n   20  momentum=0.9\n" in sgd[1]
    assert "for each float32 element of a row with a gradient" in sparse[1] and "several passes" in lbfgs[1]
    assert "  D-004  torch-fused breaks" in sgd[1] and "pytorch#191763" in sgd[1]
    assert "torch.optim breaks" not in lion[1]
    assert "takes every option but differentiable=True: use optbench.reference.SGD" in " ".join(sgd[1].split())
    assert "differentiable" not in sparse[1] + lbfgs[1]


def test_show_tells_of_schedulers_and_averagers_what_they_have(tmp_path):
    commands = [["show", "onecyclelr"], ["show", "ema"], *(["show", "swa", "--source", tier] for tier in TIERS)]
    cycle, ema, *sources = batch(commands, tmp_path)
    assert "OneCycleLR: " in cycle[1] and "\n  max_lr            required " in cycle[1]
    assert "State" not in cycle[1] and "Bytes" not in cycle[1] and "opt." not in cycle[1] + ema[1]
    assert "\n   12  defaults\n" in ema[1] and "State" not in ema[1]
    assert "takes every option of torch's" in cycle[1] and "takes every option of torch's" in ema[1]
    assert all("class AveragedModel" in out for _, out, _, _ in sources)


@pytest.mark.parametrize("name", [subject.name for subject in subjects.select("optimizers")])
def test_show_tells_truly_which_tier_takes_differentiable(name):
    subject = subjects.load(name)
    weights = [torch.nn.Parameter(torch.ones(2, 2))]
    for tier in ("reference", "foreach", "fused"):
        cls = registry.find(tier).load(subject.class_name)
        assert ("differentiable" in inspect.signature(cls).parameters) == subject.differentiable
        if subject.differentiable:
            with contextlib.nullcontext() if tier == "reference" else pytest.raises(ValueError, match="differentiable"):
                cls(weights, differentiable=True)


def test_symbols_have_stand_ins_where_the_encoding_lacks_them(tmp_path):
    done = optbench("list", "impls", cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert "Adam        for-loop  +        +      +" in done.stdout
