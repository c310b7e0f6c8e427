"""Throughput as a pytest-benchmark suite: `pytest --pyargs optbench.suites.perf`, then `pytest-benchmark compare`."""
