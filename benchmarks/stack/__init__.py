"""The HTTP servers and GraphQL libraries that our server could be built on, measured: `python -m benchmarks.stack`."""
