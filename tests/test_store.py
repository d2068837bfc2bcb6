"""States that are kept by units: what is due, what is live, and that metrics of any window are those of the rows."""

import datetime as dt
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession

import logloss_spark as ls
from logloss_spark.errors import BusyError, DataError, SpecError
from logloss_spark.io.units import Unit, only_units, units_of
from logloss_spark.states.store import Verdict
from logloss_spark.statistics.reporting import Reading
from logloss_spark.store import STAMPS, Due, due_of, units_in
from tests.quick import slow
from tests.same import assert_same_metrics

DAYS = [dt.date(2026, 11, day) for day in range(1, 6)]


def rows_of(days, seed=0, n=40):
    """Predictions of some days in two countries, one of them null."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "dt": np.repeat(days, n),
            "country": np.tile(["US", None], n * len(days) // 2),
            "label": random.integers(0, 2, n * len(days)),
            "p": random.uniform(0.01, 0.99, n * len(days)),
        }
    )
    frame.loc[::17, "p"] = np.nan
    return frame


def write_days(frame: pd.DataFrame, path: Path) -> None:
    """Write the rows of each day as a partition, in the place of the one that is there."""
    for day, rows in frame.groupby("dt"):
        (path / f"dt={day}").mkdir(parents=True, exist_ok=True)
        rows.drop(columns="dt").to_parquet(path / f"dt={day}" / "part.parquet", index=False)


def state_of(table: DataFrame | str) -> ls.State:
    return ls.evaluate(table, label="label", prediction="p", by=[["dt", "country"]]).state


@pytest.fixture(scope="module")
def table(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("store") / "predictions"
    write_days(rows_of(DAYS), path)
    return str(path)


@pytest.fixture(scope="module")
def whole(table: str) -> ls.State:
    return state_of(table).persist()


def test_a_store_holds_what_was_put_into_it(table, whole, tmp_path):
    store = ls.Store(str(tmp_path / "store"))
    snapshot = store.put(whole, unit="dt", by=[["country"]])
    assert (snapshot.version, [key[0] for key in sorted(snapshot.units)]) == (1, [str(day) for day in DAYS])
    assert {unit.rows for unit in snapshot.units.values()} == {40}
    by = [["dt"], ["country"], ["dt", "country"]]
    assert_same_metrics(store.state().metrics(by=by).toPandas(), whole.metrics(by=by).toPandas())


@pytest.fixture(scope="module")
def stored(whole, tmp_path_factory: pytest.TempPathFactory) -> ls.Store:
    """A store of five days."""
    store = ls.Store(str(tmp_path_factory.mktemp("store") / "states"))
    store.put(whole, unit="dt", by=[["country"]])
    return store


def loss_of(state: ls.State) -> float:
    return state.metrics().first().log_loss


def test_a_condition_on_units_reads_no_other_states(stored, whole):
    found = stored.state("dt IN (date'2026-11-02', date'2026-11-04')")
    assert found.checked.local.rows["part"].to_pylist().count("source") == 2
    assert loss_of(found) == pytest.approx(loss_of(whole.where("day(dt) IN (2, 4)")), rel=1e-12)


@pytest.mark.parametrize("where", ["country = 'US' AND dt > '2026-11-02'", slow("dt > '2026-11-30'")])
def test_any_condition_on_slices_gives_the_state_of_their_rows(stored, whole, where):
    names = ["rows", "n", "log_loss"]
    wanted = whole.where(where).metrics().select(names).first()
    found = stored.state(where).metrics().select(names).first()
    assert found[:2] == wanted[:2]
    assert found.log_loss == (None if wanted.log_loss is None else pytest.approx(wanted.log_loss, rel=1e-12))


def test_a_condition_that_is_none_is_refused(stored):
    with pytest.raises(SpecError, match="where must be a condition on the slice columns of the state"):
        stored.state("nothing = 1")


def test_stored_metrics_are_by_unit_and_tell_where_they_come_from(stored, whole):
    metrics = stored.metrics().toPandas()
    wanted = whole.metrics(by=[["dt"], ["dt", "country"]]).toPandas().query("slice != 'all'")
    (run,) = stored.runs().itertuples()
    assert set(metrics["run_id"]) == {run.run_id}
    assert set(metrics["package_version"]) == {ls.__version__}
    assert_same_metrics(metrics.drop(columns=list(STAMPS)), wanted)


def test_a_unit_that_is_stored_again_is_replaced_and_older_versions_stay(spark, table, whole, tmp_path):
    store = ls.Store(str(tmp_path / "states"))
    store.put(whole, unit="dt")
    corrected = rows_of(DAYS[2:3], seed=1)
    store.put(state_of(spark.createDataFrame(corrected, "dt date, country string, label int, p double")), unit="dt")
    both = pd.concat([rows_of(DAYS).query("dt != @DAYS[2]"), corrected])
    scored = both.dropna(subset=["p"])
    by_hand = -np.log(np.where(scored["label"] == 1, scored["p"], 1 - scored["p"])).mean()
    assert loss_of(store.state()) == pytest.approx(by_hand, rel=1e-12)
    assert loss_of(store.state(version=1)) == pytest.approx(loss_of(whole), rel=1e-12)
    assert set(store.metrics().groupBy("dt").count().toPandas()["count"]) == {1}
    assert list(store.runs()["units"]) == [1, 5]
    with pytest.raises(SpecError, match="version must be one of the store's, 0 to 2, got 3"):
        store.state(version=3)


def test_of_two_runs_on_the_same_unit_one_wins_and_on_others_both(whole, tmp_path):
    store = ls.Store(str(tmp_path / "states"))
    days = [whole.where(f"dt = '{day}'").persist() for day in DAYS[:2]]
    plans = [store.plan([asked(day)], ("dt",)) for day in (DAYS[0], DAYS[0], DAYS[1])]
    states = [days[0], days[0], days[1]]
    for place in (0, 2):
        store.publish(plans[place], states[place], states[place].measured("dt", Reading()))
    with pytest.raises(BusyError, match=f"run {plans[0].run_id} of .* has published dt=2026-11-01 as version 2"):
        store.publish(plans[1], states[1], states[1].measured("dt", Reading()))
    assert {unit.run_id for unit in store.live().units.values()} == {plans[0].run_id, plans[2].run_id}
    assert sorted(os.listdir(tmp_path / "states" / "_data")) == sorted([plans[0].run_id, plans[2].run_id])


def test_a_run_to_which_others_are_always_faster_may_run_again(whole, tmp_path, monkeypatch):
    store = ls.Store(str(tmp_path / "states"))
    monkeypatch.setattr("logloss_spark.states.parquet_store.publish", lambda *_: False)
    with pytest.raises(BusyError, match=r"/states is busy: 20 other runs were faster; run again$") as raised:
        store.put(whole, unit="dt")
    assert raised.value.exit_code == 6
    assert os.listdir(tmp_path / "states" / "_data") == [], "nothing of it is left"


def asked(day: dt.date) -> Due:
    return Due((str(day),), "asked for", Unit((str(day),), "", 0))


def test_what_is_missing_or_edited_is_an_error_that_says_so(whole, tmp_path):
    store = ls.Store(str(tmp_path / "states"))
    run = store.put(whole, unit="dt").last_run
    (file,) = (tmp_path / "states" / "_data" / run.run_id / "states").glob("*.parquet")
    rows = pq.read_table(file)
    pq.write_table(rows.slice(1), file)
    with pytest.raises(DataError, match=r"the state of dt=2026-11-0\d must have the \d+ rows that run .* wrote, got"):
        store.state()
    file.unlink()
    with pytest.raises(DataError, match="must have the"):
        store.state()
    log = tmp_path / "states" / "_log" / f"{1:020}.json"
    log.write_text(log.read_text().replace('"units"', '"unit"'))
    with pytest.raises(DataError, match="entry 1 of a store was edited"):
        store.state()


def test_an_empty_store_says_so(tmp_path):
    store = ls.Store(str(tmp_path / "nothing"))
    assert store.live().version == 0
    assert store.runs().empty
    with pytest.raises(SpecError, match="a store must hold states to be read, and it holds none"):
        store.state()
    with pytest.raises(SpecError, match="name them, as in due"):
        store.due(str(tmp_path))


def test_what_is_due_follows_from_the_files_of_each_unit(spark, tmp_path):
    path, store = tmp_path / "predictions", ls.Store(str(tmp_path / "states"))
    write_days(rows_of(DAYS[:3]), path)
    units = units_in(str(path), ["dt"])
    assert {due.reason for due in store.due(str(path), unit="dt")} == {"new"}
    plan = store.plan(due_of(units, store.live()), ("dt",))
    state = state_of(str(path))
    store.publish(plan, state, state.metrics(by="dt"))
    assert store.due(ls.Source(path=str(path))) == ()
    write_days(rows_of(DAYS[1:2], seed=5), path)  # a day is written again,
    write_days(rows_of(DAYS[3:4]), path)  # another one comes,
    shutil.rmtree(path / f"dt={DAYS[0]}")  # and one goes
    found = {due.key[0]: due.reason for due in store.due(str(path))}
    assert found == {str(DAYS[0]): "vanished", str(DAYS[1]): "changed", str(DAYS[3]): "new"}
    # A table that was filtered is asked for the files of its rows.
    filtered = spark.read.parquet(str(path)).where("country = 'US'")
    assert {due.key[0]: due.reason for due in store.due(filtered)} == found


def test_units_of_text_and_of_data_columns_are_found_by_their_rows(spark, tmp_path):
    path = str(tmp_path / "rows.csv")
    rows_of(DAYS[:2]).to_csv(path, index=False)
    read = spark.read.csv(path, header=True, schema="dt date, country string, label int, p double")
    units = units_of(read, None, ["country", "dt"])
    assert [unit.key for unit in units] == [(c, str(day)) for c in (None, "US") for day in DAYS[:2]]
    assert len({unit.fingerprint for unit in units}) == 1  # all of them are in one file
    kept = only_units(read, ["country", "dt"], [(None, str(DAYS[0])), ("US", str(DAYS[1]))])
    assert {tuple(row) for row in kept.select("country", "dt").distinct().collect()} == {
        (None, DAYS[0]),
        ("US", DAYS[1]),
    }


HOSTILE = [
    "../../up",
    "a=b/c",
    "50%",
    "'; DROP",
    '"q"',
    "new\nline",
    "\N{FLYING SAUCER}",
    "",
    "x" * 10_000,
    "null",
    None,
]


def test_keys_of_any_text_survive(spark, tmp_path):
    frame = pd.DataFrame({"dt": np.repeat(np.array(HOSTILE, dtype=object), 4), "label": [0, 1] * 22, "p": 0.3})
    table = spark.createDataFrame(frame, "dt string, label int, p double")
    store = ls.Store(str(tmp_path / "states"))
    store.put(ls.evaluate(table, label="label", prediction="p", by="dt").state, unit="dt")
    assert {key[0] for key in store.live().units} == set(HOSTILE)
    found = store.state().metrics(by="dt").select("dt", "n").toPandas()
    assert dict(zip(found["dt"][1:], found["n"][1:], strict=True)) == dict.fromkeys(HOSTILE, 4)
    assert sorted(os.listdir(tmp_path)) == ["states"]


@pytest.mark.slow
def test_what_no_version_of_late_needs_is_cleaned(whole, tmp_path):
    store = ls.Store(str(tmp_path / "states"))
    day = whole.where(f"dt = '{DAYS[0]}'")
    first, second = (store.put(day, unit="dt").last_run.run_id for _ in range(2))
    dead = tmp_path / "states" / "_data" / "20200101T000000_dead" / "states"
    dead.mkdir(parents=True)
    assert store.clean(days=0) == []  # somebody may be about to publish them
    for root, _, _ in os.walk(tmp_path / "states" / "_data"):
        os.utime(root, (0, 0))
    assert store.clean(days=1) == ["20200101T000000_dead"]
    assert store.clean(days=0) == [first]
    assert loss_of(store.state()) == pytest.approx(loss_of(day), rel=1e-12)
    assert os.listdir(tmp_path / "states" / "_data") == [second]
    with pytest.raises(DataError, match="was cleaned"):
        store.state(version=1)


def test_a_slice_that_a_store_adds_itself_is_refused(spark, tmp_path):
    table = spark.createDataFrame([("a", 1, 0.5)], "source string, label int, p double")
    with pytest.raises(SpecError, match="must not have the name of a column that it adds, got 'source': rename it"):
        ls.Store(str(tmp_path)).put(ls.evaluate(table, label="label", prediction="p", by="source").state, unit="source")


def test_verdicts_stand_beside_their_runs(stored):
    (run,) = stored.runs()["run_id"]
    days = {"2026-11-01": "warn", "2026-11-02": "pass"}
    stored.judge(
        [Verdict(run_id=run, verdict=word, document={"judged": day, "rules": []}) for day, word in days.items()]
    )
    assert list(stored.runs()["verdict"]) == ["warn"]  # the worst of its days
    stored.judge([Verdict(run_id=run, verdict="fail", document={"judged": "2026-11-02", "rules": []})])
    found = {day: verdict.verdict for (_, day), verdict in stored.live().verdicts.items()}
    assert found == {"2026-11-01": "warn", "2026-11-02": "fail"}


@pytest.mark.slow
def test_200_days_one_by_one_in_any_order_with_30_corrections_equal_one_evaluation_of_the_final_table(spark, tmp_path):
    chance = np.random.default_rng(14)
    days = [dt.date(2026, 1, 1) + dt.timedelta(place) for place in range(200)]
    store = ls.Store(str(tmp_path / "states"))
    order = [*chance.permutation(200), *chance.choice(200, 30, replace=False)]
    for version, place in enumerate(order, start=1):
        path = tmp_path / "days" / f"{place}.parquet"
        path.parent.mkdir(exist_ok=True)
        frame = rows_of([days[place]], seed=version, n=60)
        pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), path)
        with ls.evaluate(str(path), label="label", prediction="p", by=[["dt", "country"]]) as evaluation:
            store.put(evaluation.state, unit="dt", by="country")
    assert store.live().version == 230
    by = [["dt"], ["country"], ["dt", "country"]]
    with ls.evaluate(str(tmp_path / "days"), label="label", prediction="p", by=[["dt", "country"]]) as evaluation:
        assert_same_metrics(store.state().metrics(by=by).toPandas(), evaluation.state.metrics(by=by).toPandas())
