"""Models as JSON."""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from logloss_spark.fit.report import Report
from logloss_spark.io.parsing import STORED_INFINITY, dataclass_of, parsed_json, typed_value
from logloss_spark.kernels.sums import Array
from logloss_spark.wording import counted

MODEL_FORMAT = "logloss_spark.LogisticModel"


MODEL_VERSION = 2


def json_of(model: Mapping[str, Any]) -> str:
    """The fields of a `LogisticModel` as JSON that a person can read."""
    classes, names = model["classes"], model["feature_names"]
    several = len(model["coefficients"]) > 1
    logits = []
    for row, label in enumerate(classes if several else classes[1:]):
        logit: dict[str, Any] = {"class": label, "intercept": float(model["intercepts"][row])}
        logit["coefficients"] = dict(zip(names, map(float, model["coefficients"][row]), strict=True))
        if model["standard_errors"] is not None and model["intercept_errors"] is not None:
            logit["intercept_error"] = json_number(model["intercept_errors"][row])
            logit["standard_errors"] = [json_number(error) for error in model["standard_errors"][row]]
        logits.append(logit)
    report = dataclasses.asdict(model["report"])
    if report["condition"] is not None and math.isinf(report["condition"]):
        report["condition"] = STORED_INFINITY
    stored = {
        "format": MODEL_FORMAT,
        "version": MODEL_VERSION,
        "features": model["features"],
        "offset": model["offset"],
        "classes": classes,
        "logits": logits,
        "report": report,
    }
    return json.dumps(stored, indent=1, default=json_number)


def fields_of_json(text: str) -> dict[str, Any]:
    """The fields of the `LogisticModel` that `json_of` turned into JSON.

    Raises KeyError if a key is missing, and ValueError if a value is not as it was written.
    """
    stored = typed_value(parsed_json(text), dict, "it")
    if stored["format"] != MODEL_FORMAT:
        raise ValueError(f"its format must be {MODEL_FORMAT!r}, got {stored['format']!r}")
    if stored["version"] != MODEL_VERSION:
        raise ValueError(f"its version must be {MODEL_VERSION}, got {stored['version']!r}: fit the model again")
    logits = typed_value(stored["logits"], tuple[dict[str, Any], ...], "logits")
    features, classes = stored["features"], tuple(typed_value(stored["classes"], list, "classes"))
    check_stored_logits(logits, classes)
    coefficients = [typed_value(logit["coefficients"], dict[str, float], "coefficients") for logit in logits]
    names = tuple(coefficients[0])
    if any(tuple(of_class) != names for of_class in coefficients):
        raise ValueError("coefficients must have the same names in every logit")
    errors = errors_of(logits, len(names))
    return {
        "features": features if isinstance(features, str) else typed_value(features, tuple[str, ...], "features"),
        "feature_names": names,
        "classes": classes,
        "coefficients": np.array([list(of_class.values()) for of_class in coefficients]),
        "intercepts": np.array([typed_value(logit["intercept"], float, "intercept") for logit in logits]),
        "standard_errors": None if errors is None else errors[:, 1:],
        "intercept_errors": None if errors is None else errors[:, 0],
        "offset": typed_value(stored["offset"], str | None, "offset"),
        "report": dataclass_of(Report, stored["report"], "report"),
    }


def check_stored_logits(logits: Sequence[Mapping[str, Any]], classes: Sequence[Any]) -> None:
    """Raise ValueError unless there is a logit for each class, or for the second of two classes."""
    if not logits:
        raise ValueError("logits must be one or more, got none")
    named = classes if len(logits) > 1 else classes[1:]
    if [logit["class"] for logit in logits] != list(named):
        raise ValueError(f"logits must be those of the classes {list(named)}, in this order")


def errors_of(logits: Sequence[Mapping[str, Any]], width: int) -> Array | None:
    """The standard errors of each logit, its intercept's first; None if they are not stored."""
    if not any("standard_errors" in logit or "intercept_error" in logit for logit in logits):
        return None
    name, optional = "standard_errors", tuple[float | None, ...]
    errors = [
        typed_value([logit["intercept_error"], *typed_value(logit[name], list, name)], optional, name)
        for logit in logits
    ]
    if any(len(of_class) != width + 1 for of_class in errors):
        raise ValueError(f"standard_errors must be one for each of {counted(width, 'feature')}")
    return np.array(errors, dtype=float)


def json_number(value: Any) -> float | None:
    """A number for JSON, which has no NaN."""
    return None if value is None or math.isnan(value) else float(value)
