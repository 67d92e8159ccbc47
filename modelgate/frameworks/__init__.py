"""Model formats, one module each: how a model is made to be reproducible, saved, and loaded without running code."""
