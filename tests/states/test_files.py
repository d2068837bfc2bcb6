"""A state whose rows were read by the workers is that of Spark's rows: the same parts, counts, bins and sums."""

from itertools import product, starmap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession

from logloss_spark.io.files import FileTable
from logloss_spark.io.local import LocalTable
from logloss_spark.roles import Roles
from logloss_spark.rows.inputs import Rows, rows_of
from logloss_spark.rows.models import Models, compared_rows
from logloss_spark.rows.terms import scored
from logloss_spark.scoring import Scoring
from logloss_spark.states import files
from logloss_spark.states.catalyst import state_of
from logloss_spark.states.files import Scan, scan_of, state_from_files
from logloss_spark.states.pairs import state_of_pairs
from tests.quick import quick
from tests.rows.test_engines import FORMS, SUM_TOLERANCE
from tests.rows.test_engines import rows_of as rows_of_form

SOURCE = 5
EXACT = ("w", "wl", "wb", "wy", "wp", "wa")
"""Sums that are kept in two columns, which together differ by no more than their terms."""

OF_ROWS = 8 * 2.0**-52
"""A term of a row is within 4 ulp of the true one in each engine."""


def stored(folder: Path, columns: dict[str, Any], *, groups: int = 60) -> str:
    """Write a table of several files and row groups, with slices of two types."""
    count = len(columns["label"])
    table = pa.table(
        columns
        | {
            "segment": pa.array([None if row % 11 == 0 else f"s{row % 3}" for row in range(count)]),
            "half": pa.array([[0.5, -0.0, 0.0, np.nan, None][row % 5] for row in range(count)]),
            "user": pa.array([None if row % 53 == 0 else row % 17 for row in range(count)]),
        }
    )
    for part, start in enumerate(range(0, count, 200)):
        pq.write_table(table.slice(start, 200), folder / f"{part}.parquet", row_group_size=groups)
    return str(folder)


def scanned(rows: Rows) -> Scan:
    """What workers read, which they can."""
    scan = scan_of(rows)
    assert isinstance(scan, Scan), scan
    return scan


def state_in_spark(rows: Rows, source: int) -> DataFrame:
    """The state by Spark."""
    return state_of(scored(rows), rows, source)


