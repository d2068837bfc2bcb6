"""One row in, one row out: statuses, losses and other terms as Spark columns."""
