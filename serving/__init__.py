"""Serve the version in production, follow it, and say which ledger entry it runs."""
