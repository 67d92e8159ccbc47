"""Which part of Python's manual is a paragraph from? A few hundred paragraphs, four parts."""
