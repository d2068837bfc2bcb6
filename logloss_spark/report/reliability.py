"""The section of a report on what was forecast and what happened: reliability, scores, and the ROC curve."""

from functools import partial
from typing import Any

import pandas as pd

from logloss_spark.report import plots
from logloss_spark.report.frames import has_number
from logloss_spark.report.page import Page, Section
from logloss_spark.report.pictures import picture


def of_reliability(page: Page) -> Section | None:
    """Whether what was forecast is what happened, and how well the forecasts tell the classes apart."""
    found = page.cells
    if found is None or found.empty:
        return None
    row = page.overall
    words = calibration_in_words(row)
    pictures = [
        picture(
            "reliability",
            partial(plots.reliability, found, residuals=page.residuals),
            4.6,
            caption="What happened against what was forecast. On the dashed line forecasts are calibrated; calibrated "
            "forecasts would stray from it by chance as far as the band goes. The line is red where it leaves the "
            f"band{', which allows for clusters' if page.residuals is not None else ''}. Below, how frequent scores "
            "are.",
            words=words,
        )
    ]
    if not has_number(row, "brier_discrimination"):
        of_top = "With a forecast per class the score is that of the likeliest class."
        return Section(id="reliability", title="Reliability", lines=[f"{words}.", of_top], pictures=pictures)
    area = f"area under the ROC curve {row['auc']:.4f}" if has_number(row, "auc") else "no ROC curve"
    pictures += [
        picture(
            "scores",
            partial(plots.scores, found),
            2.6,
            caption="The scores of rows in which it happened, and of those in which it did not."
            f"{'' if page.residuals is None else ' Their bands take rows as independent, whatever their cluster.'}",
            words=f"Histograms of the scores of both classes; {area}",
        ),
        picture(
            "ranking",
            partial(plots.ranking, found, metrics=row),
            3.6,
            caption=caption_of_ranking(row),
            words=f"ROC curve: {area}",
        ),
    ]
    return Section(id="reliability", title="Reliability", lines=[f"{words}."], pictures=pictures)


def caption_of_ranking(row: "pd.Series[Any]") -> str:
    """Return what the ROC curve shows, and what its interval leaves out."""
    lines = [
        "How well scores tell the classes apart. The light band holds the whole curve. A darker box is made of rows "
        "that share a cell of the score, often one frequent score: the cells do not know their order, and the curve "
        "may run anywhere in the box."
    ]
    if has_number(row, "auc_bound") and row["auc_bound"]:
        lines.append(f"This may move the area (AUC) by up to {row['auc_bound']:.2g} beyond its interval.")
    return " ".join(lines)


def calibration_in_words(row: "pd.Series[Any]") -> str:
    """Return how far forecasts are from what happened, in words."""
    parts = [f"The expected calibration error is {row['ece']:.4f}"]
    if has_number(row, "log_loss_miscalibration"):
        gain = max(row["log_loss_miscalibration"], 0.0)
        parts.append(f"the best curve for these very rows would lower the loss by {gain:.4f}")
    if has_number(row, "cox_slope"):
        parts.append(f"the calibration slope is {row['cox_slope']:.3f}")
    return ", ".join(parts)
