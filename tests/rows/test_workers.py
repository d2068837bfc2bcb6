"""What goes to workers goes whole: they need no installation of this package, and see each row once."""

import re
import subprocess
import sys
from functools import partial
from importlib import import_module
from inspect import getmembers, isfunction
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyspark import cloudpickle
from pyspark.ml.linalg import DenseVector, SparseVector, VectorUDT
from pyspark.sql.types import IntegerType, StructField, StructType

import logloss_spark as ls
from logloss_spark import functions as L
from logloss_spark.kernels.margin import CLASS_LOSSES, MARGIN_LOSSES
from logloss_spark.rows.arrow import cross_entropy
from logloss_spark.rows.losses import other_loss
from logloss_spark.rows.terms import scored, with_loss
from logloss_spark.states import small
from logloss_spark.states.catalyst import state_of
from tests.quick import quick
from tests.rows.batches import ready

WORKER = """
import sys
from pyspark import cloudpickle

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "logloss_spark":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
with open(sys.argv[1], "rb") as sent:
    calls = cloudpickle.load(sent)
results = {name: function(*arguments) for name, (function, arguments) in calls.items()}
assert not any(name.startswith("logloss_spark") for name in sys.modules), "the package is here after all"
with open(sys.argv[2], "wb") as answer:
    cloudpickle.dump(results, answer)
"""


def in_a_worker(calls, folder):
    """Results of functions in a Python that has NumPy, pandas, Arrow and PySpark, and not this package."""
    sent, answer = folder / "sent", folder / "answer"
    sent.write_bytes(cloudpickle.dumps(calls))
    # -I: neither PYTHONPATH nor the folder that we are in.
    command = [sys.executable, "-I", "-W", "error", "-c", WORKER, str(sent), str(answer)]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return cloudpickle.loads(answer.read_bytes())


def same(found, wanted):
    for a, b in zip(
        found if isinstance(found, tuple) else (found,), wanted if isinstance(wanted, tuple) else (wanted,), strict=True
    ):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


Y, P, Z = np.array([0.0, 1.0, 1.0]), np.array([0.25, 0.0, 1.0]), np.array([-40.0, 0.0, np.inf])
K, PK, ZK = (
    np.array([0, 2, 1]),
    np.full((3, 3), 1 / 3),
    np.array([[40.0, 0.0, 0.0], [1.0, 2.0, 3.0], [0.0, np.inf, 0.0]]),
)
ARGUMENTS = {
    "binary_from_probability": (Y, P),
    "binary_from_logit": (Y, Z),
    "categorical_from_probabilities": (K, PK),
    "categorical_from_logits": (K, ZK),
    "distribution_from_probabilities": (PK, PK),
    "distribution_from_logits": (PK, ZK),
    "binary_entropy": (P,),
    "entropy": (PK,),
    "surprisal": (-P,),
    "binary_kl": (P, Y),
    "binary_kl_both_ways": (P, Y),
    "kl": (PK, PK),
    "kl_from_logits": (ZK, ZK),
    "normal_quantile": (0.95,),
    "normal_p_value": (Z,),
    "student_p_value": (Z, np.array(9.0)),
    "student_quantile": (0.95, np.array([9.0])),
    "f_p_value": (np.array([2.0]), np.array([3.0]), np.array([9.0])),
    "chi_square_p_value": (np.array([2.0]), np.array([3.0])),
    "log_of_happened": (Y, P),
    "dot": (Y, P),
    "split_at_head": (P,),
    "two_sum": (Y, P),
    "two_product": (Y, P),
    "sum_with_error": (PK,),
    "compensated_sum": (PK,),
    "ratio_of_sums": (P, P, Y + 1, P),
    "bin_of_probability": (P,),
    "bin_of_tail": (P, np.minimum(P, 1 - P), P >= 0.5),
    "bin_of_logit": (Z,),
    "coarse_edges": (10,),
    "coarse_bin": (K, 10),
    "coarse_bin_of_thin": (10,),
    "class_losses_from_logits": (ZK,),
    "powers_behind_top": (ZK,),
    "class_losses_from_probabilities": (PK,),
    "share_of": (P, P),
    "shared": (Y, Z, 1.0 - Y, Z),
    **dict.fromkeys(MARGIN_LOSSES, (Z,)),
    **dict.fromkeys(CLASS_LOSSES, (PK, PK)),
    "margin_loss": (np.square, Y, Z),
    "logit": (P,),
}


def test_every_kernel_runs_where_the_package_is_absent(tmp_path):
    calls = {}
    rooms = (
        *(f"kernels.{name}" for name in ("cross_entropy", "divergence", "grid", "margin", "sums")),
        "statistics.distributions",
    )
    for room in rooms:
        module = import_module(f"logloss_spark.{room}")
        for name, function in getmembers(module, isfunction):
            if function.__module__ == module.__name__ and not name.startswith("_"):
                calls[name] = (function, ARGUMENTS[name])
    found = in_a_worker(calls, tmp_path)
    assert len(found) >= 30
    for name, (function, arguments) in calls.items():
        same(found[name], function(*arguments))


