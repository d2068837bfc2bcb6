"""Run the command line as `python -m logloss_spark`."""

from logloss_spark.app.cli import process

if __name__ == "__main__":
    process()
