"""Runs of made-up results: what the command line does with them, without an optimizer at work."""

from optbench.runs.results import Measurement, Result


def result(**fields):
    given = {
        "law": "opt.layouts", "level": "math", "subject": "adam", "implementation": "fused", "backend": "numba",
        "judged": True, "case": "strided", "verdict": "pass", "comparisons": 5,
        "reproduce": "optbench check --algo adam -k 'opt.layouts[strided]'",
    }  # fmt: skip
    return Result(**{**given, **fields})


def measurement(**fields):
    given = {
        "subject": "adam", "implementation": "fused", "backend": "numba", "workload": "1x16M", "device": "cpu",
        "dtype": "float32", "judged": True, "elements": 1 << 24, "tensors": 1, "median_s": 0.0121, "min_s": 0.012,
        "iqr_s": 1e-4, "rounds": 31, "bandwidth_bytes_per_s": 19.4e9, "roof_bytes_per_s": 21e9,
        "bandwidth_fraction": 0.92, "baseline": "torch-fused",
        "ratio_to_baseline": 1.31, "ratio_low": 1.28, "ratio_high": 1.35, "noise_floor": 0.02, "verdict": "faster",
    }  # fmt: skip
    return Measurement(**{**given, **fields})


class Fakes:
    """What the fake halves of a run yield, and what they were asked."""

    def __init__(self):
        laws = ("opt.layouts", "opt.version")
        self.results = [result(law=law, level="torch" if law == "opt.version" else "math") for law in laws]
        self.measurements = [
            measurement(),
            measurement(implementation="torch-fused", judged=False, ratio_to_baseline=1.0, verdict="same"),
        ]
        self.plan = None
        self.bench_plans = []
        self.done = None

    def check(self, plan, progress=None, done=None, workers=None):
        self.plan, self.done = plan, done
        for row in self.results:
            if isinstance(row, BaseException):
                raise row
            if not done(row.law, row.subject, row.implementation, row.case):
                yield row

    def bench(self, plan, progress=None):
        self.bench_plans.append(plan)
        for row in self.measurements:
            if isinstance(row, BaseException):
                raise row
            if row.workload in {workload.name for workload in plan.workloads}:
                yield row
