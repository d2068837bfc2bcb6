"""States of many days are merged by as many queries as those of two."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import logloss_spark as ls


@pytest.fixture(scope="module")
def days(spark, tmp_path_factory):
    """A function that stores the states of so many days, of two rows each, and returns their paths."""
    df = spark.createDataFrame([("x", 1, 0.9), ("y", 0, 0.2)], "a string, label int, p double")
    folder = tmp_path_factory.mktemp("days")
    with ls.evaluate(df, label="label", prediction="p", by=[["a"]], engine="native") as evaluation:
        table = evaluation.state.table.toArrow()
    at, parts = table.schema.get_field_index("place"), table["part"].to_pylist()

    def stored(count):
        for day in range(count):
            places = zip(parts, table["place"].to_pylist(), strict=True)
            own = [day if part == "source" else place for part, place in places]
            path = folder / str(count) / str(day)
            path.mkdir(parents=True, exist_ok=True)
            pq.write_table(table.set_column(at, "place", pa.array(own, pa.int64())), path / "state.parquet")
        return [str(folder / str(count) / str(day)) for day in range(count)]

    return stored


def jobs_of(spark, name, run):
    """What a function returns, and how many jobs it takes."""
    spark.sparkContext.setJobGroup(name, name)
    try:
        return run(), len(spark.sparkContext.statusTracker().getJobIdsForGroup(name))
    finally:
        spark.sparkContext.setLocalProperty("spark.jobGroup.id", None)


@pytest.mark.slow
def test_the_number_of_states_does_not_change_the_number_of_jobs(spark, days):
    states = [ls.read_state(path) for path in days(12)]
    two, few = jobs_of(spark, "two", lambda: ls.merge(*states[:2]))
    ten, many = jobs_of(spark, "ten", lambda: ls.merge(*states[2:]))
    assert 0 < many == few
    assert (two + ten).metrics().first().n == 24


def test_a_pattern_that_matches_many_states_gives_their_sum(days):
    paths = days(3)
    state = ls.read_state(paths[0].rpartition("/")[0] + "/*").persist()
    assert state.metrics().first().n == 6


def test_what_was_checked_is_not_checked_again(spark, days):
    state = ls.merge(*[ls.read_state(path) for path in days(3)])
    _, jobs = jobs_of(spark, "again", lambda: [state.metrics(), state.reliability(by=[["a"]]), state.where("a = 'x'")])
    assert jobs == 0


@pytest.mark.slow
def test_a_year_of_states_is_merged_by_as_many_jobs_as_two_days_and_planned_as_one_union(spark, days, capsys):
    states = [ls.read_state(path) for path in days(365)]
    _, few = jobs_of(spark, "pair", lambda: ls.merge(*states[:2]))
    year, many = jobs_of(spark, "year", lambda: ls.merge(*states[2:]))
    assert many == few
    year.table.explain()
    assert capsys.readouterr().out.count("FileScan parquet") == 363
    assert year.metrics().first().n == 726
