"""Measure what the project claims about its own speed: `python -m benchmarks`. README.md says what and how."""
