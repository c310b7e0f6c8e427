"""The options that several commands share, what they mean together, and what is wrong with them. Needs no torch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from optbench.errors import NothingToRun, UsageError, unknown

if TYPE_CHECKING:
    from optbench.expected import Expectations

_GROUPS = ("optimizers", "schedulers", "averaging")
DTYPES = ("float32", "float64", "bfloat16", "float16", "complex64", "complex128")


class Suite(StrEnum):
    quick = "quick"
    full = "full"


class Format(StrEnum):
    table = "table"
    json = "json"
    junit = "junit"
    github = "github"


class Require(StrEnum):
    torch = "torch"


def _algos(incomplete: str) -> list[str]:
    from optbench.subjects import NAMES

    return [name for name in (*NAMES, "all", *_GROUPS) if name.startswith(incomplete)]


def _impls(incomplete: str) -> list[str]:
    from optbench.foreign import installed
    from optbench.registry import IMPLEMENTATIONS

    names = (*IMPLEMENTATIONS, *(each.name for each in installed.offers(IMPLEMENTATIONS) if not each.problem))
    return [name for name in names if name.startswith(incomplete)]


def _laws(incomplete: str) -> list[str]:
    from optbench.laws import entries

    return [name for name in entries() if name.startswith(incomplete)]


def _workloads(incomplete: str) -> list[str]:
    from optbench.timing.workloads import WORKLOADS

    return [name for name in WORKLOADS if name.startswith(incomplete)]


def _dtypes(incomplete: str) -> list[str]:
    return [name for name in DTYPES if name.startswith(incomplete)]


Algo = Annotated[
    str,
    typer.Option("--algo", "-a", metavar="NAMES", autocompletion=_algos,
                 help="Algorithms: names, commas, globs, `all`, `optimizers`, `schedulers`, `averaging`."),
]  # fmt: skip
AlgoOrOwn = Annotated[
    str,
    typer.Option("--algo", "-a", metavar="NAMES", autocompletion=_algos,
                 help="As of `compare`. Without it, --impl names classes of your own: they are asked every law that "
                      "needs no formula."),
]  # fmt: skip
OracleOption = Annotated[
    str,
    typer.Option("--oracle", metavar="WHERE:CLASS",
                 help="Your own reference class: its run in float64 decides what is right."),
]  # fmt: skip
Impl = Annotated[
    list[str] | None,
    typer.Option("--impl", "-i", metavar="NAMES", autocompletion=_impls,
                 help="Implementations to judge: names of `optbench list impls`, package.module:Class or "
                      "path/file.py:Class; repeatable, or with commas. Default: ours; torch's stand beside them."),
]  # fmt: skip
Baseline = Annotated[
    str,
    typer.Option("--baseline", metavar="NAME", autocompletion=_impls,
                 help="What ratios are over: torch-best, torch (what torch.optim chooses here), or an implementation."),
]  # fmt: skip
Device = Annotated[str, typer.Option("--device", "-d", metavar="DEVICE", help="cpu, cuda, or any torch device.")]
Dtype = Annotated[
    list[str] | None,
    typer.Option("--dtype", metavar="NAMES", autocompletion=_dtypes,
                 help="Storage dtypes; the first one is timed. Default: the suite's, float32 is timed."),
]  # fmt: skip
SuiteOption = Annotated[Suite, typer.Option("--suite", help="How much is checked and timed.")]
Workload = Annotated[
    list[str] | None,
    typer.Option("--workload", "-w", metavar="NAMES", autocompletion=_workloads,
                 help="Names of `optbench list workloads`, COUNTxSIZE, COUNTgroups for schedulers, or "
                      "path/train.py:build_model."),
]  # fmt: skip
Keyword = Annotated[
    str,
    typer.Option("-k", metavar="EXPR",
                 help="Only cases whose `law[case]` fits: words, and, or, not; a whole `law[case]` is that case."),
]  # fmt: skip
LawOption = Annotated[
    list[str] | None, typer.Option("--law", "-l", metavar="GLOBS", autocompletion=_laws, help="Only these laws.")
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seeds values, order and, in the full suite, further cases.")]
FormatOption = Annotated[Format, typer.Option("--format", "-f", help="How the outcome is written.")]
Output = Annotated[
    str, typer.Option("--output", "-o", metavar="FILE", help="Where the outcome goes; `-` is standard output.")
]
Html = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Where the report goes.")]
Repro = Annotated[
    Path | None,
    typer.Option("--repro", metavar="FILE", help="Where a script of plain torch goes that shows the first failure."),
]
Resume = Annotated[
    Path | None,
    typer.Option("--resume", metavar="RECORD", help="Go on with a run that did not end, given the same options."),
]
RequireOption = Annotated[
    Require | None, typer.Option("--require", help="Judge foreign code as a drop-in for torch.optim too.")
]

Expect = Annotated[
    Path | None,
    typer.Option("--expect", metavar="FILE",
                 help="TOML file of the failures that the judged implementations' owner expects, each with a reason."),
]  # fmt: skip


def split(values: Sequence[str] | None) -> tuple[str, ...]:
    """The values of a repeatable option that also takes commas, each once."""
    items = (item.strip() for value in values or () for item in value.split(","))
    return tuple(dict.fromkeys(item for item in items if item))


@dataclass(frozen=True)
class Request:
    """What a run was asked for. The names are checked before anything slow is imported.

    Args:
        command: "compare", "check" or "bench".
        algo: as given; empty: what the classes are by themselves.
        impl: names; empty: the default ones.
        baseline: as given.
        device: a torch device.
        dtypes: empty: the suite's.
        suite: "quick" or "full".
        workloads: empty: the suite's.
        keyword: `-k`.
        laws: globs; empty: all.
        seed: the run's seed.
        format: "table", "json", "junit" or "github".
        output: a file, or "-".
        html: the report's file; None: beside the record, in `compare` only.
        resume: the record to go on with.
        require_torch: `--require torch`.
        check: whether laws are checked.
        bench: whether anything is timed.
        expect: the file of expected failures.
        oracle: the user's own class that decides what is right.
        repro: the file of a script that shows the first failure.
    """

    command: str
    algo: str
    impl: tuple[str, ...] = ()
    baseline: str = "torch-best"
    device: str = "cpu"
    dtypes: tuple[str, ...] = ()
    suite: str = "quick"
    workloads: tuple[str, ...] = ()
    keyword: str = ""
    laws: tuple[str, ...] = ()
    seed: int = 0
    format: str = "table"
    output: str = "-"
    html: Path | None = None
    resume: Path | None = None
    require_torch: bool = False
    check: bool = True
    bench: bool = True
    expect: Path | None = None
    oracle: str = ""
    repro: Path | None = None

    @property
    def timed_dtype(self) -> str:
        return self.dtypes[0] if self.dtypes else "float32"

    def validate(self) -> None:
        """Refuse what cannot be meant, without importing torch.

        Raises:
            UsageError: an unknown name, or options that exclude one another.
            NothingToRun: a package is missing that a named implementation needs.
        """
        from optbench import keyword, laws, registry, subjects
        from optbench.foreign import acquaintance
        from optbench.timing import bench, workloads

        if not (self.check or self.bench):
            raise UsageError("--no-check and --no-bench leave nothing to do: drop one of them.")
        chosen = registry.select(list(self.impl), self.device)
        acquaintance.require(self.algo, self.impl, chosen, self.oracle)
        # Without --algo nobody knows them before the classes have been looked at.
        algorithms = subjects.select(self.algo) if self.algo else []
        if any(item.name == "fused-triton" for item in chosen) and not registry.triton_installed():
            raise NothingToRun(
                "fused-triton needs Triton, which is not installed here: pip install 'optbench[triton]'."
            )
        if self.baseline not in ("torch-best", "torch"):
            registry.find(self.baseline)
        for name in self.dtypes:
            if name not in DTYPES:
                raise unknown("dtype", name, DTYPES, f"optbench {self.command} --help")
        takes = dict.fromkeys(dtype for subject in algorithms for dtype in subject.dtypes)
        if self.algo and self.dtypes and not set(self.dtypes) & set(takes):
            raise UsageError(f"--dtype {','.join(self.dtypes)}: {self.algo} takes {', '.join(takes)}.")
        if not re.fullmatch(r"[a-z]+(:\d+)?", self.device):
            raise UsageError(f"--device {self.device!r} is no torch device: write cpu, cuda or cuda:1.")
        keyword.matches(self.keyword, "")
        laws.select(self.laws)
        self.expectations()
        if self.bench:
            kinds = dict.fromkeys(subject.kind for subject in algorithms)
            workloads.check(self.workloads, self.suite, kinds)
            bench.require_baseline(self.baseline, kinds)
        if self.format in ("junit", "github") and not self.check:
            raise UsageError(f"--format {self.format} tells about laws, and this run checks none: drop --no-check.")
        self._validate_files()

    def expectations(self) -> Expectations | None:
        """What the file of expected failures declares."""
        from optbench import expected, laws

        if self.expect is None:
            return None
        if not self.check:
            raise UsageError("--expect tells about laws, and this run checks none: drop --no-check.")
        return expected.load(self.expect, laws.entries())

    def _validate_files(self) -> None:
        output = None if self.output == "-" else Path(self.output)
        for option, path in (("-o", output), ("--html", self.html), ("--repro", self.repro)):
            if path is None:
                continue
            if path.is_dir():
                raise UsageError(f"{option} {str(path)!r} is a folder: name a file in it.")
            if not path.parent.is_dir():
                raise UsageError(f"{option} {str(path)!r}: there is no folder {str(path.parent)!r}.")

    def plan(self) -> dict[str, Any]:
        """What decides the rows of the run, ready for a record: two sittings of a run have to agree in it."""
        return {
            "algo": self.algo,
            "impl": list(self.impl),
            "baseline": self.baseline,
            "device": self.device,
            "dtypes": list(self.dtypes),
            "suite": self.suite,
            "workloads": list(self.workloads),
            "keyword": self.keyword,
            "laws": list(self.laws),
            "seed": self.seed,
            "require_torch": self.require_torch,
            "check": self.check,
            "bench": self.bench,
            "expect": None if self.expect is None else str(self.expect),
            "oracle": self.oracle or None,
        }
