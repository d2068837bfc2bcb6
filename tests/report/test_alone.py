"""Pages of a comparison, a drift and a fit alone: what they say first, and which sections they have. No Spark."""

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from logloss_spark.fit.report import Report, first_of_fit, fit_title, fit_view
from logloss_spark.fit.status import Status
from logloss_spark.kernels.status import STATUSES
from logloss_spark.report.comparisons import (
    CLEAREST_FIRST,
    WORST_FIRST,
    first_of_comparison,
    view_of_comparison,
)
from logloss_spark.report.drifts import headline_of_drift, numbers_of_drift, view_of_drift
from logloss_spark.report.frames import Ranked
from logloss_spark.report.html import to_html
from logloss_spark.report.page import Page
from logloss_spark.rows.engines import Ran
from logloss_spark.states.conventions import Conventions
from logloss_spark.statistics.reporting import Coverage
from tests import hostile
from tests.report.pages import cells

CONVENTIONS = Conventions(
    loss="cross_entropy",
    kind="probability",
    classes=(0, 1),
    scalar=True,
    soft_labels=False,
    clip="eps",
    eps=1e-15,
    grid=1,
    slices=("side",),
    models=("old", "new"),
    rows="all",
)


def differences(challengers: dict[str, float]) -> pd.DataFrame:
    """The table of a comparison: all rows, and two sides, of challengers that differ so much from the baseline."""
    rows = [
        {
            "slice": slice_, "grouping_id": int(slice_ == "all"), "baseline": "old", "challenger": name, "few": False,
            "difference": value, "difference_low": value - 0.01, "difference_high": value + 0.01, "p_value": 0.01,
            "p_adjusted": 0.02, "baseline_log_loss": 0.5, "challenger_log_loss": 0.5 + value, "n": 990, "rows": 1000,
            "verdict": "better" if value < -0.01 else "worse" if value > 0.01 else "no evidence", "detectable": 0.01,
        }
        for name, value in challengers.items()
        for slice_ in ("all", "side=a", "side=b")
    ]  # fmt: skip
    return pd.DataFrame(rows).assign(**dict.fromkeys(STATUSES, 0)).assign(ok=990, null_label=10)


def page_of_comparison(challengers: dict[str, float]) -> Page:
    frame = differences(challengers)
    sizes: dict[tuple[Any, ...], int] = {(id_, name): 2 - id_ for name in challengers for id_ in (0, 1)}
    shown, named = Ranked(frame, sizes, WORST_FIRST), Ranked(frame, {}, CLEAREST_FIRST)
    view = view_of_comparison(shown, named, "new compared with old", CONVENTIONS, Coverage())
    first = first_of_comparison(view, frame, CONVENTIONS, Coverage())
    return Page(title=view.title, coverage="95% interval", **{"comparison": view, "differences": frame} | first)


def test_a_comparison_says_first_whether_the_challenger_is_better_and_by_how_much() -> None:
    page = page_of_comparison({"new": -0.02})
    document = to_html(page)
    assert re.findall(r"<h2 [^>]*>(.*?)</h2>", document) == ["Rows", "Comparison"]
    assert "<strong>Better</strong> The log loss of new is below that of old." in document
    assert [(number.name, number.value, number.interval) for number in page.numbers] == [
        ("difference", "-0.0200", "-0.0300 to -0.0100"), ("log loss of new", "0.4800", ""),
        ("log loss of old", "0.5000", ""),
    ]  # fmt: skip
    assert "990 of 1,000 rows were compared; 1.00% were not:" in document
    assert document.count("null_label") == 1, "the section on rows says it"
    heads = re.findall(r'<th scope="col".*?>(.*?)</th>', document[document.index('id="comparison"') :])
    assert heads[:4] == ["slice", "verdict", "difference [95% interval]", "p adjusted"]


@pytest.mark.parametrize(("value", "word"), [(0.02, "Worse"), (0.0, "No evidence of a difference"), (-0.02, "Better")])
def test_the_word_of_a_comparison_is_its_verdict(value: float, word: str) -> None:
    headline = page_of_comparison({"new": value}).headline
    assert headline is not None
    assert headline.word == word


def test_of_several_challengers_those_that_are_better_are_counted() -> None:
    page = page_of_comparison({"a": -0.02, "b": 0.0, "c": 0.03, "d": -0.04})
    assert page.headline is not None
    assert page.headline.word == "2 of 4 challengers are better than old"
    assert [number.name for number in page.numbers] == ["difference of a", "difference of b", "difference of c"]


def test_names_of_models_run_nothing() -> None:
    document = to_html(page_of_comparison({hostile.TEXTS["script"]: -0.02}))
    assert hostile.TEXTS["script"] not in document
    assert "<script>" not in document


