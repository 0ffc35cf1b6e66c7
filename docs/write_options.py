"""Write docs/options.md from the sections of `recurra.settings`: `python docs/write_options.py`.

A test compares the page with what this script would write.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from recurra.cli.flags import allowed
from recurra.options import field_types
from recurra.settings import SECTIONS

PAGE = Path(__file__).parent / "options.md"

HEAD = """# All options

Each option is an argument of the estimator in Python (`recurra.Forecaster(clip=0.5)`), a name for `--set` on the
command line (`--set train.clip=0.5`, or `--set clip=0.5`), and a line of a TOML file for `--config` (`clip = 0.5` under
`[train]`). Those marked with their flag are options of `recurra train` too.

Of the ways to give an option the later wins: its default, `--config`, the flag, `--set`. Where no default stands, the
option names a part of your data (nothing is assumed), or its value is chosen from the data (and `auto` may be given).

This page is written by `python docs/write_options.py`.
"""

TITLES = {"forecast": "Forecasting: `recurra.Forecaster`", "classify": "Classification: `recurra.SequenceClassifier`"}

WRITTEN_OUT = ("rule",)
"""Options whose flag `recurra train` declares itself, and which therefore are not marked in `recurra.settings`."""


def page() -> str:
    """The text of docs/options.md."""
    lines = [HEAD]
    for task, sections in SECTIONS.items():
        lines += [f"## {TITLES[task]}", ""]
        for key, section in sections.items():
            lines += [f"### `{key}`", "", (section.__doc__ or "").strip(), ""]
            lines += ["| name | flag | default | allowed | what it is |", "| --- | --- | --- | --- | --- |"]
            kinds = field_types(section)
            lines += [_row(field, kinds[field.name]) for field in dataclasses.fields(section)]
            lines.append("")
    return "\n".join(lines)


def _row(field: dataclasses.Field[Any], kind: Any) -> str:
    flag = f"`--{field.name.replace('_', '-')}`" if field.metadata["flag"] or field.name in WRITTEN_OUT else ""
    default = "" if field.default in (None, ()) else f"`{_text(field.default)}`"
    cells = [f"`{field.name}`", flag, default, allowed(field, kind), field.metadata["help"]]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(_text, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
