"""The table of instruments: one row an instrument. Importing this file imports no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class InstrumentEntry:
    """A row.

    Attributes:
        name: on the command line.
        path: of the function from a `Subject` to a `View`; of the automaton, which asks the whole network, None.
        summary: what it shows.
        reference: whose it is.
    """

    name: str
    path: str | None
    summary: str
    reference: str


_VIEWS = "recurra.analysis.views"

INSTRUMENTS: dict[str, InstrumentEntry] = {
    row.name: row
    for row in (
        InstrumentEntry("lyapunov", f"{_VIEWS}:lyapunov", "how fast close states part or meet", "Benettin et al. 1980"),
        InstrumentEntry("stability", f"{_VIEWS}:stability", "eigenvalues of the step, and weights' radii", "classical"),
        InstrumentEntry(
            "fixed-points", f"{_VIEWS}:fixed", "where the state stands still, or nearly", "Sussillo and Barak 2013"
        ),
        InstrumentEntry("phase-portrait", f"{_VIEWS}:portrait", "where states go, drawn in a plane", "classical"),
        InstrumentEntry("bifurcation", f"{_VIEWS}:gains", "settled states against a gain on the weights", "classical"),
        InstrumentEntry("memory", f"{_VIEWS}:memory", "how many last steps are enough", "Miller and Hardt 2019"),
        InstrumentEntry("gates", f"{_VIEWS}:gates", "how often gates are open or shut", "Karpathy et al. 2016"),
        InstrumentEntry("capacity", f"{_VIEWS}:capacity", "past input that linear readouts tell", "Jaeger 2002"),
        InstrumentEntry("gradient", f"{_VIEWS}:gradient", "how far back the gradient reaches", "Hochreiter 1991"),
        InstrumentEntry("states", f"{_VIEWS}:states", "paths of the hidden outputs", "Pearson 1901"),
        InstrumentEntry("heads", f"{_VIEWS}:heads", "where heads wrote and read, time by slot", "Graves et al. 2014"),
        InstrumentEntry("automaton", None, "the automaton of a classifier of symbols", "Angluin 1987; Weiss 2018"),
    )
}
