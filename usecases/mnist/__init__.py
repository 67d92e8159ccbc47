"""Handwritten digits, 28 by 28 pixels: the walkthrough's use case."""
