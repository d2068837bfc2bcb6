"""The mathematics: NumPy only, total functions that never raise on a row, warn, or write into their inputs."""
