"""The HTTP servers and GraphQL libraries that our server could stand on, measured: `python -m benchmarks.stack`."""
