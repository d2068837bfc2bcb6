"""Gates: rules that judge the metrics of slices. NumPy and pandas only; no Spark."""
