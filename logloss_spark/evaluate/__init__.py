"""Many rows in, few rows out: states, and the metrics that are functions of them."""
