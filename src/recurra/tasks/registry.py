"""The table of tasks: one row a task. Importing this file imports no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TaskEntry:
    """A row: where the task and its estimator are, and which options give it away on the command line."""

    name: str
    path: str
    estimator: str
    summary: str
    signs: tuple[str, ...]


TASKS: dict[str, TaskEntry] = {
    row.name: row
    for row in (
        TaskEntry(
            "forecast",
            "recurra.tasks.forecast.task:ForecastTask",
            "Forecaster",
            "forecast one or many series, with quantiles",
            ("target", "horizon", "series", "known"),
        ),
        TaskEntry(
            "classify",
            "recurra.tasks.classify.task:ClassifyTask",
            "SequenceClassifier",
            "assign whole sequences to classes, with probabilities",
            ("label", "sequence"),
        ),
    )
}
