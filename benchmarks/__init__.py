"""What the project claims about its own speed, measured: `python -m benchmarks`. README.md says what and how."""
