"""Many rows in, few rows out: the sums of an evaluation, what they mean, and how they add."""
