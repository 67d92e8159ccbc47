"""Predict how late a flight from New York arrives when it has just left: a table, with numbers as answers."""
