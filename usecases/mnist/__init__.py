"""Classify handwritten digits, 28 by 28 pixels: the use case of the walkthrough."""
