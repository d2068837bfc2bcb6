"""Tables of predictions that nobody here made: what scikit-learn, other software and print say about them."""

import json
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.stats
import sklearn.calibration
import sklearn.metrics
from pyspark.sql import functions as F

import logloss_spark as ls

pytestmark = pytest.mark.slow  # whole published tables, each evaluated with the references of scikit-learn

SKLEARN_EPS = np.finfo(np.float64).eps
"""Where scikit-learn clips float64 forecasts, 2.2e-16; ours is 1e-15 unless told."""

SUMS = 1e-12
"""Relative: what sums agree to, whatever the order they were added in."""

BINARY = {
    "538_march_madness_in_game_men.csv.gz": ("season", {"team1": ("prob1", "prob1_outcome")}),
    "538_mlb_games.csv.gz": ("season", {"team1": ("prob1", "prob1_outcome")}),
    "538_governors_elections.csv.gz": ("forecast_type", {"all": ("probwin", "probwin_outcome")}),
    "538_college_football_playoff.csv.gz": (
        "season",
        {
            name: (name, f"{name}_outcome")
            for name in ("final_rank1", "final_rank2", "final_rank3", "final_rank4", "madeplayoff", "natchamp")
        },
    ),
    "538_raw_forecasts_2021.csv.gz": ("category", {"all": ("prob", "outcome")}),
    "aviation_icing_prob.csv": (None, {"icing": ("frcst", "obs")}),
    "scoringutils_example_binary.csv": ("model", {"all": ("predicted", "observed")}),
}


def read(shared, name):
    path = shared / "pred" / name
    return pd.read_parquet(path) if name.endswith("parquet") else pd.read_csv(path, low_memory=False)


def stored(spark, frame, folder):
    """A frame as a table that Spark reads from disk: a local one would be computed by its optimizer, in one thread."""
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), folder / "table.parquet")
    return spark.read.parquet(str(folder / "table.parquet"))


def fmi(shared, hours):
    """Days for which there is a forecast so many hours ahead and an observation, and the class of the latter."""
    columns = [f"p{hours}_cat{k}" for k in range(3)]
    frame = read(shared, "fmi_pop_tampere_2003.csv").dropna(subset=["obs", *columns])
    return frame[columns].to_numpy(), np.digitize(frame.obs, [0.2, 4.4], right=True)


@pytest.fixture(scope="module")
def binary(shared):
    """All binary tables, one below the other: table, group, label, p. Rows without a forecast stay in."""
    parts = []
    for name, (group, pairs) in BINARY.items():
        frame = read(shared, name)
        for what, (p, outcome) in pairs.items():
            groups = frame[group].astype(object).where(frame[group].notna(), None) if group else "all"
            part = pd.DataFrame({"group": groups, "label": frame[outcome], "p": frame[p]})
            part["table"] = f"{name}/{what}"
            if name.startswith("aviation"):
                part["p"] /= 100
            parts.append(part)
    for hours in ("24", "48"):
        p, category = fmi(shared, hours)
        for what, score, happened in (("POP", 1 - p[:, 0], category > 0), ("POPhi", p[:, 2], category == 2)):
            part = {"group": what, "label": happened.astype(float), "p": score, "table": f"fmi/p{hours} {what}"}
            parts.append(pd.DataFrame(part))
    together = pd.concat(parts, ignore_index=True)
    together["group"] = together["group"].map(lambda value: None if value is None else str(value))
    return together


@pytest.fixture(scope="module")
def evaluated_binary(spark, binary, tmp_path_factory):
    """Every binary table by its groups, under scikit-learn's clip."""
    df = stored(spark, binary, tmp_path_factory.mktemp("binary"))
    with ls.evaluate(
        df, label="label", prediction="p", by=[["table"], ["table", "group"]], eps=SKLEARN_EPS
    ) as evaluation:
        yield df, evaluation


@pytest.fixture(scope="module")
def measured_binary(evaluated_binary):
    """Every binary table, by its groups under scikit-learn's clip, and whole under ours."""
    df, evaluation = evaluated_binary
    ours = ls.evaluate(df, label="label", prediction="p", by=[["table"]], engine="native")
    return evaluation.to_pandas().set_index("slice"), ours.to_pandas().set_index("slice")


def scorable(frame):
    return frame[frame.label.isin([0, 1]) & frame.p.notna()]


