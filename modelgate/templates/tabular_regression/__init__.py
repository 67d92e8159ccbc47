"""Predict how far a disease has progressed after a year: 442 people with diabetes, ten measurements each."""
