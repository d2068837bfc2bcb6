"""Two tables of metrics that say the same, as exactly as sums can."""

import numpy as np
import pandas as pd

EXACT = ["rows", "n", "minority", "few", "buckets", "clipped", "zero"]
ERRORS = ("_se", "_low", "_high")
DIFFERENCES = [
    "information_gain",
    "overconfidence",
    "kl_marginal",
    "ece",
    "mce",
    "ece_adaptive",
    "auc_bound",
    "average_precision_bound",
    "ks_bound",
    *(
        f"{score}_{part}"
        for score in ("log_loss", "brier")
        for part in ("resolution", "reliability", "rest", "miscalibration", "discrimination", "corp_rest")
    ),
]
OF_DIFFERENCES = [
    "ece_debiased",
    "spiegelhalter_z",
    "spiegelhalter_p_value",
    "expected_loss_z",
    "expected_loss_p_value",
    "cox_intercept",
    "cox_slope",
]
"""Roots and quotients of differences, and where an iteration that ends at 1e-12 of its coefficients has come to."""

SUMS = 1e-12
"""Relative, under any order of adding; of differences it is absolute, in units of the loss."""

OF_ERRORS = 1e-6
"""Relative: squares cancel in a variance."""


def assert_same_metrics(found: pd.DataFrame, wanted: pd.DataFrame) -> None:
    """The same slices, with the same metrics; neither the order of rows nor that of slice columns counts."""
    found, wanted = (table.set_index("slice").sort_index() for table in (found, wanted))
    assert found.index.is_unique
    assert list(found.index) == list(wanted.index)
    assert set(found.columns) == set(wanted.columns)
    for name in wanted:
        if name in EXACT or (wanted[name].dtype == object and not isinstance(wanted[name].iloc[0], np.ndarray)):
            assert (
                found[name].where(found[name].notna(), None).tolist()
                == wanted[name].where(wanted[name].notna(), None).tolist()
            ), name
            continue
        ours, theirs = (np.array(table[name].tolist(), dtype=float) for table in (found, wanted))
        if name.endswith(ERRORS) or name in OF_DIFFERENCES:
            np.testing.assert_allclose(ours, theirs, rtol=OF_ERRORS, atol=1e-12, err_msg=name)
        else:
            absolute = SUMS * max(1.0, np.nanmax(theirs, initial=0.0)) if name in DIFFERENCES else 0.0
            np.testing.assert_allclose(ours, theirs, rtol=SUMS, atol=absolute, err_msg=name)
