"""What a fit did, as data and as text that people read."""

from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from logloss_spark.fit.solvers import Step
from logloss_spark.fit.status import Status
from logloss_spark.report.bars import Bars
from logloss_spark.report.page import Headline, KeyFigure, RowCounts
from logloss_spark.report.text import NOTHING, View, alone, p_values
from logloss_spark.rows.engines import Ran
from logloss_spark.statistics.distributions import normal_quantile
from logloss_spark.wording import counted, shortened, visible

SHOWN = 40
"""Coefficients that a summary shows; the table of a model has all."""

COVERAGE = 0.95
"""The coverage of the intervals of coefficients that are drawn."""

LEFT_OUT = "rows left out"
"""How the remark on invalid rows begins."""

NAME_COLUMNS = ("class", "feature")
"""The columns of a table of coefficients that hold names."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a fit did.

    The model is the point of `best_iteration`: the last iteration, unless the loss of the validation rows was smaller
    before. The losses, the gradient, the gap and the curvature are of that point. Losses and gradients are means over
    the weighted rows, in nats; the curvature is of the mean penalised objective over standardised features.

    Attributes
    ----------
    status : why the fit ended, with its `sentence`
    converged : whether it ended at an optimum, or because the validation rows said so
    solver : the solver that ran
    iterations, best_iteration : the number of the last iteration, and of the model's
    passes : how often the last call passed over the rows
    read, rows, held : the rows of the table, the rows that were fitted on, the rows held out for validation; the others
        are invalid or have no weight
    weight : the weight of the rows that were fitted on
    invalid : the number of rows that cannot be fitted on, by reason
    objective, log_loss, validation_loss : of the model
    label_entropy : the log loss of a forecast that knows only the shares of the classes
    normalized_entropy : the log loss by the label entropy
    gradient_norm : the largest entry of the gradient
    gap : how far the objective is above the optimum, by the estimate of the solver's model
    smallest_curvature, largest_curvature, condition : the extreme eigenvalues of the Hessian, and their ratio
    collinear : the columns that are collinear
    separation, separating : "complete", "quasi-complete" or None, and the columns that separate the classes
    streamed, rebuilds : whether each pass read the table, and how often lost blocks were written again
    engine : "arrow" if Python workers read the rows from Parquet files, "native" if Spark read the table; and why
    history : one `Step` for each iteration
    """

    status: Status
    converged: bool
    solver: str
    iterations: int
    best_iteration: int
    passes: int
    read: int
    rows: int
    held: int
    weight: float
    invalid: dict[str, int]
    objective: float
    log_loss: float
    label_entropy: float
    normalized_entropy: float
    validation_loss: float | None
    gradient_norm: float
    gap: float
    smallest_curvature: float | None
    largest_curvature: float | None
    condition: float | None
    collinear: tuple[str, ...]
    separation: str | None
    separating: tuple[str, ...]
    streamed: bool
    rebuilds: int
    engine: Ran
    history: tuple[Step, ...]


def fit_title(report: Report, features: int, classes: int) -> str:
    """What a model was fitted on."""
    return f"Logistic regression on {counted(report.rows, 'row')}, {counted(features, 'feature')}, {classes} classes"


def fit_remarks(report: Report) -> list[str]:
    """How a fit ended, and what a reader must know about it; a sentence each."""
    remarks = [
        f"{report.status.sentence} ({report.solver}, {counted(report.iterations, 'iteration')}, "
        f"{report.passes} passes, gradient {report.gradient_norm:.1e})"
    ]
    if report.validation_loss is not None:
        remarks.append(
            f"the model is that of iteration {report.best_iteration}, with the least log loss on "
            f"{counted(report.held, 'validation row')}: {report.validation_loss:.6g} nats"
        )
    if report.status in (Status.VALIDATION, Status.MAX_ITER, Status.LINE_SEARCH):
        remarks.append("there are no standard errors, because the fit did not end at an optimum")
    if report.separation is not None:
        rows = "every row" if report.separation == "complete" else "some rows"
        remarks.append(
            f"these columns tell the class of {rows} for certain, and their coefficients grow without bound: "
            f"{shortened(report.separating)}"
        )
    if report.collinear:
        remarks.append(
            "these columns are collinear, so their coefficients are not determined (the solution of least norm is "
            f"given): {shortened(report.collinear)}"
        )
    if report.invalid:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in report.invalid.items())
        remarks.append(f"{LEFT_OUT}: {reasons}")
    if report.streamed:
        remarks.append("each pass read the table again, because no blocks could be kept")
    return remarks


