"""What `python -m modelgate new` writes: one use case per task, small, with real rows, and complete as it is."""
