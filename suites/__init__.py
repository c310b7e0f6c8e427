"""Suites for other people's runners: pytest, pytest-benchmark and asv."""
