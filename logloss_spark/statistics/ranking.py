"""How well forecasts rank: AUC, average precision and Kolmogorov-Smirnov, from the cells of a state. NumPy only.

Rows that fall into one bin of the score count as tied; the bounds say how far that may be from the rows' own order.
"""

import numpy as np

from logloss_spark.kernels.sums import Array
from logloss_spark.statistics.calibration import Cells, ClassCells, Scores

RANKING = ("auc", "average_precision", "ks")

ONE_VS_REST = ("auc", "auc_bound", "class_auc", "class_auc_bound")


def ranking(cells: Cells | Scores) -> dict[str, Array]:
    """AUC, average precision and KS of n slices, each with its bound; NaN where a class has no weight.

    Parameters
    ----------
    cells : of the finest bins; a row counts wy as positive and w(1 - y) as negative

    Returns
    -------
    dict of arrays of shape (n,) in [0, 1]: `auc`, `average_precision`, `ks` and `<name>_bound`, the largest distance
    from what the rows themselves would give

    References
    ----------
    Hanley, McNeil, The meaning and use of the area under a ROC curve, Radiology 143 (1982). Average precision is that
    of scikit-learn: precision at each threshold, weighted by the recall it adds.
    """
    positive, negative = cells.labels, cells.weight - cells.labels
    # From the highest score down: the sums at or above a cell, and above it.
    positive, negative = positive[:, ::-1], negative[:, ::-1]
    true, false = np.cumsum(positive, axis=1), np.cumsum(negative, axis=1)
    true_above, false_above = true - positive, false - negative
    with np.errstate(all="ignore"):
        positives, negatives = positive.sum(axis=1), negative.sum(axis=1)
        pairs = positives * negatives
        precision = _mean(positive * _ratio(true, true + false), positives)
        best = _mean(positive * _ratio(true, true + false_above), positives)
        worst = _mean(_area_behind_the_negatives(true_above, false, positive), positives)

        gap = np.abs(true / positives[:, np.newaxis] - false / negatives[:, np.newaxis])
        first_positive = np.abs(true / positives[:, np.newaxis] - false_above / negatives[:, np.newaxis])
        first_negative = np.abs(true_above / positives[:, np.newaxis] - false / negatives[:, np.newaxis])
        ks = gap.max(axis=1, initial=0.0)
        most = np.maximum(first_positive, first_negative).max(axis=1, initial=0.0)
        # Without one of the classes there are no pairs to rank.
        defined = np.where(pairs > 0, 1.0, np.nan)
        return {
            "auc": area_under_curve(cells.labels, cells.weight - cells.labels),
            "auc_bound": tied_pairs(positive, negative),
            "average_precision": precision,
            "average_precision_bound": np.maximum(best - precision, precision - worst),
            "ks": ks * defined,
            "ks_bound": np.maximum(most - ks, 0.0) * defined,
        }


def ranking_of_rows(scores: Scores) -> dict[str, Array]:
    """As `ranking`, from the scores of the rows themselves. No bin holds two scores, so the bounds are 0."""
    found = ranking(scores)
    return found | {f"{name}_bound": np.where(np.isnan(found[name]), np.nan, 0.0) for name in RANKING}


def roc_curve(cells: Cells) -> tuple[Array, Array]:
    """The false and the true positive rate at or above each cell, from the highest score down: (n, bins + 1) each.

    Both begin with 0; NaN where a class has no weight. Between two points lie the rows of one cell, whose own order
    decides how the curve gets from one to the other, upwards first at best.
    """
    with np.errstate(all="ignore"):
        true, false = (
            np.concatenate([np.zeros((len(side), 1)), np.cumsum(side[:, ::-1], axis=1)], axis=1)
            / side.sum(axis=1, keepdims=True)
            for side in (cells.labels, cells.weight - cells.labels)
        )
    return false, true