def both(rows: Rows, make: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The state by the workers and by Spark, by their keys and in the same order."""
    found, _ = state_from_files(rows, scanned(rows), SOURCE)
    assert isinstance(found, LocalTable)
    spark = make(rows, SOURCE)
    assert found.table.dtypes == spark.dtypes
    return by_keys(found.rows), by_keys(spark.toArrow())


def by_keys(state: pa.Table) -> pd.DataFrame:
    """A state with its slices and keys as text in the index."""
    keys = state.column_names[: state.column_names.index("n")]
    frame = state.drop_columns(keys).to_pandas()
    frame.index = list(map(str, zip(*(state[key].to_pylist() for key in keys), strict=True)))  # null is not NaN
    assert frame.index.is_unique
    assert frame["fingerprint"].nunique() == 1
    return frame.sort_index()


def check_same(workers: pd.DataFrame, spark: pd.DataFrame) -> None:
    """Counts are equal, sums agree to 1e-12, and exact sums to the last digits of a double."""
    spark = spark[(spark["n"] > 0) | ~spark.index.str.contains("'rank'")]  # Spark writes ranks that no row has, too
    assert workers.index.tolist() == spark.index.tolist()
    assert workers.columns.tolist() == spark.columns.tolist()
    assert workers["fingerprint"].iloc[0] == spark["fingerprint"].iloc[0]
    np.testing.assert_array_equal(workers["n"], spark["n"])
    sums = [name for name in spark.columns if name not in ("n", "fingerprint") and not name.endswith("_low")]
    np.testing.assert_array_equal(workers[sums].isna(), spark[sums].isna())
    for name in sums:
        mine, theirs = workers[name].astype(float), spark[name].astype(float)
        if name in EXACT:
            low = f"{name}_low"
            finite = np.isfinite(theirs) & theirs.notna()
            rest = (mine - theirs)[finite] + (workers[low] - spark[low])[finite].fillna(0.0)
            assert (rest.abs() <= OF_ROWS * theirs[finite].abs() + 1e-20).all(), name
            np.testing.assert_array_equal(mine[~finite], theirs[~finite], err_msg=name)
        else:
            np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-14, err_msg=name)


FEW = [("logit, soft", False), ("3 probabilities", False)]
"""Forms that are quick, with weights and clusters; tests below have a probability, and rows without either."""


def marked(form: str, plain: bool) -> Any:
    """A form, with the marks and the name of its test."""
    marks = [pytest.mark.connect] * (form == "logit, soft") + [pytest.mark.slow] * ((form, plain) not in FEW)
    return pytest.param(form, plain, marks=marks, id=f"{'plain' if plain else 'weights and clusters'}-{form}")


@pytest.mark.parametrize(("form", "plain"), list(starmap(marked, product(FORMS, [True, False]))))
def test_every_form_has_the_state_that_spark_makes(spark: SparkSession, tmp_path: Path, form: str, plain: bool) -> None:
    kind, soft, classes = FORMS[form]
    df = spark.read.parquet(stored(tmp_path, rows_of_form(form)))
    named = {} if classes is None else {"classes": tuple(range(classes))}
    scoring = Scoring(
        kind=kind, soft_labels=soft, clip="eps" if plain else "none", sum_tolerance=SUM_TOLERANCE, **named
    )
    of_rows: dict[str, Any] = {} if plain else {"weight": "weight", "cluster": "user"}
    roles = Roles(label="label", prediction="prediction", by=[["segment"], ["half"]], **of_rows)
    check_same(*both(rows_of(df, roles, scoring), state_in_spark))


@pytest.mark.parametrize(
    ("form", "on"),
    quick(
        product(["probability", "logit, soft", "3 probabilities"], ["all", "shared"]),
        ("probability", "shared"),
    ),
)
def test_a_comparison_has_the_state_that_spark_makes(spark: SparkSession, tmp_path: Path, form: str, on: Any) -> None:
    kind, soft, classes = FORMS[form]
    columns = rows_of_form(form)
    turned = [
        columns["prediction"][(row + 7) % len(columns["prediction"])] for row in range(len(columns["prediction"]))
    ]
    df = spark.read.parquet(stored(tmp_path, columns | {"other": turned, "third": turned[::-1]}))
    named = {} if classes is None else {"classes": tuple(range(classes))}
    scoring = Scoring(kind=kind, soft_labels=soft, sum_tolerance=SUM_TOLERANCE, **named)
    models = Models(baseline="a", predictions={"a": "prediction", "b": "other", "c": "third"}, rows=on)
    roles = Roles(label="label", prediction="prediction", weight="weight", cluster="user", by="segment")
    rows = compared_rows(df, roles, scoring, models, engine="auto")
    check_same(*both(rows, state_of_pairs))


def test_a_state_of_many_groups_stays_in_spark_and_is_the_same(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    df = spark.read.parquet(stored(tmp_path, rows_of_form("probability")))
    rows = rows_of(df, Roles(label="label", prediction="prediction", by="segment"), Scoring())
    monkeypatch.setattr(files, "HELD_GROUPS", 10)
    found, _ = state_from_files(rows, scanned(rows), SOURCE)
    assert isinstance(found, DataFrame)
    check_same(by_keys(found.toArrow()), by_keys(state_in_spark(rows, SOURCE).toArrow()))


def test_what_workers_read_says_nothing_of_the_columns_that_have_no_role(spark: SparkSession, tmp_path: Path) -> None:
    df = spark.read.parquet(stored(tmp_path, rows_of_form("probability")))
    scan = scanned(rows_of(df, Roles(label="label", prediction="prediction"), Scoring()))
    assert isinstance(scan.table, FileTable)
    assert scan.columns == {"label": "label", "prediction": "prediction"}
