"""What a job found and did, as one value, which is rendered as text for a person and as JSON for a program."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from logloss_spark.errors import GateError
from logloss_spark.gates.estimates import Measurement
from logloss_spark.io.secrets import redacted_in
from logloss_spark.report.frames import plain
from logloss_spark.report.text import View, as_text


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a job found and did.

    The JSON document has a key for each of these but `view`, `worst`, `text`, `gate`, `failure`, `notes`, `measured`
    and `source`. Of views and notes it has the sentences: `title`, a string or null, and `remarks`, a list of strings.
    Its numbers are those of the tables, in full; infinite ones are the strings "Infinity" and "-Infinity", and NaN is
    null.

    Parameters
    ----------
    command : str
    inputs : sequence of str
        What was read: paths, or tables of the catalog.
    counts : mapping from str to int
        Rows that were "read", and those that were "scored" (`evaluate`, `metrics`), "compared" (`compare`; with
        rows = "shared" these are pairs of a row and a challenger), or "fitted" and "held_out" (`fit`). The "states"
        that were read, and those that are "missing" (`metrics`, `merge`). Empty where nothing is counted.
    invalid : mapping from str to int
        Rows that could not be used, by reason.
    slices : sequence of records
        The first slices of each grouping set, with all their metrics, as the table that is written has them. With
        --windows those of the windows that end on the last day.
    details : mapping
        What else a command found: the "engine" that read and summed the rows, its `name` and `because`, why it was
        this one (`evaluate`, `compare`); the "sources" of ranking and of CORP, and the "worst_slices" of a search
        (`evaluate`), and with a store the units that were "due" and the "last_day" of them; the "report" of a fit and
        its first "coefficients" (`fit`); the "columns" that were added (`score`).
    verdicts : sequence of records
        The rules of a gate, the worst first, as its JSON document has them (`gate`, and commands with a `[gate]`).
    written : mapping from the name of a table to its path
    view : View, optional
        What a person sees first.
    worst : View, optional
        What a person sees of slices that are worse than all other rows.
    text : str, optional
        The view as text, where it has a layout of its own.
    gate : View, optional
        What a person sees of a gate.
    failure : GateError, optional
        What ends the command, once all is printed.
    notes : sequence of str
        What was read, in sentences.
    measured : Measurement, optional
        All metrics that were found, of more slices than are shown, where a dashboard wants them.
    source : str, optional
        The fingerprint of the files that were read, where their list is known.
    """

    command: str
    inputs: tuple[str, ...]
    counts: Mapping[str, int] = field(default_factory=dict)
    invalid: Mapping[str, int] = field(default_factory=dict)
    slices: tuple[Mapping[Any, Any], ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    verdicts: tuple[Mapping[str, Any], ...] = ()
    written: Mapping[str, str] = field(default_factory=dict)
    view: View | None = None
    worst: View | None = None
    text: str | None = None
    gate: View | None = None
    failure: GateError | None = None
    notes: tuple[str, ...] = ()
    measured: Measurement | None = None
    source: str | None = None

    def to_text(self) -> str:
        """Return the outcome as a person reads it."""
        text = as_text(self.view) if self.view and self.text is None else self.text
        lines = [f"wrote {name} to {path}" for name, path in self.written.items()]
        gate = [as_text(self.gate)] if self.gate else []
        if text is None:
            return "\n".join([*gate, *self.notes, *lines])
        worst = [as_text(self.worst)] if self.worst else []
        return "\n".join([text, *worst, *self.notes, *lines, *gate])

    def to_json(self, secrets: Sequence[str] = ()) -> str:
        """Return the outcome as one JSON document on one line, with `***` in the place of each secret."""
        shown = self.view or self.gate
        document = {
            "command": self.command,
            "title": shown.title if shown else None,
            "inputs": list(self.inputs),
            "counts": self.counts,
            "invalid": self.invalid,
            "slices": list(self.slices),
            "details": self.details,
            "verdicts": list(self.verdicts),
            "remarks": [
                *(line for view in (self.view, self.worst, self.gate) if view for line in view.lines),
                *self.notes,
            ],
            "written": self.written,
        }
        return json.dumps(redacted_in(plain(document), secrets), default=str)