def roc_band(cells: Cells, confidence: float) -> tuple[Array, Array]:
    """How far the false and the true positive rate of all thresholds together are from those of the population, (n,).

    The rates are empirical distributions of the negative and of the positive rows, each within sqrt(ln(2/a) / 2n) of
    its own at all thresholds at once (Dvoretzky, Kiefer and Wolfowitz). Both hold with this confidence, a being
    1 - sqrt(confidence). n is the effective number of rows of the class; labels are 0 or 1, and rows independent.

    References
    ----------
    Campbell, Advances in statistical methodology for the evaluation of diagnostic and laboratory tests, Statistics in
    Medicine 13 (1994), for the band of a curve. Massart, The tight constant in the Dvoretzky-Kiefer-Wolfowitz
    inequality, Ann. Probab. 18 (1990).
    """
    reach = np.log(2.0 / (1.0 - np.sqrt(confidence))) / 2.0
    positive, negative = cells.labels.sum(axis=1), (cells.weight - cells.labels).sum(axis=1)
    of_positive, of_all = cells.squared_labels.sum(axis=1), cells.squares.sum(axis=1)
    with np.errstate(all="ignore"):
        of_false = np.sqrt(reach * (of_all - of_positive) / negative**2)
        return of_false, np.sqrt(reach * of_positive / positive**2)


def one_vs_rest(cells: ClassCells) -> dict[str, Array]:
    """The AUC of each class against the rest, and their plain mean over classes, each with its bound.

    Returns
    -------
    `class_auc` and `class_auc_bound` of shape (n, K), NaN for a class that always or never happened; `auc` and
    `auc_bound` of shape (n,), NaN if there is such a class; with two classes they belong to the second

    References
    ----------
    Provost, Domingos, Well-trained PETs: improving probability estimation trees (2000), for the mean of K classes.
    """
    classes = [
        (area_under_curve(wy, w - wy), tied_pairs(wy, w - wy))
        for w, wy in zip(np.moveaxis(cells.weight, 1, 0), np.moveaxis(cells.labels, 1, 0), strict=True)
    ]
    auc, bound = (np.stack(values, axis=1) for values in zip(*classes, strict=True))
    first = 1 if auc.shape[1] == 2 else 0
    return {
        "auc": auc[:, first:].mean(axis=1),
        "auc_bound": bound[:, first:].mean(axis=1),
        "class_auc": auc,
        "class_auc_bound": bound,
    }


def tied_pairs(positive: Array, negative: Array) -> Array:
    """Half of the share of pairs of a positive and a negative row that are in one bin, (m,)."""
    with np.errstate(all="ignore"):
        return np.asarray((negative * positive).sum(axis=1) / positive.sum(axis=1) / negative.sum(axis=1) / 2.0)


def area_under_curve(positive: Array, negative: Array) -> Array:
    """AUC of m rows of sums by bins, ascending, ties counting one half: (m,)."""
    with np.errstate(all="ignore"):
        below = np.cumsum(negative, axis=1) - negative / 2.0
        return np.asarray((positive * below).sum(axis=1) / (positive.sum(axis=1) * negative.sum(axis=1)))


def squared_influence_of_auc(cells: Cells | Scores, auc: Array) -> Array:
    """Sum of the squared influences of the rows on the AUC, of labels 0 and 1, (n,).

    A positive row moves it by how many of the negatives it is above, less the AUC, and the other way round.

    References
    ----------
    DeLong, DeLong, Clarke-Pearson, Comparing the areas under two or more correlated ROC curves, Biometrics 44 (1988).
    """
    positive, negative = cells.labels, cells.weight - cells.labels
    with np.errstate(all="ignore"):
        positives, negatives = (part.sum(axis=1, keepdims=True) for part in (positive, negative))
        below = (np.cumsum(negative, axis=1) - negative / 2.0) / negatives
        above = 1.0 - (np.cumsum(positive, axis=1) - positive / 2.0) / positives
        of_positive = (below - auc[:, np.newaxis]) / positives
        of_negative = (above - auc[:, np.newaxis]) / negatives
        squares = cells.squared_labels * of_positive**2 + (cells.squares - cells.squared_labels) * of_negative**2
        return np.asarray(squares.sum(axis=1))


def _mean(sums: Array, total: Array) -> Array:
    return np.asarray(sums.sum(axis=1) / total)


def _ratio(part: Array, whole: Array) -> Array:
    return np.where(whole > 0, part / whole, 0.0)


def _area_behind_the_negatives(true: Array, false: Array, positive: Array) -> Array:
    """The smallest sum of precision over a cell's positives: all of the cell's negatives come first.

    It is the integral of (true + t) / (true + false + t) for t up to `positive`; sums at the ends of steps exceed it.
    """
    return positive - false * np.where(false > 0, np.log1p(_ratio(positive, true + false)), 0.0)