BINARY = (pa.array([1, 0, None]), pa.array([0.9, 0.2, 0.5]))
MANY = (pa.array([2, 0, None]), pa.array([[0.2, 0.3, 0.5], [0.0, 1.0, 0.0], [0.5]]))
SOFT = (pa.array([[0.2, 0.3, 0.5]]), pa.array([[0.2, 0.3, 0.5]]))


def test_every_loss_of_the_pandas_engine_runs_where_the_package_is_absent(spark, tmp_path):
    calls = {}
    for kind, (form, batch) in product(("probability", "logit"), (("binary", BINARY), ("many", MANY), ("soft", SOFT))):
        df = spark.createDataFrame(pa.table({"label": batch[0], "prediction": batch[1]}))
        classes = (0, 1) if form == "binary" else (0, 1, 2)
        rows = ready(df, kind=kind, soft_labels=form == "soft", classes=classes)
        calls[f"{kind}, {form}"] = (sent_by(partial(cross_entropy, rows)), batch)
    found = in_a_worker(calls, tmp_path)
    for name, (function, batch) in calls.items():
        same(found[name], function(*batch))


def test_every_other_loss_runs_where_the_package_is_absent(spark, tmp_path):
    label, prediction = pa.array([1, 0, -1]), BINARY[1]
    df = spark.createDataFrame(pa.table({"label": label, "prediction": prediction}))
    batch = (label, prediction, pa.array([0, 0, 6]))  # codes of statuses: the last row has a label that is no class
    calls = {}
    for loss in (*MARGIN_LOSSES, *CLASS_LOSSES, np.subtract):
        rows = ready(df, loss=loss)
        calls[rows.scoring.loss_name] = (sent_by(partial(other_loss, rows)), batch)
    found = in_a_worker(calls, tmp_path)
    for name, (function, arguments) in calls.items():
        same(found[name], function(*arguments))


def sent_by(make):
    """The function that a column carries to the workers."""
    import logloss_spark.functions as functions_room
    import logloss_spark.rows.arrow as engine_room
    import logloss_spark.rows.losses as losses_room

    sent = []
    original = engine_room.vectorised

    def spying(function, type_, **_):  # on Spark 4.0 `nulls` adds columns, and what is returned is no UDF then
        made = original(function, type_)
        sent.append(made.func)
        return made

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(engine_room, "vectorised", spying)
        patched.setattr(functions_room, "vectorised", spying)
        patched.setattr(losses_room, "vectorised", spying)
        make()
    (function,) = sent
    return function


def test_every_column_function_runs_where_the_package_is_absent(spark, tmp_path):
    p = BINARY[1]
    calls = {
        "cross_entropy": (sent_by(lambda: L.cross_entropy("y", "p")), BINARY),
        "row_status": (sent_by(lambda: L.row_status("y", "p")), BINARY),
        "entropy": (sent_by(lambda: L.entropy("p")), (p,)),
        "kl_divergence": (sent_by(lambda: L.kl_divergence("p", "p")), (p, p)),
    }
    found = in_a_worker(calls, tmp_path)
    for name, (function, batch) in calls.items():
        assert found[name].equals(function(*batch))


def test_metrics_are_made_where_the_package_is_absent(spark, tmp_path, monkeypatch):
    df = spark.createDataFrame([("a", 1, 0.9), ("b", 0, 0.2), ("a", None, 0.5)], "day string, label int, p double")
    evaluation = ls.evaluate(df, label="label", prediction="p", by=[["day"]])
    sent = {}

    def spying(table, function, schema):
        sent["function"], sent["batches"] = function, table.toArrow().to_batches()
        return original(table, function, schema)

    monkeypatch.setattr(small, "SMALL_STATE", 0)  # of a small state the driver makes them
    original = type(df).mapInArrow
    monkeypatch.setattr(type(df), "mapInArrow", spying)
    metrics = evaluation.metrics
    listed = sent["function"]

    def all_batches(batches):
        return [batch.to_pylist() for batch in listed(iter(batches))]

    found = in_a_worker({"metrics": (all_batches, (sent["batches"],))}, tmp_path)["metrics"]
    rows = [{"day": row.pop("slice_0")} | row for batch in found for row in batch]
    wanted = metrics.toArrow().to_pylist()
    assert sorted(map(str, map(sorted, map(dict.items, rows)))) == sorted(
        map(str, map(sorted, map(dict.items, wanted)))
    )


def plan(df, capsys):
    capsys.readouterr()
    df.explain()
    return capsys.readouterr().out


