"""Glyphs from a file that the variable GLYPHS_NPZ names: a use case whose source may not be available."""
