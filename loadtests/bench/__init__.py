"""Benchmarks that belong to the project: `python -m loadtests.bench --help`. What they judge by stands in baseline.json."""
