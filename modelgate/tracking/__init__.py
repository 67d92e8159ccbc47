"""Talk to W&B, where everything is recorded."""
