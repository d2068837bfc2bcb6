"""Evaluate a table of predictions: spark-submit jobs/evaluate.py --config conf/evaluate.toml."""

import sys

from logloss_spark.app.cli import main

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
