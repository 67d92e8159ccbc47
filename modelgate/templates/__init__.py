"""Provide what `python -m modelgate new` writes: per task, one small and complete use case with real rows."""
