"""Flights: how late does a flight from New York arrive, when it has just left? A table, and numbers as answers."""
