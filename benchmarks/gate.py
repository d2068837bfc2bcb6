"""How long a gate of 20 rules over 5,000 slices takes on stored states, once the session is up.

python benchmarks/gate.py [--slices 5000] [--clusters]
"""

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import logloss_spark as ls
from logloss_spark.app.cli import main
from logloss_spark.io.session import session

ROWS = 100
"""Rows of a slice."""

RULES = 20


def write_states(folder: Path, slices: int, *, clustered: bool) -> None:
    """Store the states of two periods of the same users."""
    n = slices * ROWS
    for seed, name in enumerate(("then", "now")):
        rng = np.random.default_rng(seed)
        p = rng.random(n)
        columns = {
            "label": (rng.random(n) < p).astype(np.int32),
            "p": p,
            "segment": np.repeat(np.arange(slices), ROWS),
            "user": rng.integers(0, 10_000, n),
        }
        (folder / "tables" / name).mkdir(parents=True)
        pq.write_table(pa.table(columns), folder / "tables" / name / "part.parquet")
        cluster = "user" if clustered else None
        with ls.evaluate(f"{folder}/tables/{name}", "label", "p", cluster=cluster, by="segment") as evaluation:
            evaluation.state.save(f"{folder}/{name}")


def write_config(folder: Path) -> Path:
    """Write a gate: half of its rules have a bound, and half compare with the period before."""
    rule = '[[gate.rule]]\nname = "{}"\nmetric = "{}"\nslices = ["all", "segment=*"]\n{}\n'
    metrics = ("log_loss", "brier", "normalized_entropy", "calibration_ratio", "information_gain")
    bounds = ["at_most = 1.1", "at_least = 0.0"]
    bounds += [f'against = {{ state = "{folder}/then" }}\n{key} = "5%"' for key in ("rise_at_most", "change_at_most")]
    rules = [rule.format(f"{metric} {n}", metric, bound) for n, bound in enumerate(bounds) for metric in metrics]
    assert len(rules) == RULES
    config = folder / "gate.toml"
    config.write_text(f'[gate]\nmin_rows = 100\nresult = "{folder}/gate.json"\n' + "".join(rules))
    return config


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--slices", type=int, default=5_000)
    arguments.add_argument("--clusters", action="store_true")
    given = arguments.parse_args()
    session("benchmark of a gate")
    with TemporaryDirectory() as temporary:
        write_states(Path(temporary), given.slices, clustered=given.clusters)
        command = ["gate", "--config", str(write_config(Path(temporary))), f"{temporary}/now"]
        for look in ("first", "second"):
            start = time.perf_counter()
            main(command)
            print(
                f"{look} look: {time.perf_counter() - start:.2f} s for {RULES} rules over {given.slices:,} slices",
                flush=True,
            )
