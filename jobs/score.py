"""Score a table with a model: spark-submit jobs/score.py --config conf/fit.toml."""

import sys

from logloss_spark.app.cli import main

if __name__ == "__main__":
    sys.exit(main(["score", *sys.argv[1:]]))
