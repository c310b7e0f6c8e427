"""One self-contained HTML page from one or several run records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from . import figures, formats, schedules, tables, timings, trust
from .canvas import Canvas
from .tables import Column, Table

TEMPLATES = Path(__file__).parent / "templates"

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Plot:
    """A figure and the tables behind it."""

    svg: Markup
    caption: str
    tables: list[Table]


@dataclass(frozen=True)
class Deviation:
    """Where torch itself breaks a law, and what shows it."""

    id: str
    anchor: str
    torch_does: str
    ours: str
    upstream: str
    script: str


@dataclass(frozen=True)
class Subject:
    """Everything the page says about one algorithm in one run."""

    name: str
    anchor: str
    matrix: tables.Matrix | None = None
    explanations: list[tables.Explanation] = field(default_factory=list)
    laws: dict[str, str] = field(default_factory=dict)
    deviations: list[Deviation] = field(default_factory=list)
    skips: Table | None = None
    errors: Plot | None = None
    coverage: tables.Coverage | None = None
    schedule: list[Plot] = field(default_factory=list)
    followed: str = ""
    curves: list[Plot] = field(default_factory=list)
    ratios: list[Plot] = field(default_factory=list)
    settings: list[timings.Setting] = field(default_factory=list)


@dataclass(frozen=True)
class Run:
    """Everything the page says about one record."""

    name: str
    label: str
    anchor: str
    command: str
    sentence: str
    context: str
    status: str
    subjects: list[Subject]
    environment: list[tuple[str, str]]
    method: list[str]
    trust: list[Plot] = field(default_factory=list)


def render(records: Sequence[Record], names: Sequence[str] = ()) -> str:
    """A page that needs no network and no JavaScript, in light and dark.

    Args:
        records: run records, as `optbench.runs.records.read` gives them.
        names: what each record is called, usually its path; absent: the command it answers.

    Example:
        >>> "no record" in render([])
        True
    """
    labels = list(names) + [""] * (len(records) - len(names))
    prefixes = [""] if len(records) == 1 else [f"run{number}-" for number in range(1, len(records) + 1)]
    runs = [_run(*given) for given in zip(records, labels, prefixes, strict=True)]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    machines = {str(record.get("environment", {}).get("machine")) for record in records}
    return environment.get_template("report.html.j2").render(
        runs=runs,
        headline=_headline(runs),
        machines=len(machines),
        style=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),
        formats=formats,
        timings=timings,
    )


def _headline(runs: list[Run]) -> tuple[str, str]:
    """Status and sentence at the top of the page."""
    if not runs:
        return "open", "There is no record to report on."
    if len(runs) == 1:
        return runs[0].status, runs[0].sentence
    broken = sum(run.status == "bad" for run in runs)
    unknown = sum(run.status == "open" for run in runs)
    if broken:
        return "bad", f"Of {len(runs)} runs, {broken} broke a law that is judged."
    if unknown:
        return "open", f"Of {len(runs)} runs, {unknown} reached no verdict."
    return "ok", f"Every judged law holds in each of {len(runs)} runs."


def _run(record: Record, name: str, prefix: str) -> Run:
    summary = record.get("summary", {})
    whole = str(summary.get("sentence") or "This run reached no verdict.")
    sentence, _, context = whole.partition(". ")
    # A headline has room for who broke what.
    sentence, _, first = sentence.partition("; first: ")
    context = f"The first case: {first.removesuffix('.')}. {context}".rstrip() if first else context
    status = {0: "ok", 1: "bad"}.get(summary.get("exit_status"), "open")
    environment = record.get("environment", {})
    results, measurements = record.get("results", []), record.get("measurements", [])
    # Tells about times only.
    calibration = environment.get("calibration") if measurements else None
    coverage = record.get("coverage", {})
    subjects = list(dict.fromkeys(row["subject"] for row in [*results, *measurements])) or list(
        record.get("curves") or coverage
    )
    return Run(
        name=name or str(record.get("command", "")),
        label=_label(environment),
        anchor=f"{prefix}run",
        command=str(record.get("command", "")),
        sentence=sentence if sentence.endswith(".") else f"{sentence}.",
        context=context,
        status=status if record.get("finished") else "open",
        subjects=[_subject(record, subject, f"{prefix}{formats.slug(subject)}") for subject in subjects],
        environment=_environment(record),
        method=_method(results, measurements) + ([trust.sentence(calibration)] if calibration else []),
        trust=_trust(calibration, f"{prefix}trust") if calibration else [],
    )


def _trust(calibration: Mapping[str, Any], anchor: str) -> list[Plot]:
    curves = calibration["curves"]
    return [
        _plot(trust.errors(curves), f"{anchor}-same", "How far the same code is from itself",
              [trust.error_table(curves)]),
        _plot(trust.found(curves), f"{anchor}-found", "Which planted slowdowns are found",
              [trust.found_table(curves)]),
    ]  # fmt: skip


def _label(environment: Mapping[str, Any]) -> str:
    gpu = environment.get("gpu") or {}
    on_cpu = str(environment.get("device", "cpu")).startswith("cpu")
    where = environment.get("cpu") if on_cpu else gpu.get("name")
    torch = environment.get("torch")
    when = str(environment.get("time") or "")[:16].replace("T", " ")
    parts = (environment.get("device"), where, f"torch {torch}" if torch else "", f"{when} UTC" if when else "")
    return " · ".join(str(part) for part in parts if part)


def _subject(record: Record, subject: str, anchor: str) -> Subject:
    results = [row for row in record.get("results", []) if row["subject"] == subject]
    timed = [row for row in record.get("measurements", []) if row["subject"] == subject]
    columns = tables.columns([*results, *timed])
    found: dict[str, Any] = {}
    if results:
        matrix, explanations = tables.conformance(results, anchor)
        known = record.get("laws", {})
        found = {
            "matrix": matrix,
            "explanations": explanations,
            "laws": {law: str(known[law].get("statement", "")) for law, _, _ in matrix.rows if law in known},
            "deviations": _deviations(record, explanations, anchor),
            "skips": tables.skips(results),
            "errors": _errors(results, columns, subject, anchor),
        }
    covered = record.get("coverage", {}).get(subject)
    if covered:
        found["coverage"] = tables.coverage(covered)
    looks = figures.styles(columns)
    curve = record.get("curves", {}).get(subject)
    if curve:
        found["followed"] = schedules.detail(curve)
        found["schedule"] = [
            _plot(schedules.rate_figure(subject, curve, looks), f"{anchor}-rate", "The rate at every epoch",
                  [schedules.rate_table(curve)]),
            _plot(schedules.difference_figure(subject, curve, looks), f"{anchor}-distance",
                  "Its distance from the formula", [schedules.difference_table(curve)]),
        ]  # fmt: skip
    if timed:
        found["curves"] = [
            _plot(figures.throughput(curve, looks, f"Throughput of {subject} against size"), f"{anchor}-curve{number}",
                  curve.detail, [timings.curve_table(curve)])
            for number, curve in enumerate(timings.curves(timed), start=1)
        ]  # fmt: skip
        headlines = timings.headlines(timed)
        rows = [row for setting in headlines for row in setting.rows]
        found["ratios"] = [
            _plot(figures.ratios(setting, rows, looks), f"{anchor}-ratio{number}",
                  f"{setting.title}: {setting.detail}", [timings.ratio_table(setting)])
            for number, setting in enumerate(headlines, start=1)
        ]  # fmt: skip
        found["settings"] = timings.settings(timed)
    return Subject(subject, anchor, **found)


def _deviations(record: Record, explanations: list[tables.Explanation], anchor: str) -> list[Deviation]:
    """Those that this algorithm's results name and the record tells about."""
    told = record.get("deviations", {})
    named = {identifier for item in explanations for identifier in item.deviations}
    texts = ("torch_does", "ours", "upstream", "script")
    return [
        Deviation(identifier, f"{anchor}-dev-{number}", *(str(told[identifier].get(text) or "") for text in texts))
        for number, identifier in enumerate(sorted(named & told.keys()), start=1)
    ]