def drifted(**verdicts: str) -> pd.DataFrame:
    row: dict[str, Any] = {"slice": "all", "grouping_id": 0, "reference_n": 900, "current_n": 1000, "psi": 0.1234}
    row |= {"psi_expected": 0.0123, "p_adjusted": 0.5, "reference_label_mean": 0.25, "current_label_mean": 0.5}
    row |= {"scores_verdict": "no evidence", "labels_verdict": "no evidence", "label_p_adjusted": 0.5}
    return pd.DataFrame([row | verdicts])


@pytest.mark.parametrize(
    ("verdicts", "word"),
    [
        ({}, "No evidence of drift"),
        ({"scores_verdict": "hardly moved"}, "Hardly moved"),
        ({"scores_verdict": "moved"}, "Scores moved"),
        ({"scores_verdict": "moved", "labels_verdict": "moved"}, "Scores and labels moved"),
    ],
)
def test_a_drift_says_first_what_moved_and_how_far(verdicts: dict[str, str], word: str) -> None:
    frame = drifted(**verdicts)
    assert headline_of_drift(frame).word == word
    numbers = numbers_of_drift(frame)
    assert [(number.name, number.value, number.meaning) for number in numbers] == [
        ("psi of the scores", "0.1234", "by chance alone 0.0123"), ("mean label", "0.5000", "0.2500 in the reference"),
    ]  # fmt: skip
    both = pd.concat([cells().assign(side=side) for side in ("reference", "current")], ignore_index=True)
    view = view_of_drift(frame, 20, (), (0, 1))
    page = Page(title="drift", headline=headline_of_drift(frame), numbers=numbers, drift=view, drift_cells=both)
    assert re.findall(r"<h2 [^>]*>(.*?)</h2>", to_html(page)) == ["Drift"]


def test_a_drift_by_partition_alone_counts_slices() -> None:
    frame = pd.concat([drifted(slice=f"day={day}", scores_verdict="moved") for day in (1, 2)], ignore_index=True)
    headline = headline_of_drift(frame)
    assert (headline.word, headline.sentence) == ("Scores moved", "Scores on 2 of 2 slices.")
    assert numbers_of_drift(frame) == []


def report(**others: Any) -> Report:
    given: dict[str, Any] = dict.fromkeys(Report.__dataclass_fields__, None)
    given |= {"status": Status.GRADIENT, "converged": True, "solver": "gd", "iterations": 4, "passes": 6, "read": 400}
    given |= {"rows": 398, "held": 0, "invalid": {"null_label": 1, "nan_features": 1}, "log_loss": 0.5, "collinear": ()}
    given |= {"label_entropy": 0.625, "normalized_entropy": 0.8, "gradient_norm": 1e-9, "separating": (), "history": ()}
    given |= {"streamed": False, "engine": Ran("arrow", "the table is 1 file of Parquet")}
    return Report(**given | others)


def page_of_fit(found: Report) -> Page:
    z = np.array([2.0, -5.0])
    table = pd.DataFrame({"feature": ["(intercept)", "x"], "coefficient": z / 3, "standard_error": 1 / 3, "z": z})
    view = fit_view("fit", found, table.assign(p_value=[0.0455, 6e-7]))
    return Page(title=fit_title(found, 1, 2), coefficients=table, **first_of_fit(found, view))


def test_a_fit_says_first_whether_it_converged_and_how_good_it_is() -> None:
    page = page_of_fit(report())
    document = to_html(page)
    assert re.findall(r"<h2 [^>]*>(.*?)</h2>", document) == ["Rows", "Fit"]
    said = "<strong>Converged</strong> The solver gd took 4 iterations and 6 passes over the rows."
    assert said in document
    assert [(number.name, number.value) for number in page.numbers] == [
        ("log loss", "0.5000"), ("normalized entropy", "0.8000"),
    ]  # fmt: skip
    assert "398 of 400 rows were valid; 0.50% were not:" in document
    assert "ows left out" not in document, "the section on rows says it"
    row = r'<th scope="row">x</th><td>-1.6667</td><td>0.33333</td><td>-5.00</td><td>&lt;0.0001</td>'
    assert re.search(row, document)


def test_a_fit_that_did_not_converge_says_why_and_one_with_validation_rows_has_their_loss() -> None:
    page = page_of_fit(report(status=Status.MAX_ITER, converged=False, validation_loss=0.52, held=40, best_iteration=3))
    assert page.headline is not None
    assert (page.headline.word, page.headline.mood) == ("Not converged", "bad")
    assert page.headline.sentence.startswith("The fit ended because max_iter was reached. The solver gd took ")
    assert [number.name for number in page.numbers][2:] == ["validation loss"]
