"""Functions of sums, in NumPy: metrics, their errors and intervals, and the catalogue of what there is."""
