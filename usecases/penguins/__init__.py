"""Classify penguins into three species by where they live and their measurements: a table with missing values, and few
rows.
"""
