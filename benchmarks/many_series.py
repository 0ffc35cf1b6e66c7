"""Ten thousand series of 500 steps: time and memory of `recurra train` and `recurra predict` with their defaults.

    python benchmarks/many_series.py [--series N] [--steps N] [--json FILE]

Each verb runs as a whole process; memory is the largest resident size that the operating system saw of it. The series
are made: a weekly season, noise, and levels that differ a hundredfold. There is no peer to compare with in this script.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl


def make(series: int, steps: int) -> pl.DataFrame:
    """The table, one row a day and series."""
    rng = np.random.default_rng(0)
    season = 10 + 5 * np.sin(2 * np.pi * np.arange(steps) / 7)
    units = (season + rng.normal(size=(series, steps))) * rng.lognormal(sigma=1.2, size=(series, 1))
    days = np.datetime64("2023-01-01") + np.arange(steps)
    return pl.DataFrame(
        {
            "store": np.repeat(np.arange(series), steps),
            "date": np.tile(days, series),
            "units": units.ravel(),
        }
    )


def run(*arguments: object) -> tuple[float, float]:
    """Seconds and peak GiB of one command."""
    started = time.monotonic()
    subprocess.run([sys.executable, "-m", "recurra", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - started
    # The system keeps the largest of all children so far, so a later, smaller one shows the same figure.
    return seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--series", type=int, default=10_000, metavar="N")
    options.add_argument("--steps", type=int, default=500, metavar="N")
    options.add_argument("--json", type=Path, metavar="FILE")
    given = options.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        table, model = Path(folder) / "sales.parquet", Path(folder) / "run"
        make(given.series, given.steps).write_parquet(table)
        columns = ("--target", "units", "--time", "date", "--series", "store", "--horizon", 14)
        for case, arguments in (
            ("train", ("train", table, *columns, "--out", model, "--quiet")),
            ("predict", ("predict", model, table, "-o", Path(folder) / "forecast.parquet")),
        ):
            seconds, gigabytes = run(*arguments)
            print(f"{case:8s} {given.series:,} series of {given.steps} steps  {seconds:6.1f} s  {gigabytes:.2f} GiB")
            shape = [given.series, given.steps]
            rows.append({"case": case, "shape": shape, "ours_ms": 1000 * seconds, "peer": None, "peer_ms": None,
                         "ratio": None, "peak_gib": gigabytes})  # fmt: skip
    if given.json:
        given.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
