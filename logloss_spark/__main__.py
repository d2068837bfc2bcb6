"""Run the command line as `python -m logloss_spark`."""

import sys

from logloss_spark.app.cli import main

if __name__ == "__main__":
    sys.exit(main())
