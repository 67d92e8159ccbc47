"""Handwritten digits, 8 by 8 pixels, bundled with scikit-learn: small, and there without a network."""
