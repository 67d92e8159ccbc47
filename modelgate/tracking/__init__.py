"""W&B, where everything is recorded."""