def theirs(label, p, **options):
    with warnings.catch_warnings():
        # Forecasts that were stored as float32 sum to 1 within 1e-6 only; it warns and scores them as they are.
        warnings.filterwarnings("ignore", message=".*sum to one.*")
        return sklearn.metrics.log_loss(label, p, **options)


def test_binary_tables_score_as_in_scikit_learn_whole_and_by_group(binary, measured_binary):
    metrics, _ = measured_binary
    compared = 0
    for name, frame in binary.groupby("table"):
        groups = {f"table={name}": frame}
        groups |= {f"table={name}/group={group}": part for group, part in frame.groupby("group")}
        for slice_, part in groups.items():
            valid = scorable(part)
            row = metrics.loc[slice_]
            assert row["rows"] == len(part)
            assert row["n"] == len(valid)
            if len(valid):
                assert row["log_loss"] == pytest.approx(theirs(valid.label, valid.p, labels=[0, 1]), rel=SUMS), slice_
                brier = sklearn.metrics.brier_score_loss(valid.label, valid.p, labels=[0, 1])
                assert row["brier"] == pytest.approx(brier, rel=SUMS), slice_
                compared += 1
    assert compared > 60


def test_binary_tables_score_as_the_reference_says(shared, measured_binary):
    metrics, _ = measured_binary
    reference = json.loads((shared / "reference" / "prediction_reference.json").read_text())
    compared = 0
    for file, tables in reference.items():
        for what, values in tables.items():
            name = file.split("/")[-1]
            slice_ = f"table={name.replace('fmi_pop_tampere_2003.csv', 'fmi')}/{what}"
            if slice_ in metrics.index and "log_loss" in values:
                row = metrics.loc[slice_]
                assert row["n"] == values["n"]
                assert row["log_loss"] == pytest.approx(values["log_loss"], rel=SUMS)
                assert row["brier"] == pytest.approx(values["brier"], rel=SUMS)
                assert row["label_mean"] == pytest.approx(values["base"], rel=SUMS)
                assert row["zero"] == values["impossible"]
                compared += 1
    assert compared == 14


def test_our_clip_takes_a_nat_and_a_half_off_each_row_that_ruled_out_what_happened(measured_binary):
    under_theirs, under_ours = measured_binary
    step = np.log(1e-15) - np.log(SKLEARN_EPS)
    for slice_, row in under_ours.iterrows():
        # No forecast in these tables lies between 0 and the clips.
        assert row["clipped"] == row["zero"]
        wanted = under_theirs.loc[slice_, "log_loss"] - step * row["zero"] / row["n"]
        assert row["log_loss"] == pytest.approx(wanted, rel=SUMS)
    assert under_ours.loc["all", "zero"] > 0


def test_a_tie_is_no_class_and_can_be_a_share(shared, spark, measured_binary):
    metrics, _ = measured_binary
    slice_ = "table=538_mlb_games.csv.gz/team1"
    assert metrics.loc[slice_, "unknown_label"] == 1
    reference = json.loads((shared / "reference" / "prediction_reference.json").read_text())
    frame = read(shared, "538_mlb_games.csv.gz")[["prob1", "prob1_outcome"]]
    found = ls.log_loss(spark.createDataFrame(frame), "prob1_outcome", "prob1", soft_labels=True)
    wanted = reference["data/pred/538_mlb_games.csv.gz"]["team1"]["soft_ce_all"]
    assert found == pytest.approx(wanted, rel=SUMS)


def test_the_brier_scores_of_the_finnish_rain_forecasts_are_the_printed_ones(measured_binary):
    metrics, _ = measured_binary
    printed = {"fmi/p24 POP": 0.144, "fmi/p24 POPhi": 0.037, "fmi/p48 POP": 0.178, "fmi/p48 POPhi": 0.044}
    for name, brier in printed.items():
        # Printed to three places: 0.14448 as .144, 0.17798 as .178.
        assert metrics.loc[f"table={name}", "brier"] == pytest.approx(brier, abs=0.0006)


