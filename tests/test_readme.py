"""The README's first example, as a reader would run it."""

import re
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

README = Path(__file__).parents[1] / "README.md"


@pytest.mark.slow
def test_the_notebook_example_runs_from_its_first_line_to_its_last(spark: SparkSession, tmp_path: Path) -> None:
    code = re.search(r"## In a notebook\n\n```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert code is not None
    rows = spark.range(84).selectExpr(
        "id", "int(14 + id % 7) as day", "if(id % 3 = 0, 'fr', 'de') as country", "int(id % 2) as label",
        "(id + 1) / 86D as p", "(id + 2) / 90D as q", "1D as w",
    )  # fmt: skip
    rows.write.parquet(str(tmp_path / "predictions"))
    ours = re.sub(r'"(?=predictions|states)', f'"{tmp_path}/', code[1])
    names: dict[str, object] = {}
    exec(ours, names)
    assert names["ls"].metrics(names["week"]).first().n == 84  # type: ignore[attr-defined]
