"""One row in, one row out: what a row is worth, as Spark columns."""