def test_the_decompositions_of_the_finnish_rain_forecasts_are_the_printed_ones(evaluated_binary):
    _, evaluation = evaluated_binary
    # Forecasts are tenths: each has a bin of its own from twenty bins on.
    metrics = evaluation.state.metrics(by=[["table"]], ece_bins=20).toPandas().set_index("slice")
    printed = {
        "p24 POP": (0.025, 0.060, 0.179, 0.194),
        "p24 POPhi": (0.003, 0.020, 0.054, 0.312),
        "p48 POP": (0.027, 0.036, 0.187, 0.047),
        "p48 POPhi": (0.003, 0.011, 0.052, 0.146),
    }
    for name, (reliability, resolution, uncertainty, skill) in printed.items():
        row = metrics.loc[f"table=fmi/{name}"]
        found = {
            "reliability": (row["brier_reliability"], reliability),
            "resolution": (row["brier_resolution"], resolution),
            "uncertainty": (row["label_mean"] * (1 - row["label_mean"]), uncertainty),
            "skill": ((row["brier_resolution"] - row["brier_reliability"]) / (uncertainty_of(row)), skill),
        }
        for part, (value, wanted) in found.items():
            # Printed to three places, some of them cut instead of rounded.
            assert value == pytest.approx(wanted, abs=0.0011), (name, part)
        assert row["brier_rest"] == pytest.approx(0, abs=SUMS)


def uncertainty_of(row):
    return row["label_mean"] * (1 - row["label_mean"])


