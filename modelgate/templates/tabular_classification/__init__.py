"""Benign or malignant? 569 cell samples of 30 measurements, some of them missing."""
