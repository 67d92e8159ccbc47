"""Classify paragraphs of Python's manual by their part: a few hundred paragraphs, four parts."""
