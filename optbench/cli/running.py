"""What `compare`, `check` and `bench` have in common: run, keep every row, summarise, write."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import asdict, fields, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from optbench.errors import EXIT_INTERRUPTED, OptbenchError
from optbench.runs.results import Measurement, Result
from optbench.runs.summary import Rules, Summary, summarise

from . import formats, tables
from .options import Request
from .terminal import ProgressLine, coloured, note, paint, width

if TYPE_CHECKING:
    from optbench.conformance import Crew
    from optbench.planning import Plan
    from optbench.runs.records import Recorder, Resumed
    from optbench.timing.bench import BenchPlan


_KNOBS = "opt.knobs_alive"


class Interrupted(OptbenchError):
    """Ctrl-C in the middle of a run; the message says what is kept and how to go on."""

    exit_status = EXIT_INTERRUPTED


def execute(request: Request) -> None:
    """Do what was asked for, write it down, and leave with the exit status of its summary.

    Raises:
        OptbenchError: with the exit status that belongs to it.
    """
    request.validate()
    line = ProgressLine()
    with contextlib.ExitStack() as stack:
        stack.callback(line.clear)
        line.show("importing torch")
        workers = stack.enter_context(_crew(request)) if request.check else None
        from optbench.runs.environment import collect
        from optbench.runs.records import Recorder, resume
        from optbench.runs.trust import recall

        from .torch_table import require_device

        require_device(request.device)
        earlier = resume(request.resume) if request.resume else None
        environment = collect(request.seed, request.device)
        calibration = recall(environment) if request.bench else None
        if calibration:
            environment["calibration"] = calibration
        record_file = Path(request.output) if request.format == "json" and request.output != "-" else None
        name = f"{request.command}-{request.algo or ','.join(item.rpartition(':')[2] for item in request.impl)}"
        command = command_line(request)
        with Recorder(name, command, environment, request.plan(), output=record_file, resumed=earlier) as recorder:
            summary = _Sitting(request, recorder, line, earlier, workers).run()
    if summary.exit_status:
        raise typer.Exit(summary.exit_status)


def _plan(request: Request) -> Plan:
    from optbench.planning import Plan

    return Plan(
        request.algo, request.impl, request.device, request.dtypes, request.suite, request.laws, request.keyword,
        request.seed, request.require_torch, request.expectations(), request.oracle,
    )  # fmt: skip


def _crew(request: Request) -> AbstractContextManager[Crew]:
    from optbench import conformance

    return conformance.crew(_plan(request))


def command_line(request: Request) -> str:
    """The command that asks for the same rows."""
    words = ["optbench", request.command, *(["--algo", request.algo] if request.algo else [])]
    for option, values in (
        ("--impl", request.impl), ("--dtype", request.dtypes), ("--workload", request.workloads),
        ("--law", request.laws),
    ):  # fmt: skip
        words += [option, ",".join(values)] if values else []
    defaults = {field.name: field.default for field in fields(Request)}
    for option, name in (
        ("--oracle", "oracle"), ("--baseline", "baseline"), ("--device", "device"), ("--suite", "suite"),
        ("-k", "keyword"), ("--seed", "seed"),
    ):  # fmt: skip
        value = getattr(request, name)
        words += [option, str(value)] if value != defaults[name] else []
    words += ["--require", "torch"] if request.require_torch else []
    words += ["--expect", str(request.expect)] if request.expect else []
    if request.command == "compare":
        words += ([] if request.check else ["--no-check"]) + ([] if request.bench else ["--no-bench"])
    return shlex.join(words)


class _Sitting:
    """One run from its first row to its last line."""

    def __init__(
        self, request: Request, recorder: Recorder, line: ProgressLine, earlier: Resumed | None, workers: Crew | None
    ) -> None:
        self.request, self.recorder, self.line, self.earlier = request, recorder, line, earlier
        self.workers = workers

    @cached_property
    def rules(self) -> Rules:
        """Whose broken laws count; what foreign classes are by themselves is known when they have been checked."""
        from optbench import conformance

        found = conformance.rules(_plan(self.request))
        return found if self.request.check else replace(found, expected=None)

    def run(self) -> Summary:
        try:
            self._collect_rows()
        except KeyboardInterrupt:
            raise self._interrupted() from None
        except BaseException:
            self._drop_empty_journal()
            raise
        self.line.show("summarising")
        self._cover()
        try:
            summary = summarise(self._results(), self.rules, self._measurements())
        except OptbenchError as error:
            self.recorder.finish({"sentence": f"NOTHING RAN: {error}", "exit_status": error.exit_status})
            raise
        told = {"sentence": summary.sentence, "exit_status": summary.exit_status}
        record = self.recorder.finish(
            {**told, "laws": summary.laws, "cases": summary.cases}, laws=self._laws(), deviations=self._deviations()
        )
        problem = self._write_report()
        self.line.clear()
        self._tell_unmatched()
        self._tell_unasked()
        self._write(summary, record, problem)
        self._write_script()
        if isinstance(problem, Exception):
            raise problem
        return summary

    def _collect_rows(self) -> None:
        from optbench.timing import bench

        if self.request.check:
            for result in self._check():
                self.recorder.add(result)
        self._follow()
        if self.request.check:
            # Idle processes are memory that a workload may need.
            for worker in chain.from_iterable((self.workers or {}).values()):
                worker.close()
        if self.request.bench:
            for plan in self._bench_plans():
                with closing(bench.run(plan, self._show_bench)) as measurements:  # type: ignore[type-var]
                    for measurement in measurements:
                        self.recorder.add(measurement)

    def _follow(self) -> None:
        """Keep the curve of every scheduler of the run."""
        from optbench import curves, registry, subjects

        request = self.request
        names = [subject.name for subject in subjects.select(request.algo) if subject.kind == "scheduler"]
        if names:
            self.line.show("following the schedules")
            chosen = registry.select(list(request.impl), request.device)
            self.recorder.draw(curves.collect(names, chosen, request.device, self.workers))

    def _check(self) -> Iterator[Result]:
        from optbench import conformance

        done = self.earlier.done if self.earlier else frozenset()
        with closing(
            conformance.run(
                _plan(self.request),
                lambda now: self.line.show(now.doing, now.done, now.total),
                lambda law, subject, implementation, case: (law, subject, implementation, case) in done,
                self.workers,
            )
        ) as results:  # type: ignore[type-var]
            yield from results

    def _bench_plans(self) -> Iterator[BenchPlan]:
        """A plan for each algorithm, less the workloads that an earlier sitting has timed."""
        from optbench import registry, subjects
        from optbench.timing import workloads
        from optbench.timing.bench import BenchPlan

        request = self.request
        named = list(request.impl)
        chosen = registry.select(named, request.device)
        judged = frozenset(item.name for item in chosen if registry.judged(item, named))
        timed = {(row["subject"], row["workload"]) for row in self.recorder.record["measurements"]}
        for subject in subjects.select(request.algo):
            everything = workloads.select(request.workloads, request.suite, subject.kind, subject.ground)
            left = [workload for workload in everything if (subject.name, workload.name) not in timed]
            if left:
                share = sum(item.share for item in left) / sum(item.share for item in everything)
                yield BenchPlan(
                    [subject], chosen, judged, request.device, request.timed_dtype, left, baseline=request.baseline,
                    suite=request.suite, seed=request.seed, seconds=workloads.SUITE_SECONDS[request.suite] * share,
                )  # fmt: skip

    def _show_bench(self, now: Any) -> None:
        self.line.show(f"{now.subject} {now.workload} {now.phase} {now.implementation}", now.done, now.total)

    def _results(self) -> list[Result]:
        """The results in the order of laws and implementations: workers' come when they are ready."""
        from optbench.laws import entries
        from optbench.registry import IMPLEMENTATIONS
        from optbench.subjects import select

        laws = {name: number for number, name in enumerate(entries())}
        names = {name: number for number, name in enumerate(dict.fromkeys([*IMPLEMENTATIONS, *self.request.impl]))}
        results = [Result(**_known_fields(Result, row)) for row in self.recorder.record["results"]]
        named = [subject.name for subject in select(self.request.algo)] if results else []
        order = dict.fromkeys([*named, *(result.subject for result in results)])
        subjects = {name: number for number, name in enumerate(order)}
        return sorted(
            results,
            key=lambda row: (
                subjects[row.subject],
                laws.get(row.law, len(laws)),
                names.get(row.implementation, len(names)),
            ),
        )

    def _measurements(self) -> list[Measurement]:
        return [Measurement(**_known_fields(Measurement, row)) for row in self.recorder.record["measurements"]]

    def _cover(self) -> None:
        from optbench import conformance

        results = self._results()
        found = conformance.coverage(_plan(self.request), results)
        if found:
            self.recorder.cover(found)

    def _laws(self) -> dict[str, Any]:
        from optbench.laws import entries

        named = {row["law"] for row in self.recorder.record["results"]}
        return {name: asdict(entry.law) for name, entry in entries().items() if name in named}

    def _deviations(self) -> dict[str, Any]:
        from optbench.deviations import TABLE

        named = {row["deviation"] for row in self.recorder.record["results"] if row["deviation"]}
        return {row.id: asdict(row) for row in TABLE if row.id in named}

    def _tell_unasked(self) -> None:
        """Note what nobody has looked at: a formula, and options of which nothing was seen."""
        if self.request.algo:
            return
        if not self.request.oracle:
            note("No formula was judged: --algo NAME asks whether it is that algorithm, --oracle WHERE:CLASS whether "
                 "it is what a class of yours computes.")  # fmt: skip
        silent = (row for row in self._results() if row.verdict == "skip" and "option=" in row.case)
        for said in dict.fromkeys(f"{row.implementation}: {row.message}" for row in silent if row.law == _KNOBS):
            note(said)

    def _tell_unmatched(self) -> None:
        """Note the expected failures that are about no case; with some dtypes only, nobody can tell."""
        from optbench import conformance

        if not self.request.dtypes:
            cases = ((row.law, row.subject, row.case) for row in self._results())
            for said in conformance.unmatched(_plan(self.request), cases):
                note(f"--expect {said}")

    def _interrupted(self) -> Interrupted:
        rows = len(self.recorder.record["results"]) + len(self.recorder.record["measurements"])
        if not rows:
            self._drop_empty_journal()
            return Interrupted("interrupted before the first result; nothing is kept.")
        journal = self.recorder.journal
        return Interrupted(
            f"interrupted; {rows} {'result is' if rows == 1 else 'results are'} kept in {journal}. "
            f"To go on: {command_line(self.request)} --resume {shlex.quote(str(journal))}"
        )

    def _drop_empty_journal(self) -> None:
        if not self.recorder.record["results"] and not self.recorder.record["measurements"]:
            self.recorder.journal.unlink(missing_ok=True)

    def _report_path(self) -> Path | None:
        if self.request.html:
            return self.request.html
        return self.recorder.journal.with_suffix(".html") if self.request.command == "compare" else None

    def _write_report(self) -> Path | Exception | None:
        """The report's path; an exception, where it could not be written: the outcome is to be written first."""
        path = self._report_path()
        if path is None:
            return None
        from optbench.runs.records import write_text

        from .report import render

        self.line.show("writing the report")
        try:
            write_text(path, render([self.recorder.record], []))
        except Exception as error:
            return error
        return path

    def _write_script(self) -> None:
        """Write the first failure as a script, where it is asked for, and say in a line where it is."""
        if self.request.repro is None:
            return
        from optbench.failures.scripts import script
        from optbench.runs.records import write_text

        failure = script.first(self._results())
        if failure is None:
            note("script: none, because nothing failed")
            return
        write_text(self.request.repro, script.whole(failure))
        shows = "shows" if script.of(failure) else "has no script, only the command that shows"
        note(f"script: {self.request.repro} {shows} how {failure.implementation} breaks {failure.law}")

    def _write(self, summary: Summary, record: Path, report: Path | Exception | None) -> None:
        from optbench.runs.records import dumps, write_text

        request = self.request
        to_screen = request.output == "-"
        if request.format == "table":
            columns, colour = (width(), coloured(sys.stdout)) if to_screen else (80, False)
            text = self._table(summary, record, report, columns, colour)
        elif request.format == "json":
            # A file of its own was written by the recorder.
            text = dumps(self.recorder.record) if to_screen else ""
        elif request.format == "junit":
            text = formats.junit(self._results(), summary, self.rules)
        else:
            text = formats.github(self._results(), summary, self.rules)
        if to_screen:
            sys.stdout.write(text)
            sys.stdout.flush()
        elif request.format != "json":
            write_text(Path(request.output), text)
        if request.format != "table" or not to_screen:
            for title, path in (("record", record), ("report", report)):
                if isinstance(path, Path):
                    note(f"{title}: {path}")
            note(summary.sentence)

    def _table(
        self, summary: Summary, record: Path, report: Path | Exception | None, columns: int, colour: bool
    ) -> str:
        results, measurements = self._results(), self._measurements()
        lines: list[str] = []
        for subject in dict.fromkeys([row.subject for row in results] + [row.subject for row in measurements]):
            lines += [paint(subject, "bold", colour), ""]
            own = [result for result in results if result.subject == subject]
            if own:
                lines += [*tables.conformance(own, columns, self.rules.grades, colour), ""]
            found = self.recorder.record["coverage"].get(subject)
            if found:
                lines += [*tables.wrap(tables.coverage(found), columns, "  ").splitlines(), ""]
            timed = [row for row in measurements if row.subject == subject]
            if timed:
                lines += [*tables.throughput(timed, columns, colour), ""]
        if isinstance(report, Path):
            lines.append(f"Report: {report}")
        lines.append(f"Record: {record}")
        lines.append(paint(summary.sentence, "red" if summary.exit_status else "green", colour))
        return "\n".join(lines) + "\n"


def _known_fields(row_type: type[Any], row: dict[str, Any]) -> dict[str, Any]:
    names = {field.name for field in fields(row_type)}
    return {name: value for name, value in row.items() if name in names}
