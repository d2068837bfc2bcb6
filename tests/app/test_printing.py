"""What is printed where a stream has ended."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_what_java_can_no_longer_print_goes_to_the_stderr_of_spark_submit() -> None:
    """A parent that has our stderr behind a pipe, as spark-submit has, and ends the pipe before we print."""
    child = (
        "from logloss_spark.app.printing import open_standard_streams, tell\n"
        "open_standard_streams()\ninput()\ntell('first')\ntell('second')"
    )
    parent = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}], stdin=-1, stderr=-1, bufsize=0)\n"
        "child.stderr.close()\nchild.stdin.write(b'go\\n')\nchild.wait()"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYSPARK_GATEWAY_PORT": "1"}
    ran = subprocess.run([sys.executable, "-c", parent], env=env, capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "first\nsecond\n")
