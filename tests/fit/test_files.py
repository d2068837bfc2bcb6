"""Rows that workers read from files are those that Spark reads from the table: same blocks, same fits, same errors."""

import shutil
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark import cloudpickle
from pyspark.ml.linalg import Vectors, VectorUDT
from pyspark.sql.types import ArrayType, DoubleType, StructField, StructType

from logloss_spark import DataError, InvalidRowsWarning, SpecError, fit_logistic
from logloss_spark.errors import StreamedFitWarning, UnreadableError
from logloss_spark.fit import files, passes
from logloss_spark.fit.batches import block_of
from logloss_spark.fit.files import training_batches
from logloss_spark.fit.passes import TrainingRows
from logloss_spark.fit.spec import Training
from logloss_spark.fit.table import training_table
from logloss_spark.kernels.matrix import dense
from logloss_spark.rows.engines import Ran
from logloss_spark.workers import shipping
from logloss_spark.workers.parquet import tasks_of
from tests.fit.local import block_folders
from tests.quick import quick, slow

ROWS = 400
NAN, INF = float("nan"), float("inf")


def numbers(rows=ROWS, seed=5):
    """A training table of three features, with a weight, an offset and rows that are held out."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 3)) * [1.0, 0.01, 100.0] + [0.0, 10.2, 5.0]
    label = (x[:, 0] + rng.logistic(size=rows) > 0).astype(int)
    columns = {"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "label": label, "w": rng.integers(0, 4, rows).astype(float)}
    return pa.table(columns | {"offset": rng.normal(size=rows) * 0.1, "held": rng.uniform(size=rows) < 0.2})


def written(folder, table, parts=3):
    """A table in a few files."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in range(parts):
        rows = table.slice(part * len(table) // parts, (part + 1) * len(table) // parts - part * len(table) // parts)
        pq.write_table(rows, folder / f"part-{part}.parquet", row_group_size=100)
    return str(folder)


def block_by_hand(batches, form):
    """What becomes of batches: features, labels, weights, offsets, held weights and keys of the rows that are kept."""
    columns = None
    for batch in batches:
        block, codes = block_of(batch, form, np.zeros(form.width))
        rows = {"x": dense(block.x), "y": block.y, "weight": block.weight, "key": block.key, "codes": codes}
        rows |= {name: value for name in ("offset", "held") if (value := getattr(block, name)) is not None}
        columns = rows if columns is None else {name: np.concatenate([columns[name], rows[name]]) for name in columns}
    return columns


def both_ways(df, **asked):
    """The rows of a table, by the code that Spark feeds and by the code that files feed; one job."""
    table = training_table(df, Training(**asked))
    assert not isinstance(table.files, str), table.files
    by_spark = block_by_hand(table.table.coalesce(1).toArrow().to_batches(), table.form)
    (pieces,) = tasks_of(table.files.table, 1)
    return by_spark, block_by_hand(training_batches(table.files, pieces), table.form)


def assert_same_rows(by_spark, by_files) -> None:
    """The same rows in any order: Spark reads files in the order of their sizes."""
    assert by_spark.keys() == by_files.keys()
    assert np.array_equal(np.sort(by_spark.pop("codes")), np.sort(by_files.pop("codes")))
    orders = [np.lexsort((rows["weight"], rows["key"])) for rows in (by_spark, by_files)]
    for name in by_spark:
        assert np.array_equal(by_spark[name][orders[0]], by_files[name][orders[1]]), name


TYPES = {
    "tinyint": pa.int8(),
    "smallint": pa.int16(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "decimal": pa.decimal128(9, 3),
    "long decimal": pa.decimal128(38, 18),
}


def of_type(values, type_):
    """Numbers as a column of a type, with a null, and with NaN and infinity where the type has them."""
    kept = [None if place == 3 else value for place, value in enumerate(values)]
    if pa.types.is_decimal(type_):
        return pa.array([None if v is None else Decimal(str(round(v, 3))) for v in kept], type_)
    if pa.types.is_floating(type_):
        return pa.array([NAN if place == 5 else -INF if place == 7 else v for place, v in enumerate(kept)], type_)
    if pa.types.is_boolean(type_):
        return pa.array([None if v is None else v > 0 for v in kept], type_)
    return pa.array([None if v is None else int(10 * v) for v in kept], type_)


def test_columns_of_every_type_become_the_same_rows(spark, tmp_path) -> None:
    rng = np.random.default_rng(6)
    features = {name: of_type(rng.normal(size=60).tolist(), type_) for name, type_ in TYPES.items()}
    features["bigint"] = pa.array([2**53 + 1 + place for place in range(60)], pa.int64())
    table = pa.table(features | {"label": [None, *([0, 1] * 30)[1:]], "w": of_type([1.5] * 60, pa.decimal128(9, 3))})
    df = spark.read.parquet(written(tmp_path / "t", table))
    assert_same_rows(*both_ways(df, features=tuple(TYPES), label="label", weight="w"))


LABELS = {
    "integers": (pa.array([0, 1, None, 7] * 10, pa.int32()), (0, 1)),
    "few bits": (pa.array([0, 1, None, 7] * 10, pa.int8()), (0, 300)),
    "large": (pa.array([2**53, 2**53 + 1, None, 0] * 10, pa.int64()), (2**53, 2**53 + 1)),
    "doubles": (pa.array([-0.0, 1.0, None, 0.7, NAN] * 10, pa.float64()), (0, 1)),
    "floats": (pa.array([0.1, 0.2, None, NAN] * 10, pa.float32()), (0.1, 0.2)),
    "booleans": (pa.array([True, False, None, True] * 10), (1, 0)),
    "decimals": (pa.array([Decimal("0.10"), Decimal("1.00"), None, Decimal("0.11")] * 10), (0.1, 1)),
    "strings": (pa.array(["no", "yes", None, "YES", "é"] * 10), ("no", "yes", "é")),
}


@pytest.mark.parametrize("case", quick(LABELS, "few bits", "doubles", "decimals", "strings"))
def test_labels_of_every_type_get_the_same_codes(spark, tmp_path, case) -> None:
    labels, classes = LABELS[case]
    rng = np.random.default_rng(7)
    table = pa.table({"x": rng.normal(size=len(labels)), "label": labels})
    df = spark.read.parquet(written(tmp_path / "t", table))
    weights = {classes[0]: 2.5, classes[-1]: 0.3}
    assert_same_rows(*both_ways(df, features=("x",), label="label", classes=classes, class_weight=weights))


def vectors(kind):
    """Rows of ML vectors or arrays, some of them null, of another length, or with NaN."""
    rng = np.random.default_rng(8)
    dense_rows = [Vectors.dense(row) for row in rng.normal(size=(120, 12))]
    sparse_rows = [Vectors.sparse(12, {1: 2.0, 7: 0.0, 9: float(v)}) for v in rng.normal(size=120)]
    strange = [None, Vectors.dense([1.0]), Vectors.sparse(5, {1: 2.0}), Vectors.dense([NAN] * 12)]
    if kind == "arrays":
        return [None if v is None else [float(entry) for entry in v.toArray()] for v in dense_rows + strange]
    rows = {"dense": dense_rows, "sparse": sparse_rows, "mixed": [dense_rows[0], *sparse_rows, *dense_rows]}
    return rows[kind] + strange


@pytest.mark.parametrize("kind", quick(["dense", "sparse", "mixed", "arrays"], "mixed", "arrays"))
def test_vectors_and_arrays_become_the_same_rows(spark, tmp_path, kind) -> None:
    rows = [(place % 2, features) for place, features in enumerate(vectors(kind))]
    type_ = ArrayType(DoubleType()) if kind == "arrays" else VectorUDT()
    schema = StructType([StructField("label", DoubleType()), StructField("features", type_)])
    made = spark.createDataFrame([(float(label), features) for label, features in rows], schema)
    made.coalesce(1).write.parquet(str(tmp_path / "t"))
    df = spark.read.parquet(str(tmp_path / "t"))
    assert_same_rows(*both_ways(df, features="features", label="label"))


def test_arrays_of_other_numbers_become_the_same_rows(spark, tmp_path) -> None:
    lists = pa.array([[1, 2**53 + 1], None, [3, None], [5], [7, 8]] * 8, pa.list_(pa.int64()))
    decimals = pa.array(
        [[Decimal("1.10"), Decimal("2.25")], None, [None, Decimal(3)], [], [Decimal(1), Decimal(2)]] * 8
    )
    table = pa.table({"label": [0, 1] * 20, "longs": lists, "decimals": decimals})
    df = spark.read.parquet(written(tmp_path / "t", table))
    for features in ("longs", "decimals"):
        assert_same_rows(*both_ways(df, features=features, label="label"))


def test_partition_columns_may_have_any_role(spark, tmp_path) -> None:
    table = numbers()
    for label in (0, 1):
        for w in ("1.5", "__HIVE_DEFAULT_PARTITION__"):
            rows = table.filter(pa.compute.equal(table["label"], label)).drop_columns(["label", "w"])
            written(tmp_path / "t" / f"label={label}" / f"w={w}", rows, parts=1)
    df = spark.read.parquet(str(tmp_path / "t"))
    asked = {"features": ("a", "w"), "weight": "w", "offset": "offset", "validation": "held"}
    assert_same_rows(*both_ways(df, label="label", **asked))


def test_names_are_found_whatever_their_case_and_signs(spark, tmp_path) -> None:
    table = numbers().rename_columns(["a.b", "B", "c`d", "Label", "w", "offset", "held"])
    df = spark.read.parquet(written(tmp_path / "t", table))
    assert_same_rows(*both_ways(df, features=("a.b", "b", "c`d"), label="label"))


def fits(df, **asked):
    """The fits by workers that read files and by Spark."""
    return [fit_logistic(df, engine=engine, **asked) for engine in ("arrow", "native")]


def assert_same_fit(by_files, by_spark) -> None:
    assert by_files.report.engine == Ran("arrow", "the table is 3 files of Parquet")
    assert by_spark.report.engine == Ran("native", "it was asked for")
    assert by_files.report.objective == pytest.approx(by_spark.report.objective, rel=1e-12)
    np.testing.assert_allclose(by_files.coefficients, by_spark.coefficients, rtol=1e-12)
    np.testing.assert_allclose(by_files.intercepts, by_spark.intercepts, rtol=1e-12)
    for name in ("read", "rows", "held", "invalid", "status", "iterations"):
        assert getattr(by_files.report, name) == getattr(by_spark.report, name), name


@pytest.mark.connect
def test_a_fit_from_files_is_the_fit_of_the_table(spark, tmp_path) -> None:
    df = spark.read.parquet(written(tmp_path / "t", numbers()))
    asked = {"weight": "w", "offset": "offset", "validation": "held", "solver": "newton", "max_iter": 1}
    assert_same_fit(*fits(df, features=["a", "b", "c"], label="label", **asked))


def test_rows_that_cannot_be_fitted_on_are_counted_alike(spark, tmp_path) -> None:
    table = numbers()
    label = pa.array([None if place % 7 == 0 else v for place, v in enumerate(table["label"].to_pylist())])
    broken = pa.array([INF if place % 11 == 0 else v for place, v in enumerate(table["a"].to_pylist())])
    table = table.set_column(3, "label", label).set_column(0, "a", broken)
    df = spark.read.parquet(written(tmp_path / "t", table))
    asked = {"class_weight": "balanced", "solver": "lbfgs", "max_iter": 1}
    with pytest.warns(InvalidRowsWarning, match="null_label 58, infinite_features 31"):
        by_files, by_spark = fits(df, features=["a", "b", "c"], label="label", **asked)
    assert_same_fit(by_files, by_spark)


@pytest.mark.parametrize("engine", quick(["arrow", "native"], "arrow"))
@pytest.mark.parametrize(
    ("asked", "says"),
    [
        slow(({"classes": (1, 2)}, "labels must be among the classes that were given")),
        ({"weight": "b", "classes": (0, 1)}, "weights must not be negative"),
        ({"on_invalid": "fail"}, r"at most 0 \(on_invalid = 'fail'\), got 1 of 9 rows: nan_features 1"),
    ],
)
def test_contracts_end_in_the_same_words(spark, tmp_path, engine, asked, says) -> None:
    table = pa.table({"a": [NAN, *range(8)], "b": [-1.0] * 9, "label": [0, 1, 0] * 3})
    df = spark.read.parquet(written(tmp_path / "t", table, parts=1))
    with pytest.raises(DataError, match=says):
        fit_logistic(df, features=["a"], label="label", engine=engine, **asked)


def test_auto_says_why_spark_read_the_table_and_arrow_refuses(spark, tmp_path) -> None:
    path = written(tmp_path / "t", numbers())
    part = spark.read.parquet(path).where("a < 2")
    asked = {"features": ["a", "b"], "label": "label", "classes": (0, 1), "solver": "lbfgs", "max_iter": 0}
    model = fit_logistic(part, **asked)
    assert model.report.engine.name == "native"
    assert model.report.engine.because
    with pytest.raises(SpecError, match=r"engine='arrow' reads the files of a table in the workers, and .*: leave"):
        fit_logistic(part, engine="arrow", **asked)


def test_a_path_and_paths_are_tables(spark, tmp_path) -> None:
    folder = written(tmp_path / "t", numbers())
    asked = {"features": ["a", "b"], "label": "label", "solver": "lbfgs", "max_iter": 0}
    whole = fit_logistic(folder, **asked)
    assert whole.report.engine.name == "arrow"
    files = fit_logistic([f"{folder}/part-{part}.parquet" for part in range(3)], **asked)
    assert files.report.objective == whole.report.objective


def count_rows(block):
    """The number of rows of a block."""
    return {"n": np.array([float(len(block.y))])}


@pytest.fixture
def rows(spark, tmp_path):
    """The rows of a table of files, read into blocks, and what tells the blocks from those of other fits."""
    before = set(block_folders())
    df = spark.read.parquet(written(tmp_path / "t", numbers()))
    table = training_table(df, Training(features=("a", "b"), label="label", engine="arrow"))
    with TrainingRows(table) as entered:
        assert entered.sums(count_rows)["n"] == ROWS
        yield entered, set(block_folders()) - before


def lose(folders) -> None:
    for folder in folders:
        shutil.rmtree(folder)


def test_lost_blocks_are_written_again_from_the_files(rows) -> None:
    entered, folders = rows
    lose(folders)
    assert entered.sums(count_rows)["n"] == ROWS
    assert (entered.rebuilds, entered.ran.name) == (1, "arrow")


@pytest.mark.parametrize("change", quick(["rewritten", "gone"], "rewritten"))
def test_files_that_change_during_a_fit_end_it(rows, tmp_path, change) -> None:
    entered, folders = rows
    file = tmp_path / "t" / "part-1.parquet"
    file.unlink()
    if change == "rewritten":
        pq.write_table(numbers(seed=6).slice(0, 100), file)
    lose(folders)
    with pytest.raises(DataError, match=r"source changed during the fit: .*part-1\.parquet.*; fit again"):
        entered.sums(count_rows)


def test_without_blocks_each_pass_reads_the_files(rows, monkeypatch) -> None:
    entered, folders = rows
    monkeypatch.setattr(passes, "REBUILDS", 0)
    lose(folders)
    with pytest.warns(StreamedFitWarning, match="lost again and again"):
        assert entered.sums(count_rows)["n"] == ROWS
    assert (entered.streamed, entered.ran.name) == (True, "arrow")


def test_files_that_workers_cannot_read_are_read_by_spark(spark, tmp_path, monkeypatch) -> None:
    def unreadable(*_, **__):
        raise UnreadableError("Arrow cannot read part-0.parquet: it is encrypted")

    monkeypatch.setattr(files, "read_batches", unreadable)
    monkeypatch.setattr(shipping, "pickled", cloudpickle.dumps)  # none is kept from before
    df = spark.read.parquet(written(tmp_path / "t", numbers()))
    asked = {"features": ("a", "b"), "label": "label"}
    with TrainingRows(training_table(df, Training(**asked))) as entered:
        assert entered.rows == ROWS
        assert entered.ran == Ran("native", "Arrow cannot read part-0.parquet: it is encrypted")
    with pytest.raises(UnreadableError), TrainingRows(training_table(df, Training(**asked, engine="arrow"))):
        pass


def test_a_table_without_rows_has_none_either_way(spark, tmp_path) -> None:
    df = spark.read.parquet(written(tmp_path / "t", numbers().slice(0, 0), parts=1))
    for engine in ("arrow", "native"):
        with pytest.raises(DataError, match="got none among 0 rows"):
            fit_logistic(df, features=["a"], label="label", classes=(0, 1), engine=engine)
