"""A job whose paths, partition values and columns are hostile: what is written is exact, what is printed is safe."""

import json
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from logloss_spark.app.cli import main
from logloss_spark.errors import MESSAGE
from tests import hostile

LONGEST_NAME = 255
"""A folder's name has at most this many bytes, and Spark writes a partition's value into one."""


def test_hostile_partitions_and_paths_are_evaluated_exactly_and_reported_safely(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Spark has no folder for an empty value or one with a NUL; and it reads `null` of a folder's name as the word.
    texts = {text for text in hostile.TEXTS.values() if text and "\0" not in text and len(text) < LONGEST_NAME // 6}
    rows = [(text, place % 2, 0.25) for place, text in enumerate([*texts, None])]
    columns = ("part \x1b[31m<b>", "y", "p\u202e")
    source, target = (tmp_path / f"{name} 100%s \x07 \u202e" for name in ("in", "out"))
    spark.createDataFrame(rows, "s string, y int, p double").toDF(*columns).write.partitionBy(columns[0]).parquet(
        str(source)
    )
    config = tmp_path / "job.toml"
    column, prediction, read, written = (json.dumps(str(text)) for text in (columns[0], columns[2], source, target))
    config.write_text(
        f'[input]\npath = {read}\n[columns]\nlabel = "y"\nprediction = {prediction}\n'
        f'[evaluate]\nengine = "native"\nby = [[{column}]]\n[output]\nmetrics = {written}\n'
    )
    capsys.readouterr()
    code = main(["evaluate", "--config", str(config)])
    said = capsys.readouterr()
    assert (code, said.err) == (0, ""), said.err
    assert not hostile.unsafe(said.out, MESSAGE)
    metrics = spark.read.parquet(str(target))
    found = {row[0] for row in metrics.where("slice != 'all'").select(f"`{columns[0]}`").collect()}
    assert found == {*texts, None}


@pytest.mark.parametrize("text", hostile.TEXTS.values(), ids=list(hostile.TEXTS))
def test_an_argument_that_cannot_be_meant_is_one_safe_line(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["evaluate", "--config", text], ["evaluate", text]):
        assert main(arguments) == 2
        said = capsys.readouterr().err
        assert not hostile.unsafe(said, MESSAGE + 100)
        assert said.count("\n") == 1
