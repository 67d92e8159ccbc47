"""May this model replace the one in production? Pure functions over per-row results: rules, metrics, the report."""
