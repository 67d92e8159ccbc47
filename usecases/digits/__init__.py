"""Classify handwritten digits, 8 by 8 pixels: small, and bundled with scikit-learn, so they need no network."""
