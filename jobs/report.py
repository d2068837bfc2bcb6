"""Run the command that this file is named after: spark-submit jobs/evaluate.py --config conf/evaluate.toml.

All jobs are copies of one file, not links to it: spark-submit follows a link, and the command would be another.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

NEEDED = ("logloss_spark", "numpy", "pandas", "pyarrow")
"""What the driver needs; its workers need all but the first, which travels with the functions."""

if __name__ == "__main__":
    absent = [name for name in NEEDED if find_spec(name) is None]
    if absent:
        print(
            f"logloss-spark: error: the driver needs {', '.join(NEEDED)}, and {sys.executable} lacks "
            f"{', '.join(absent)}: install them there and where the workers run, or bring logloss_spark by --py-files",
            file=sys.stderr,
        )
        sys.exit(2)
    from logloss_spark.app.cli import process

    process([Path(__file__).stem, *sys.argv[1:]])
