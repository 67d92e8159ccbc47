"""The tests' own use case: handwritten digits, 8 by 8 pixels, bundled with scikit-learn."""
