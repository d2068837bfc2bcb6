"""What a job found and did, as one value. Text for a person and JSON for a program are renderings of it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from logloss_spark.io.secrets import redacted_in
from logloss_spark.report.frames import plain
from logloss_spark.report.text import View, as_text


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a job found and did.

    The JSON document has the keys that are named here, but for `shown` and `notes`: it has their sentences under
    `title`, a string or null, and `remarks`, a list of strings. Its numbers are those of the tables, in full; infinite
    ones are the strings "Infinity" and "-Infinity", and NaN is null.

    Parameters
    ----------
    command : str
    inputs : sequence of str
        What was read: paths, or tables of the catalog.
    counts : mapping from str to int
        How much was read and used: "read" and "scored" (`evaluate`), "read" and "compared" (`compare`; with
        rows = "shared" "compared" counts pairs of a row and a challenger), "read", "fitted" and "held_out" rows
        (`fit`), "states" and "missing" (`metrics` and `merge`). Empty where nothing is counted.
    invalid : mapping from str to int
        Rows that could not be used, by reason.
    slices : sequence of records
        The first slices of each grouping set, with all their metrics, as the table that is written has them.
    details : mapping
        What else a command found: the "sources" of ranking and of CORP (`evaluate`), the "model" as it is stored
        (`fit`), the "columns" that were added (`score`).
    verdicts : sequence of records
        Always empty: no command judges yet.
    written : mapping from the name of a table to its path
    shown : View or str
        What a person sees first.
    notes : sequence of str
        What was read, in sentences.
    """

    command: str
    inputs: tuple[str, ...]
    counts: Mapping[str, int] = field(default_factory=dict)
    invalid: Mapping[str, int] = field(default_factory=dict)
    slices: tuple[Mapping[Any, Any], ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    verdicts: tuple[Mapping[str, Any], ...] = ()
    written: Mapping[str, str] = field(default_factory=dict)
    shown: View | str | None = None
    notes: tuple[str, ...] = ()

    def to_text(self) -> str:
        """Return the outcome as a person reads it."""
        shown = as_text(self.shown) if isinstance(self.shown, View) else self.shown
        lines = [f"wrote {name} to {path}" for name, path in self.written.items()]
        return "\n".join([*([] if shown is None else [shown]), *self.notes, *lines])

    def to_json(self, secrets: Sequence[str] = ()) -> str:
        """Return the outcome as one JSON document on one line, with `***` in the place of each secret."""
        view = self.shown if isinstance(self.shown, View) else None
        document = {
            "command": self.command,
            "title": view.title if view else None,
            "inputs": list(self.inputs),
            "counts": self.counts,
            "invalid": self.invalid,
            "slices": list(self.slices),
            "details": self.details,
            "verdicts": list(self.verdicts),
            "remarks": [*(view.remarks if view else ()), *self.notes],
            "written": self.written,
        }
        return json.dumps(redacted_in(plain(document), secrets), default=str)