def _errors(results: tables.Rows, columns: list[Column], subject: str, anchor: str) -> Plot | None:
    worst = tables.errors(results)
    sheet = figures.error_dots(worst, columns, f"Worst scaled errors of {subject}")
    return _plot(sheet, f"{anchor}-errors", "", [tables.error_table(worst, columns)]) if sheet else None


def _plot(sheet: Canvas, name: str, caption: str, behind: list[Table]) -> Plot:
    return Plot(Markup(sheet.svg(name)), caption, behind)


def _method(results: tables.Rows, measurements: tables.Rows) -> list[str]:
    told = []
    if any(row["error_ulp"] is not None for row in results):
        told.append(
            "A scaled error is the distance to a float64 oracle over what the dtype's own rounding of inputs and "
            "result allows: 1 is as good as the storage permits. The cap is 8, or a little more where plain "
            "arithmetic in that dtype needs it."
        )
    return told + timings.method(measurements)


def _environment(record: Record) -> list[tuple[str, str]]:
    """Names and values in the order in which a reader asks for them; what is unknown is left out."""
    found = dict(record.get("environment", {}))
    gpu = found.get("gpu") or {}
    load = found.get("load_average")
    commit = found.get("commit")
    threads = [f"{kind} {found[f'{kind}_threads']}" for kind in ("torch", "numba") if found.get(f"{kind}_threads")]
    versions = [f"{name} {found[name]}" for name in ("torch", "triton", "numba", "numpy", "python") if found.get(name)]
    told = {
        "device": found.get("device"),
        "processor": ", ".join(
            part
            for part in (
                str(found.get("cpu") or ""),
                formats.plural(found["cores"], "core") if found.get("cores") else "",
            )
            if part
        ),
        "last cache": formats.size(found.get("last_level_cache_bytes")),
        "accelerator": ", ".join(str(gpu[name]) for name in ("name", "runtime") if gpu.get(name)),
        "driver": gpu.get("driver"),
        "its memory": formats.size(gpu.get("memory_bytes")),
        "system": found.get("os"),
        "threads": ", ".join(threads),
        "versions": ", ".join(versions),
        "optbench": " ".join(
            str(part) for part in (found.get("optbench"), _commit(commit, found.get("dirty"))) if part
        ),
        "load before": " ".join(str(value) for value in load) if load else None,
        "seed": found.get("seed"),
        "machine": found.get("machine"),
        "started": record.get("started"),
        "finished": record.get("finished") or "not finished",
        "command": record.get("command"),
    }
    return [(name, str(value)) for name, value in told.items() if value not in (None, "", formats.NONE)]


def _commit(commit: Any, dirty: Any) -> str:
    if not commit:
        return ""
    return f"at {str(commit)[:12]}" + (", with uncommitted changes" if dirty else "")