@pytest.fixture(scope="module")
def stored(spark, tmp_path_factory):
    """A table on disk, of 50 rows in two slices."""
    folder = str(tmp_path_factory.mktemp("stored") / "table")
    rng = np.random.default_rng(5)
    frame = pd.DataFrame({"day": np.repeat(["a", "b"], 25), "label": rng.integers(0, 2, 50), "p": rng.random(50)})
    spark.createDataFrame(frame).write.parquet(folder)
    return folder


@pytest.mark.parametrize(("engine", "calls"), [("pandas", 1), ("native", 0)])
def test_a_batch_of_rows_goes_to_python_once_and_never_in_the_native_engine(spark, stored, capsys, engine, calls):
    rows = ready(spark.read.parquet(stored), prediction="p", by="day", engine=engine)
    text = plan(state_of(scored(rows), rows, 1), capsys)
    assert len(re.findall(r"ArrowEvalPython|ArrowUDF|BatchEvalPython", text)) == calls
    assert calls or "Python" not in text


def test_a_row_is_read_once_whatever_the_number_of_slices(spark, stored, capsys, monkeypatch):
    monkeypatch.setattr(small, "SMALL_STATE", 0)
    df = spark.read.parquet(stored)
    evaluation = ls.evaluate(
        df, label="label", prediction="p", by=[["day"], ["label"], ["day", "label"]], engine="native"
    )
    text = plan(evaluation.state.table, capsys)
    assert text.count("FileScan parquet") == 1
    assert "InMemoryTableScan" in plan(evaluation.metrics, capsys)
    assert "InMemoryTableScan" in plan(evaluation.reliability, capsys)


@pytest.mark.connect
def test_results_come_from_the_state_and_not_from_the_rows_again(spark, tmp_path):
    folder = tmp_path / "table"
    spark.createDataFrame([(1, 0.9), (0, 0.2)], "label int, p double").coalesce(1).write.parquet(str(folder))
    evaluation = ls.evaluate(spark.read.parquet(str(folder)), label="label", prediction="p")
    before = evaluation.metrics.first()
    for file in Path(folder).glob("*.parquet"):
        file.unlink()
    assert evaluation.metrics.first() == before
    assert evaluation.reliability.count() == 2
    assert evaluation.to_json()


def test_results_are_the_same_after_closing(spark, stored):
    evaluation = ls.evaluate(spark.read.parquet(stored), label="label", prediction="p", by=[["day"]])
    before = evaluation.to_pandas()
    evaluation.close()
    pd.testing.assert_frame_equal(evaluation.to_pandas(), before)
    evaluation.close()
    evaluation.close()


COLUMNAR = "spark.sql.execution.arrow.pythonUDF.columnarInput.enabled"


@pytest.fixture
def columnar(spark):
    """Spark 4.3's own default, which sessions of this package switch off."""
    before = spark.conf.get(COLUMNAR, None)
    spark.conf.set(COLUMNAR, "true")
    yield
    spark.conf.set(COLUMNAR, before) if before is not None else spark.conf.unset(COLUMNAR)


@pytest.fixture(scope="module")
def with_vectors(spark, tmp_path_factory):
    """A table on disk that has ML vectors."""
    vectors = [DenseVector([0.25, 0.75]), SparseVector(2, {1: 1.0}), SparseVector(2, {0: 0.5, 1: 0.5})]
    schema = StructType(
        [
            StructField("label", IntegerType()),
            StructField("probability", VectorUDT()),
            StructField("features", VectorUDT()),
        ]
    )
    folder = str(tmp_path_factory.mktemp("vectors") / "scored")
    spark.createDataFrame([(1, vector, vector) for vector in vectors], schema).write.parquet(folder)
    return spark.read.parquet(folder)


@pytest.mark.connect
@pytest.mark.usefixtures("columnar")
def test_a_table_with_ml_vectors_on_disk_can_be_scored_whatever_spark_hands_to_python(with_vectors):
    found = sorted(
        row.loss for row in with_loss(ready(with_vectors, prediction="probability")).select("loss").collect()
    )
    assert found == pytest.approx([0.0, -np.log(0.75), np.log(2)], rel=1e-15, abs=0)
    whole = ls.log_loss(with_vectors, "label", "probability")
    assert whole == pytest.approx((np.log(2) - np.log(0.75)) / 3, rel=1e-15)


@pytest.mark.usefixtures("columnar")
@pytest.mark.parametrize("engine", quick(["pandas", "native"], "pandas"))
def test_models_whose_forecasts_are_ml_vectors_on_disk_are_compared(with_vectors, engine):
    models = {"a": "probability", "b": "features"}  # their divergences come from Python under either engine
    same = ls.compare(with_vectors, label="label", predictions=models, baseline="a", engine=engine).metrics.first()
    assert (same.n, same.difference, same.kl) == (3, 0.0, 0.0)
