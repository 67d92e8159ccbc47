"""Classify cell samples as benign or malignant: 569 samples of 30 measurements, some of them missing."""