def reading_of(report: Report) -> str:
    """A clause that says who read the rows of a fit, and why."""
    by_workers = report.engine.name == "arrow"
    return f"{'workers read the rows from files' if by_workers else 'Spark read the rows'} (engine {report.engine})"


def fit_summary(title: str, report: Report, coefficients: pd.DataFrame) -> str:
    """A fit in words, and its coefficients as a table."""
    lines = [
        title,
        *fit_remarks(report),
        f"log loss {report.log_loss:.6g} nats, label entropy {report.label_entropy:.6g}, "
        f"normalized entropy {report.normalized_entropy:.4f}",
    ]
    if report.condition is not None:
        lines.append(
            f"curvature from {report.smallest_curvature:.3g} to {report.largest_curvature:.3g}, "
            f"condition number {report.condition:.3g}"
        )
    shown = coefficients.head(SHOWN)
    names = [name for name in NAME_COLUMNS if name in shown]
    shown = shown.assign(**{name: [visible(str(value)) for value in shown[name]] for name in names})
    lines += ["", shown.to_string(index=False, float_format=lambda value: f"{value:.6g}", na_rep="")]
    return "\n".join(lines + rest_of(coefficients))


def fit_view(title: str, report: Report, coefficients: pd.DataFrame) -> View:
    """A fit as it is shown in a notebook."""
    shown = coefficients.head(SHOWN)
    cells = {str(name): cells_of(str(name), column) for name, column in shown.items()}
    value, reach = shown["coefficient"], normal_quantile(COVERAGE) * shown["standard_error"]
    low, high = (value - reach).tolist(), (value + reach).tolist()
    meaning = "0" + (f", and they are {COVERAGE:.0%} intervals" if reach.notna().any() else "")
    bars = {"coefficient": Bars(value.tolist(), low, high, 0.0, meaning)}
    return View(title=title, table=cells, remarks=[*fit_remarks(report), *rest_of(coefficients)], bars=bars)


def cells_of(name: str, values: "pd.Series") -> list[str]:
    """A column of a table of coefficients as texts; numbers that are not defined are empty."""
    if name in NAME_COLUMNS:
        return [str(value) for value in values]
    if name == "p_value":
        return ["" if text == NOTHING else text for text in p_values(values)]
    return ["" if value != value else f"{value:.2f}" if name == "z" else f"{value:.5g}" for value in values]


def rest_of(coefficients: pd.DataFrame) -> list[str]:
    """A line that counts the coefficients that are not shown, if there are any."""
    rest = len(coefficients) - SHOWN
    return [f"... and {rest:,} more: .table has all"] if rest > 0 else []


def first_of_fit(report: Report, view: View) -> dict[str, Any]:
    """Return what the page of a fit alone says first: fields of the page; `view` is what a person sees of the fit."""
    word, _, why = report.status.sentence.partition(": ")
    headline = Headline(word.lower().capitalize(), sentence_on_end(report, why), "good" if report.converged else "bad")
    saved = 1.0 - report.normalized_entropy
    numbers = [
        KeyFigure(
            name="log loss",
            value=alone(report.log_loss),
            meaning=f"nats a row of those fitted on; the class shares alone would cost {alone(report.label_entropy)}",
        ),
        KeyFigure(
            name="normalized entropy",
            value=alone(report.normalized_entropy),
            meaning=f"of the base rate's loss: {abs(saved):.1%} {'less' if saved >= 0 else 'more'}",
        ),
    ]
    if report.validation_loss is not None:
        held = f"log loss of {counted(report.held, 'row')} held out"
        numbers.append(KeyFigure(name="validation loss", value=alone(report.validation_loss), meaning=held))
    rows = RowCounts(read=report.read, left_out=report.invalid, used="valid")
    remarks = [line for line in view.remarks if not line.startswith(LEFT_OUT)]  # its section on rows says it
    return {"headline": headline, "numbers": numbers, "rows": rows, "fit": replace(view, remarks=remarks)}


def sentence_on_end(report: Report, why: str) -> str:
    """Return a sentence on how a fit ended."""
    because = f"The fit ended because {why}. " if why else ""
    took = f"{counted(report.iterations, 'iteration')} and {report.passes:,} passes over the rows"
    return f"{because}The solver {report.solver} took {took}."
