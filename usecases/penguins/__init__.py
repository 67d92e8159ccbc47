"""Penguins: which of three species is it, by where it lives and what it measures? A table with gaps, and few rows."""
