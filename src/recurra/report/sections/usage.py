"""How to use the run: the command that made it, the commands that come next, its settings and surroundings."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from recurra.report.markup import Html, command, details, h, join, paragraph, short, table
from recurra.report.record import Record
from recurra.report.words import number

SETTINGS_SHOWN = 40_000


def section(record: Record) -> Html | None:
    """Commands to copy, the settings and the environment."""
    runs = record.every("run")  # the first one made the run; later ones resumed it
    if not runs and not record.settings_text and not record.environment:
        return None
    parts: list[Html | None] = []
    made = _command(runs[0].get("command")) if runs else ""
    if made:
        parts += [h("h3", "The command that made this run"), command(made)]
    parts += [*_next(record), _settings(record), _model(record), _environment(record)]
    return join(parts)


def _command(given: Any) -> str:
    """The command as it was typed; a list of arguments is quoted for a shell."""
    if isinstance(given, Sequence) and not isinstance(given, str):
        return shlex.join(str(part) for part in given)
    return str(given) if given else ""


def _next(record: Record) -> list[Html | None]:
    folder = shlex.quote(record.name)
    if record.last("verdict") is None:
        return [
            h("h3", "Go on with it"),
            paragraph("The same command with --resume takes the run up where its last saved state left it:"),
            command(f"recurra train ... --resume {folder}"),
        ]
    judged = "recurra backtest" if record.task == "forecast" else "recurra evaluate"
    what = (
        "Judge it on further data, at several points in time:"
        if record.task == "forecast"
        else "Judge it on further data:"
    )
    return [
        h("h3", "Use the model on new data"),
        command(f"recurra predict {folder} new_data.csv -o predictions.csv"),
        paragraph(what),
        command(f"{judged} {folder} new_data.csv"),
        paragraph(
            "The folder ",
            h("code", "model/"),
            " inside the run is all that is needed to use the model; copy it to where it shall work.",
        ),
    ]


def _settings(record: Record) -> Html | None:
    if not record.settings_text.strip():
        return None
    text = short(record.settings_text.strip(), SETTINGS_SHOWN)
    told = paragraph("This is run.toml: given back with --config, it repeats the run.")
    return details("All settings", told, h("pre", h("code", text), tabindex="0"))


def _model(record: Record) -> Html | None:
    model = record.last("model")
    if not model:
        return None
    rows = [[str(key).replace("_", " "), _plain(value)] for key, value in model.items() if key not in ("event", "at")]
    return (
        details("The network in detail", table("What was built.", ["fact", "value"], rows, hide_caption=True))
        if rows
        else None
    )


def _environment(record: Record) -> Html | None:
    rows = []
    for key, value in record.environment.items():
        if isinstance(value, Mapping):
            rows += [[f"{key} · {inner}", _plain(part)] for inner, part in value.items()]
        else:
            rows.append([str(key).replace("_", " "), _plain(value)])
    if not rows:
        return None
    return details("Environment", table("Where the run was made.", ["fact", "value"], rows[:120], hide_caption=True))


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return short("; ".join(f"{key}: {_plain(part)}" for key, part in value.items()), 600)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return short(", ".join(_plain(part) for part in value), 600)
    return short(value if isinstance(value, str) else number(value), 2000)
