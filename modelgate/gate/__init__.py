"""Decide whether a model may replace the one in production. Pure functions over per-row results: rules, metrics, the
report.
"""
