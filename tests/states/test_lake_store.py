"""A store in a table of Delta or Iceberg: one commit per run, and what happens when two runs meet."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from threading import Thread
from uuid import uuid4

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

import logloss_spark as ls
from logloss_spark.errors import BusyError, SpecError
from logloss_spark.io.lake_tables import is_refusal
from logloss_spark.io.units import Unit
from logloss_spark.states.lake_store import LakeTables
from logloss_spark.states.store import Snapshot, Verdict
from logloss_spark.store import Due
from tests.hostile import TEXTS
from tests.same import assert_same_metrics

pytestmark = [pytest.mark.connect, pytest.mark.lakes]

DAYS = [f"2026-11-0{day}" for day in (1, 2, 3)]
StateOf = Callable[..., ls.State]


@pytest.fixture(params=["delta", "iceberg"])
def store(request: pytest.FixtureRequest, spark: SparkSession, tmp_path: Path) -> Iterator[ls.Store]:
    name = f"lake.stores.s{uuid4().hex}"  # the warehouse outlives a run of the tests
    yield ls.Store(str(tmp_path / "a store") if request.param == "delta" else name, format=request.param)
    if request.param == "iceberg":
        spark.sql(f"DROP TABLE IF EXISTS {name}")


@pytest.fixture(scope="module")
def state_of(spark: SparkSession) -> StateOf:
    def state(*days: str | None, shift: float = 0.0) -> ls.State:
        rows = [(day, i % 2, (i + 1 + shift) / 14, ["US", None][i % 3 // 2]) for day in days for i in range(12)]
        df = spark.createDataFrame(rows, "dt string, label int, p double, country string")
        return ls.evaluate(df, label="label", prediction="p", by=[["dt", "country"]]).state.persist()

    return state


def tables_of(store: ls.Store) -> LakeTables:
    assert isinstance(store._tables, LakeTables)
    return store._tables


def same(stored: ls.State, state: ls.State) -> None:
    by = [["dt"], ["dt", "country"]]
    assert_same_metrics(stored.metrics(by=by).toPandas(), state.metrics(by=by).toPandas())


def publication(store: ls.Store, state: ls.State, day: str = DAYS[0]) -> Callable[[], Snapshot]:
    """A run that has evaluated a day and is about to publish it."""
    plan = store.plan([Due((day,), "asked for", Unit((day,), "", 0))], ("dt",))
    return lambda: store.publish(plan, state, state.metrics(by="dt"))


def test_a_run_replaces_its_units_and_older_versions_stay(store: ls.Store, state_of: StateOf) -> None:
    first, second = state_of(*DAYS[:2]), state_of(*DAYS[1:], shift=0.5)
    store.put(first, unit="dt", by="country")
    snapshot = store.put(second, unit="dt", by="country")
    assert (snapshot.version, sorted(snapshot.units)) == (2, [(day,) for day in DAYS])
    same(store.state(), state_of(DAYS[0]) + second)
    same(store.state(version=1), first)
    same(store.state("dt >= '2026-11-02'"), second)
    with pytest.raises(SpecError, match="version must be one of the store's, 0 to 2, got 3"):
        store.state(version=3)


def test_every_version_of_the_table_holds_the_same_runs_throughout(store: ls.Store, state_of: StateOf) -> None:
    store.put(state_of(*DAYS[:2]), unit="dt", by="country")
    store.put(state_of(DAYS[1], shift=0.5), unit="dt", by="country")
    table, seen = tables_of(store).table, []
    for version, _ in table.commits():
        kinds = table.read(version).groupBy("kind").agg(F.collect_set("unit_id").alias("ids")).collect()
        if kinds:  # the first version of Delta is the empty table
            seen.append({row["kind"]: set(row["ids"]) for row in kinds})
            live = {unit.id for unit in store.live(len(seen)).units.values()}
            assert seen[-1] == {"state": live, "metrics": live, "log": {"log"}}
    assert len(seen) == 2


def test_the_commit_carries_the_name_of_its_run(store: ls.Store, state_of: StateOf) -> None:
    store.put(state_of(DAYS[0]), unit="dt")
    (run,) = store.runs()["run_id"]
    assert tables_of(store).table.commits()[-1][1] == f"entry=1 writer={run}"


def test_of_two_runs_on_one_unit_the_later_is_told_whose_it_is(store: ls.Store, state_of: StateOf) -> None:
    store.put(state_of(DAYS[0]), unit="dt")
    first, second = (publication(store, state_of(DAYS[0], shift=shift)) for shift in (0.25, 0.5))
    first()
    winner = store.runs()["run_id"][0]
    with pytest.raises(BusyError, match=f"run {winner} of .* has published dt=2026-11-01 as version 2"):
        second()
    same(store.state(), state_of(DAYS[0], shift=0.25))


def test_runs_on_other_units_publish_one_after_the_other(store: ls.Store, state_of: StateOf) -> None:
    first, second = (publication(store, state_of(day), day) for day in DAYS[:2])
    first()
    assert second().version == 2
    same(store.state(), state_of(*DAYS[:2]))


def test_the_format_refuses_a_commit_from_an_older_version(store: ls.Store, state_of: StateOf) -> None:
    store.put(state_of(DAYS[0]), unit="dt")
    base, entries = tables_of(store).look()
    store.put(state_of(DAYS[1]), unit="dt")
    late = tables_of(store).log([*entries, "of a run that was slow"])
    refusal = nullcontext() if "delta" in tables_of(store).table.name else pytest.raises(Exception, check=is_refusal)
    with refusal:  # Delta says nothing
        tables_of(store).table.replace(late, ["log"], base, {"entry": "2"})
    assert store.live().version == 2
    same(store.state(), state_of(*DAYS[:2]))


def test_of_two_runs_in_the_same_moment_one_wins(store: ls.Store, state_of: StateOf) -> None:
    store.put(state_of(DAYS[0]), unit="dt")
    runs = {shift: publication(store, state_of(DAYS[0], shift=shift)) for shift in (0.25, 0.5)}
    said: dict[float, int | str] = {}

    def publish(shift: float) -> None:
        try:
            said[shift] = runs[shift]().version
        except BusyError as error:
            said[shift] = str(error)

    threads = [Thread(target=publish, args=(shift,)) for shift in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(said) == 2
    (winner,) = [shift for shift, version in said.items() if version == 2]
    same(store.state(), state_of(DAYS[0], shift=winner))


def test_hostile_keys_survive(store: ls.Store, state_of: StateOf) -> None:
    keys = [None, "__HIVE_DEFAULT_PARTITION__", *TEXTS.values()]
    snapshot = store.put(state_of(*keys), unit="dt")
    assert set(snapshot.units) == {(key,) for key in keys}
    store.put(state_of("", shift=0.5), unit="dt")
    same(store.state(), state_of(*[key for key in keys if key != ""]) + state_of("", shift=0.5))


def test_a_run_may_bring_new_columns(store: ls.Store, state_of: StateOf) -> None:
    store.put(state_of(DAYS[0]), unit="dt")
    state = state_of(DAYS[1])
    plan = store.plan([Due((DAYS[1],), "asked for", Unit((DAYS[1],), "", 0))], ("dt",))
    store.publish(plan, state, state.metrics(by="dt").withColumn("a new metric", F.lit(0.5)))
    assert {row["dt"]: row["a new metric"] for row in store.metrics().collect()} == {DAYS[0]: None, DAYS[1]: 0.5}


def test_the_state_of_a_unit_that_was_replaced_is_read_from_the_version_of_its_run(
    store: ls.Store, state_of: StateOf
) -> None:
    store.put(state_of(DAYS[0]), unit="dt")
    (replaced,) = store.live().units.values()
    snapshot = store.put(state_of(*DAYS[:2], shift=0.5), unit="dt")
    found = tables_of(store).states(snapshot, [replaced, *snapshot.units.values()])
    assert [[unit.run_id for unit in units] for units, _ in found] == [
        [replaced.run_id],
        2 * [store.runs()["run_id"][0]],
    ]


def test_a_verdict_is_an_entry_of_its_own(store: ls.Store, state_of: StateOf) -> None:
    store.put(state_of(DAYS[0]), unit="dt")
    (run,) = store.runs()["run_id"]
    assert store.judge([Verdict(run_id=run, verdict="pass", document={"rules": []})]).version == 2
    assert store.runs()["verdict"].tolist() == ["pass"]
    same(store.state(), state_of(DAYS[0]))


def test_what_else_is_done_to_the_files_changes_no_version(
    store: ls.Store, state_of: StateOf, spark: SparkSession
) -> None:
    for day in DAYS[:2]:
        store.put(state_of(day), unit="dt")
    name = tables_of(store).table.name
    if name.startswith("delta"):
        spark.sql(f"OPTIMIZE {name}").collect()
    else:
        spark.sql(f"CALL lake.system.rewrite_data_files('{name.removeprefix('lake.')}')").collect()
    tables_of(store).table.clean(30.0)
    assert store.live().version == 2
    same(store.state(), state_of(*DAYS[:2]))
    same(store.state(version=1), state_of(DAYS[0]))


@pytest.mark.parametrize("format_", ["delta", "iceberg"])
def test_an_empty_store_is_no_error_until_it_is_read(spark: SparkSession, format_: str, tmp_path: Path) -> None:
    store = ls.Store(str(tmp_path / "s") if format_ == "delta" else "lake.stores.absent", format=format_)
    assert (store.live().version, len(store.runs()), store.clean()) == (0, 0, [])
    with pytest.raises(SpecError, match="a store must hold states to be read"):
        store.state()


def test_iceberg_takes_the_name_of_a_table(spark: SparkSession) -> None:
    with pytest.raises(SpecError, match=r"must be a table of a catalog, such as lake\.db\.states, got the path /tmp/s"):
        ls.Store("/tmp/s", format="iceberg")
