"""Compare models on the same rows: spark-submit jobs/compare.py --config conf/compare.toml."""

import sys

from logloss_spark.app.cli import main

if __name__ == "__main__":
    sys.exit(main(["compare", *sys.argv[1:]]))
