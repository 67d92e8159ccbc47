"""The rows of a dataset: their type, and what must hold of them."""
