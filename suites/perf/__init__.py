"""Throughput as a pytest-benchmark suite: `pytest --pyargs optbench.suites.perf`; compare runs with pytest-benchmark."""
