"""Provide the product as a library: no flags, no YAML, no server. docs/explanation/architecture.md lists the
imports.
"""
