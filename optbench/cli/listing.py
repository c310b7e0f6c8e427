"""`optbench list`: what there is."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import deviations, options
from .tables import grid
from .terminal import note, width, wrap

if TYPE_CHECKING:
    from optbench.registry import Implementation


class What(StrEnum):
    algos = "algos"
    impls = "impls"
    laws = "laws"
    workloads = "workloads"
    deviations = "deviations"


def listing(
    what: Annotated[What | None, typer.Argument(help="One of them; all, where absent.")] = None,
    device: options.Device = "cpu",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="With `deviations`: their page, in Markdown.")
    ] = None,
) -> None:
    """List algorithms, implementations, laws, workloads, and deviations: where torch.optim breaks a law.

    `list impls` prints the implementations at hand, at once, and then torch.optim's own table, live for --device, with
    what ours offer beside it: that alone imports torch, and takes seconds.
    """
    if output:
        _page(what, output)
        return
    if what == What.impls:
        _implementations(device)
        return
    if what == What.deviations:
        _rows(deviations.lines(), "")
        return
    sections = {What.algos: _algos, What.laws: _laws, What.workloads: _workloads}
    if what:
        sections[what]()
        return
    for name, section in (*sections.items(), (What.impls, _implementation_names)):
        print(name.value.capitalize() if name != What.impls else "Impls (`optbench list impls` prints torch's own too)")
        section("  ")
        print()
    print("Deviations: where torch.optim breaks a law, see `optbench list deviations`")


def _page(what: What | None, output: Path) -> None:
    from optbench.errors import UsageError
    from optbench.runs.records import write_text

    from .report import render_deviations

    if what != What.deviations:
        raise UsageError(f"-o {str(output)!r}: only deviations have a page: `optbench list deviations -o FILE`.")
    write_text(output, render_deviations())
    print(output)


def _rows(rows: list[list[str]], indent: str) -> None:
    widest = max(len(row[0]) for row in rows)
    for name, *rest in rows:
        print(wrap(f"{indent}{name:<{widest}}  {'  '.join(rest)}", width(), " " * (widest + len(indent) + 2)))


def _algos(indent: str = "") -> None:
    from optbench import subjects

    everything = [subjects.load(name) for name in subjects.NAMES]
    _rows([[subject.name, f"{subject.kind:<9}", subject.summary] for subject in everything], indent)


def _laws(indent: str = "") -> None:
    from optbench.laws import entries

    _rows([[name, f"{entry.law.level:<5}", entry.law.statement] for name, entry in entries().items()], indent)


def _workloads(indent: str = "") -> None:
    from optbench.timing.workloads import SUITES, WORKLOADS

    quick = {*SUITES["quick"], *(name for name, workload in WORKLOADS.items() if workload.groups)}
    suite = {name: "quick" if name in quick else "full " for name in WORKLOADS}
    _rows([[name, suite[name], workload.meaning] for name, workload in WORKLOADS.items()], indent)


def _implementation_names(indent: str = "", device: str = "") -> None:
    """Ours, torch's, and what installed packages offer; on a device what runs them. What is wrong there is a note."""
    from optbench.foreign import installed
    from optbench.registry import IMPLEMENTATIONS

    offers = installed.offers(IMPLEMENTATIONS)
    rows = [
        [name, item.summary + (f" ({item.backend_on(device)})" if device else "")]
        for name, item in IMPLEMENTATIONS.items()
    ]
    _rows(rows + [[each.name, f"{each.target} of {each.package}"] for each in offers if not each.problem], indent)
    for each in offers:
        if each.problem:
            note(f"optbench: entry point {each.name!r}: {each.problem}")


def _implementations(device: str) -> None:
    """The implementations' names, and which of torch.optim's classes they offer."""
    from optbench.registry import IMPLEMENTATIONS

    _implementation_names(device=device)
    print(wrap("Foreign code: --impl package.module:Class or path/file.py:Class.", width()))
    # Before torch is imported, which takes seconds.
    sys.stdout.flush()

    from .torch_table import require_device, torch_paths

    require_device(device)
    print(f"\ntorch.optim on {device}, and ours beside it")
    ours = [item for item in IMPLEMENTATIONS.values() if item.ours and item.name != "fused-triton"]
    rows = [["", "torch's", "has", "has", *("ours:" if number == 0 else "" for number in range(len(ours)))]]
    rows.append(["", "default", "foreach", "fused", *(item.name for item in ours)])
    for path in torch_paths(device):
        has = ["✓" if there else "–" for there in (path.foreach, path.fused)]
        rows.append([path.name, path.default, *has, *_offered(ours, path.name)])
    for name in _not_in_torch():
        rows.append([name, "–", "–", "–", *_offered(ours, name)])
    print("\n".join(grid(rows)))
    print("\nIts schedulers and averagers, and ours beside them")
    rows = [["", "torch's paths", *(item.name for item in ours)]]
    for class_name, module, kind in _beside_optimizers():
        theirs = [item for item in IMPLEMENTATIONS.values() if not item.ours and kind in item.kinds]
        paths = ", ".join(item.name for item in theirs if _offers(item, class_name, module))
        rows.append([class_name, paths, *_offered(ours, class_name, module)])
    print("\n".join(grid(rows)))


def _not_in_torch() -> list[str]:
    from optbench import subjects

    return [subject.class_name for subject in subjects.select("optimizers") if not subject.in_torch]


def _beside_optimizers() -> list[tuple[str, str, str]]:
    """Class, submodule and kind of every scheduler and averager, each once."""
    from optbench import subjects

    chosen = [subjects.load(name) for name in subjects.NAMES]
    return list(dict.fromkeys((each.class_name, each.module, each.kind) for each in chosen if each.kind != "optimizer"))


def _offered(implementations: list[Implementation], class_name: str, module: str = "") -> list[str]:
    return ["✓" if _offers(item, class_name, module) else "–" for item in implementations]


def _offers(implementation: Implementation, class_name: str, module: str) -> bool:
    """Whether an implementation offers a class of torch.optim, or of a submodule of it."""
    from optbench.errors import NothingToRun

    try:
        implementation.load(class_name, module)
    except NothingToRun:
        return False
    return True
