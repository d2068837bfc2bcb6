"""Metrics with their errors and intervals, computed in NumPy from the sums of a state, and the catalogue of metrics."""
