"""Benchmarks of the project: `python -m loadtests.bench --help`; baseline.json has the limits."""
