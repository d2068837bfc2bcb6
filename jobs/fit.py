"""Fit a logistic regression: spark-submit jobs/fit.py --config conf/fit.toml."""

import sys

from logloss_spark.app.cli import main

if __name__ == "__main__":
    sys.exit(main(["fit", *sys.argv[1:]]))
