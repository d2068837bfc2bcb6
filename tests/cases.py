"""Slices of predictions that differ in what is hard about them, for every form of prediction."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from tests.oracle import Array, Rows, rows
from tests.rows.batches import arrow


@dataclass(frozen=True)
class Form:
    kind: str
    soft: bool
    classes: int | None
    engine: str

    @property
    def spec(self) -> dict[str, Any]:
        named = {} if self.classes is None else {"classes": tuple(range(self.classes))}
        return {"kind": self.kind, "soft_labels": self.soft, "engine": self.engine} | named


FORMS = {
    "probability": Form("probability", False, None, "pandas"),
    "probability, native": Form("probability", False, None, "native"),
    "probability, soft": Form("probability", True, None, "native"),
    "logit": Form("logit", False, None, "native"),
    "logit, soft": Form("logit", True, None, "pandas"),
    "4 probabilities": Form("probability", False, 4, "pandas"),
    "4 probabilities, soft": Form("probability", True, 4, "native"),
    "2 probabilities, soft": Form("probability", True, 2, "native"),
    "4 logits": Form("logit", False, 4, "native"),
    "40 probabilities": Form("probability", False, 40, "native"),  # beyond what one pass sums
}

CASES = ("plain", "weighted", "overconfident", "rare", "certain")


def cases_of(form: Form, seed: int = 20) -> dict[str, dict[str, Array]]:
    """Columns label, prediction and weight of each case."""
    rng = np.random.default_rng(seed)
    return {case: one_case(case, form, rng) for case in CASES}


def one_case(case: str, form: Form, rng: np.random.Generator) -> dict[str, Array]:
    n = 150
    classes = form.classes or 2
    spread = {"overconfident": 6.0, "certain": 4.0}.get(case, 1.5)
    z = rng.normal(size=(n, classes)) * spread
    if case == "rare":
        z[:, -1] -= 3.0
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    truth = p if case != "overconfident" else np.full_like(p, 1 / classes)
    k = (truth.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(0, classes - 1)
    if case == "certain":
        # Nothing, everything and next to nothing: right, and for some of them wrong.
        sure = np.arange(0, 40)
        p[sure] = np.eye(classes)[k[sure]]
        p[sure[::8]] = np.roll(p[sure[::8]], 1, axis=1)
        tiny = np.arange(40, 60)
        p[tiny] = np.eye(classes)[k[tiny]] * 1e-18
        p[tiny, (k[tiny] + 1) % classes] = 1.0
    weight = np.ones(n)
    if case in ("weighted", "certain"):
        weight = rng.gamma(0.5, size=n)
        weight[::10] = 0.0
    label = np.asarray(k)
    if form.soft:
        label = rng.dirichlet(np.full(classes, 0.7), n)
        label[::4] = np.eye(classes)[k[::4]]
        if case == "certain":
            label[:60] = np.eye(classes)[k[:60]]
    if form.classes is None:
        p, z = p[:, 1], z[:, 1] - z[:, 0]
        label = label[:, 1] if form.soft else label
    return {"label": label, "prediction": p if form.kind == "probability" else z, "weight": weight}


def table_of(cases: dict[str, dict[str, Array]]) -> pa.Table:
    """All cases in one table, with the slice column `case`."""
    together = {
        name: np.concatenate([case[name] for case in cases.values()]) for name in ("label", "prediction", "weight")
    }
    names = np.repeat(list(cases), [len(case["weight"]) for case in cases.values()])
    return pa.table({"case": pa.array(names)} | {name: arrow(values) for name, values in together.items()})


def rows_of(form: Form, cases: dict[str, dict[str, Array]]) -> dict[str, Rows]:
    """The rows of each slice as the oracle takes them, all of them together first."""
    whole = {
        name: np.concatenate([case[name] for case in cases.values()]) for name in ("label", "prediction", "weight")
    }
    return {
        ("all" if name == "all" else f"case={name}"): rows(
            case["label"], case["prediction"], case["weight"], kind=form.kind, soft=form.soft
        )
        for name, case in {"all": whole, **cases}.items()
    }
