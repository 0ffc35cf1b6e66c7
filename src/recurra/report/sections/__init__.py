"""The table of the report's sections: one row and one file a section, in the order of the page.

A section is a function of the run's `Record` that returns `Html`, or None when the run wrote nothing it could show.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from recurra.report.markup import Html
from recurra.report.record import Record

Section = Callable[[Record], Html | None]


@dataclass(frozen=True)
class SectionEntry:
    """A row: the section's place in the page, where its function is, and what is said when it has nothing to show.

    `tasks` names the tasks that the section is for; empty means all.
    """

    anchor: str
    title: str
    path: str
    reason: str
    tasks: tuple[str, ...] = ()

    def load(self) -> Section:
        module, _, function = self.path.partition(":")
        return getattr(import_module(module), function)


SECTIONS: tuple[SectionEntry, ...] = (
    SectionEntry("verdict", "Verdict", "recurra.report.sections.verdict:section", "the run holds no verdict."),
    SectionEntry(
        "data", "The data", "recurra.report.sections.data:section", "the run ended before the data were read."
    ),
    SectionEntry(
        "learning",
        "Learning",
        "recurra.report.sections.learning:section",
        "training ended before its first evaluation.",
    ),
    SectionEntry(
        "memory",
        "How far back it learns",
        "recurra.report.sections.gradient_flow:section",
        "the gradient through time was not measured in this run.",
    ),
    SectionEntry(
        "forecasts",
        "The forecasts",
        "recurra.report.sections.forecast:section",
        "the run ended before forecasts were made on held-out data.",
        tasks=("forecast",),
    ),
    SectionEntry(
        "intervals",
        "Do the intervals keep their promise?",
        "recurra.report.sections.coverage:section",
        "how often the intervals hold was not measured in this run.",
        tasks=("forecast",),
    ),
    SectionEntry(
        "classes",
        "The classes",
        "recurra.report.sections.classify:section",
        "the run ended before held-out sequences were classified.",
        tasks=("classify",),
    ),
    SectionEntry(
        "network",
        "Inside the network",
        "recurra.report.sections.network:section",
        "the hidden states were not recorded in this run.",
    ),
    SectionEntry(
        "use", "How to use it", "recurra.report.sections.usage:section", "the run's log does not hold its command."
    ),
)