def test_ranking_and_accuracy_of_binary_tables_are_those_of_scikit_learn(binary, measured_binary):
    metrics, _ = measured_binary
    for name, frame in binary.groupby("table"):
        valid, row = scorable(frame), metrics.loc[f"table={name}"]
        y, p = valid.label.astype(int), valid.p
        false, true, _ = sklearn.metrics.roc_curve(y, p, drop_intermediate=False)
        wanted = {
            "auc": sklearn.metrics.roc_auc_score(y, p),
            "average_precision": sklearn.metrics.average_precision_score(y, p),
            "ks": np.abs(true - false).max(),
        }
        for measure, value in wanted.items():
            assert abs(row[measure] - value) <= row[f"{measure}_bound"] + SUMS, (name, measure)
            if valid.p.nunique() > 200:  # forecasts in whole percents are tied indeed
                assert row[f"{measure}_bound"] < 0.05, (name, measure)
        assert row["accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(y, p >= 0.5), rel=SUMS)


def test_reliability_tables_are_calibration_curves_of_scikit_learn_with_wilsons_band(binary, evaluated_binary):
    _, evaluation = evaluated_binary
    table = evaluation.reliability.where("slice LIKE 'table=%' AND slice NOT LIKE '%group=%'").toPandas()
    for name, frame in binary.groupby("table"):
        valid, found = scorable(frame), table[table.slice == f"table={name}"].sort_values("bin")
        # Theirs are (a, b], and ours [a, b): forecasts on an edge go elsewhere.
        edge = np.isin(valid.p.to_numpy(), np.arange(1, 10) / 10).any()
        if not edge:
            labels, predictions = sklearn.calibration.calibration_curve(valid.label, valid.p, n_bins=10)
            np.testing.assert_allclose(found.label_mean, labels, rtol=SUMS)
            np.testing.assert_allclose(found.prediction_mean, predictions, rtol=SUMS)
        for _, bin_ in found.iterrows():
            happened = round(bin_.label_mean * bin_.n)
            wilson = scipy.stats.binomtest(happened, int(bin_.n)).proportion_ci(0.95, method="wilson")
            assert bin_.label_low == pytest.approx(wilson.low, rel=1e-10, abs=1e-15)
            assert bin_.label_high == pytest.approx(wilson.high, rel=1e-10)
            p = valid.p[(valid.p >= bin_.bin_low) & ((valid.p < bin_.bin_high) | (bin_.bin == 9))]
            reach = scipy.stats.norm.ppf(0.975) * np.sqrt((p * (1 - p)).sum()) / len(p)
            assert bin_.consistency_high == pytest.approx(min(p.mean() + reach, 1), rel=1e-10)
            assert bin_.consistency_low == pytest.approx(max(p.mean() - reach, 0), rel=1e-10, abs=1e-15)


def test_538s_own_twenty_bins_are_made_of_fortieths(shared, evaluated_binary):
    _, evaluation = evaluated_binary
    frame = read(shared, "538_raw_forecasts_2021.csv.gz")
    name = "table=538_raw_forecasts_2021.csv.gz/all"
    fortieths = evaluation.state.reliability(by=[["table"]], ece_bins=40).where(F.col("slice") == name).toPandas()
    fortieths["bucket"] = np.floor(20 * fortieths.bin_low + 0.5 + 1e-9) / 20
    fortieths["happened"] = fortieths.label_mean * fortieths.n
    found = fortieths.groupby("bucket")[["n", "happened"]].sum()
    wanted = frame.groupby("bucket").outcome.agg(["size", "sum"])
    assert found.n.tolist() == wanted["size"].tolist()
    np.testing.assert_allclose(found.happened, wanted["sum"], rtol=SUMS)


def three_classes(shared):
    """Tables of three classes one below the other: table, group, label 0..2, p0, p1, p2."""
    soccer = read(shared, "538_club_soccer_matches.csv.gz")
    outcomes = soccer[["prob1_outcome", "probtie_outcome", "prob2_outcome"]].to_numpy()
    parts = [soccer_part(soccer, outcomes)]
    for hours in ("24", "48"):
        p, category = fmi(shared, hours)
        parts.append(
            pd.DataFrame(p, columns=["p0", "p1", "p2"]).assign(table=f"fmi/p{hours} 3cat", group="rain", label=category)
        )
    nominal = read(shared, "scoringutils_example_nominal.csv").dropna(subset=["predicted", "model"])
    names = ["low", "medium", "high"]
    keys = ["model", "location", "target_end_date", "target_type", "horizon", "observed"]
    wide = nominal.pivot_table(index=keys, columns="predicted_label", values="predicted").reset_index()
    p = wide[names].set_axis(["p0", "p1", "p2"], axis=1)
    label = wide.observed.map(names.index)
    parts.append(p.assign(table="scoringutils_example_nominal.csv/all", group=wide.model, label=label))
    return pd.concat(parts, ignore_index=True)


def soccer_part(soccer, outcomes):
    p = soccer[["prob1", "probtie", "prob2"]].set_axis(["p0", "p1", "p2"], axis=1)
    return p.assign(table="538_club_soccer_matches.csv.gz/3class", group=soccer.league, label=outcomes.argmax(axis=1))


def ten_classes(shared):
    frames = []
    for name in ("mnist", "cifar10"):
        file = f"cleanlab_{name}_test_set_pyx.parquet"
        frame = read(shared, file).drop(columns="row_id")
        frames.append(frame.assign(table=f"{file}/10class", group="all"))
    return pd.concat(frames, ignore_index=True)


def flusight(shared):
    frame = read(shared, "flusight_2024_25_early_pmf.parquet")
    names = ["large_decrease", "decrease", "stable", "increase", "large_increase"]
    p = frame[[f"p_{name}" for name in names]].set_axis([f"p{k}" for k in range(5)], axis=1)
    label = frame.outcome.map(lambda outcome: names.index(outcome) if outcome in names else np.nan)
    return p.assign(table="flusight_2024_25_early_pmf.parquet/all", group="model=" + frame.model, label=label)


def hpc(shared):
    frame = read(shared, "yardstick_hpc_cv.parquet")
    names = ["VF", "F", "M", "L"]
    p = frame[names].set_axis([f"p{k}" for k in range(4)], axis=1)
    label = frame.obs.astype(str).map(names.index)
    return p.assign(
        table="yardstick_hpc_cv.parquet/4class", group=frame.Resample, label=label, weight=frame.yardstick_case_weight
    )


CATEGORICAL = {"three classes": three_classes, "ten classes": ten_classes, "FluSight": flusight, "hpc_cv": hpc}


@pytest.fixture(scope="module", params=CATEGORICAL)
def categorical(request, shared, spark, tmp_path_factory):
    """A table of K classes, and its metrics by group, under scikit-learn's clip and under ours."""
    frame = CATEGORICAL[request.param](shared)
    columns = [name for name in frame if name[0] == "p"]
    kept = frame.assign(label=frame.label.astype("Int64"))[["table", "group", "label", *columns]]
    df = stored(spark, kept, tmp_path_factory.mktemp("classes"))
    asked = {"label": "label", "prediction": columns}
    by = [["table"], ["table", "group"]]
    under_theirs = ls.evaluate(df, **asked, by=by, eps=SKLEARN_EPS).to_pandas().set_index("slice")
    if not under_theirs.loc["all", "clipped"]:
        return frame, columns, under_theirs, under_theirs  # nothing here is near either clip
    under_ours = ls.evaluate(df, **asked, by=by, engine="native").to_pandas().set_index("slice")
    return frame, columns, under_theirs, under_ours


def test_tables_of_classes_score_as_in_scikit_learn_whole_and_by_group(categorical):
    frame, columns, metrics, _ = categorical
    for name, of_table in frame.groupby("table"):
        groups = {f"table={name}": of_table}
        groups |= {f"table={name}/group={group}": part for group, part in of_table.groupby("group")}
        for slice_, part in groups.items():
            valid = part[part.label.notna()]
            p, labels = valid[columns].to_numpy(), range(len(columns))
            assert metrics.loc[slice_, "n"] == len(valid)
            if len(valid):
                assert metrics.loc[slice_, "log_loss"] == pytest.approx(theirs(valid.label, p, labels=labels), rel=SUMS)
                squares = ((p - np.eye(len(columns))[valid.label.astype(int)]) ** 2).sum(axis=1)
                assert metrics.loc[slice_, "brier"] == pytest.approx(squares.mean(), rel=SUMS)


def test_tables_of_classes_score_as_the_reference_says_under_both_clips(shared, categorical):
    frame, _, under_theirs, under_ours = categorical
    reference = json.loads((shared / "reference" / "prediction_reference.json").read_text())
    known = {}
    for file, tables in reference.items():
        name = file.split("/")[-1].replace("fmi_pop_tampere_2003.csv", "fmi")
        for what, values in tables.items():
            known[f"table={name}/{what}"] = values
            model = what.removeprefix("model=")
            group = what if name.startswith("flusight") else model
            known[f"table={name}/all/group={group}"] = values
    compared = [slice_ for slice_ in known if slice_ in under_ours.index and "raw_clip_1e15" in known[slice_]]
    assert len(compared) >= frame.table.nunique()
    for slice_ in compared:
        wanted = known[slice_]
        assert under_theirs.loc[slice_, "log_loss"] == pytest.approx(wanted["clip_2p22e16"], rel=SUMS), slice_
        # The clip of 1e-15 takes 1.5 nats from every row that was given next to nothing, hence the other number.
        assert under_ours.loc[slice_, "log_loss"] == pytest.approx(wanted["raw_clip_1e15"], rel=SUMS), slice_
        assert under_ours.loc[slice_, "brier"] == pytest.approx(wanted["brier_sum"], rel=SUMS), slice_
        assert under_ours.loc[slice_, "zero"] == wanted["truth_p0"], slice_


def test_accuracy_of_tables_of_classes_is_that_of_scikit_learn_up_to_five(categorical):
    frame, columns, metrics, _ = categorical
    labels = range(len(columns))
    for name, of_table in frame.groupby("table"):
        valid, row = of_table[of_table.label.notna()], metrics.loc[f"table={name}"]
        p, y = valid[columns].to_numpy(), valid.label.astype(int)
        assert row["accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(y, p.argmax(axis=1)), rel=SUMS)
        assert row["top_k_accuracy"][0] == row["accuracy"]
        # Of equals scikit-learn takes the last class first, we the first: only tables without ties at k agree.
        for k in range(2, min(len(columns), 5)):
            ranked = np.sort(p, axis=1)[:, ::-1]
            if (ranked[:, k - 1] > ranked[:, k]).all():
                wanted = sklearn.metrics.top_k_accuracy_score(y, p, k=k, labels=labels)
                assert row["top_k_accuracy"][k - 1] == pytest.approx(wanted, rel=SUMS), (name, k)
        among = np.mean((p > p[np.arange(len(y)), y][:, None]).sum(axis=1) + earlier_equals(p, y) < 2)
        assert row["top_k_accuracy"][1] == pytest.approx(among, rel=SUMS)


def earlier_equals(p, y):
    """How many classes before the one that happened were given just as much."""
    own = p[np.arange(len(y)), y][:, None]
    return ((p == own) & (np.arange(p.shape[1]) < y.to_numpy()[:, None])).sum(axis=1)


@pytest.mark.parametrize("categorical", ["hpc_cv"], indirect=True)
def test_the_loss_of_each_class_is_that_of_its_rows(categorical, spark, tmp_path):
    frame, columns, *_ = categorical
    df = stored(spark, frame.assign(label=frame.label.astype("Int64"))[["label", *columns]], tmp_path)
    with ls.evaluate(df, label="label", prediction=columns, engine="native") as evaluation:
        found = evaluation.by_class.toPandas().set_index("class")
    valid = frame[frame.label.notna()]
    p, y = valid[columns].to_numpy(), valid.label.astype(int).to_numpy()
    loss = np.minimum(-np.log(np.maximum(p[np.arange(len(y)), y], 1e-300)), -np.log(1e-15))
    for k in range(len(columns)):
        row = found.loc[str(k)]
        assert row["n"] == row["weight"] == np.sum(y == k)
        assert row["log_loss"] == pytest.approx(loss[y == k].mean(), rel=SUMS)
        assert row["log_loss_share"] == pytest.approx(loss[y == k].sum() / loss.sum(), rel=SUMS)
        assert row["calibration_ratio"] == pytest.approx(p[:, k].mean() / np.mean(y == k), rel=1e-11)
    assert found.log_loss_share.sum() == pytest.approx(1, rel=SUMS)


# FluSight says how often what happened was ruled out; hpc_cv holds one forecast between the two clips.
@pytest.mark.parametrize("categorical", ["FluSight"], indirect=True)
def test_flusight_ruled_out_what_happened_2309_times_and_gave_it_nearly_nothing_58_times_more(categorical):
    _, _, _, metrics = categorical
    everything = metrics.loc["all"]
    assert everything["zero"] == 2309
    assert everything["clipped"] == 2309 + 58
    assert everything["null_label"] == 742
    assert everything["rows"] == 31234
    cap, loss = -np.log(1e-15), everything["log_loss"] * everything["n"]
    assert everything["zero_loss_share"] == pytest.approx(2309 * cap / loss, rel=SUMS)
    assert everything["clipped_loss_share"] == pytest.approx(2367 * cap / loss, rel=SUMS)


@pytest.mark.parametrize("categorical", ["FluSight"], indirect=True)
def test_unclipped_flusight_loses_everything_and_says_so(categorical, spark, tmp_path, capsys):
    frame, columns, _, _ = categorical
    kept = frame.assign(label=frame.label.astype("Int64"))[["group", "label", *columns]]
    df = stored(spark, kept, tmp_path)
    evaluation = ls.evaluate(df, label="label", prediction=columns, by=[["group"]], clip="none", engine="native")
    found = evaluation.to_pandas().set_index("slice")
    assert found.loc["all", "log_loss"] == np.inf
    assert np.isnan(found.loc["all", "log_loss_se"])
    assert found.loc["all", "zero"] == 2309
    # A model that never ruled out what happened has a loss still.
    assert found.loc["group=model=CU-ensemble", "log_loss"] == pytest.approx(1.5189140024912633, rel=SUMS)
    evaluation.show(1)
    assert "log_loss is inf" in capsys.readouterr().out


@pytest.mark.parametrize("categorical", ["hpc_cv"], indirect=True)
def test_hpc_cv_scores_as_yardstick_prints_it(categorical):
    _, _, metrics, _ = categorical
    printed = [0.734, 0.808, 0.705, 0.747, 0.799, 0.766, 0.927, 0.855, 0.861, 0.821]
    for fold, value in enumerate(printed, start=1):
        slice_ = f"table=yardstick_hpc_cv.parquet/4class/group=Fold{fold:02d}"
        assert round(metrics.loc[slice_, "log_loss"], 3) == value
    everything = metrics.loc["all"]
    assert everything["log_loss"] == pytest.approx(0.80213675091553838, rel=SUMS)
    assert everything["log_loss"] * everything["n"] == pytest.approx(2781.0081154241716, rel=SUMS)


@pytest.mark.parametrize("categorical", ["hpc_cv"], indirect=True)
def test_hpc_cv_scores_as_yardstick_prints_it_with_case_weights(categorical, spark):
    frame, columns, _, _ = categorical
    df = spark.createDataFrame(frame[["label", "weight", *columns]])
    found = ls.evaluate(df, label="label", prediction=columns, weight="weight", eps=SKLEARN_EPS).to_pandas().iloc[0]
    assert found.log_loss == pytest.approx(0.80027783688635601, rel=SUMS)
    assert found.log_loss * found.weight == pytest.approx(140150.78109289528, rel=SUMS)
    # One true class was given 1.86e-16, which lies below both clips; without a clip it costs 36.2 instead of 36.0.
    unclipped = ls.log_loss(df, "label", columns, weight="weight", clip="none")
    assert unclipped == pytest.approx(0.8003093584, rel=1e-10)  # printed to ten places
