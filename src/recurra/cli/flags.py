"""The command-line options of a verb, made from the sections of `recurra.settings`."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from recurra.options import describe, field_types
from recurra.settings import SECTIONS

PANELS = {"data": "Data", "model": "Model", "train": "Training"}

Out = Annotated[
    str | None,
    typer.Option(
        "--out", metavar="FOLDER", help="run folder to make (default runs/DATE-TASK-NAME)", rich_help_panel="Output"
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="any other option, as train.clip=0.5; may be repeated (docs/options.md lists all)",
        rich_help_panel="Training",
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="options from a TOML file; a run.toml will do", rich_help_panel="Training"
    ),
]
Rule = Annotated[
    str | None,
    typer.Option(
        "--rule",
        metavar="NAME",
        help="gradient rule or search: rtrl, snap1, tbptt(50), ga, cosyne, cmaes ... (default bptt)",
        rich_help_panel="Training",
        show_default=False,
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="print one JSON object; messages go to standard error", rich_help_panel="Output")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="print the one line that matters", rich_help_panel="Output")]
Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="a run folder, or the model folder in it", show_default=False)
]
Data = Annotated[str, typer.Argument(metavar="DATA", help="a CSV, Parquet or NDJSON file", show_default=False)]


@dataclasses.dataclass(frozen=True)
class Flag:
    """One generated option."""

    name: str
    panel: str
    help: str
    metavar: str

    @property
    def spelled(self) -> str:
        return "--" + self.name.replace("_", "-")


def generated(sections: tuple[str, ...]) -> list[Flag]:
    """The options of these sections, those of all tasks merged, in the order in which they are declared."""
    found: dict[str, Flag] = {}
    for key in sections:
        for task, parts in SECTIONS.items():
            kinds = field_types(parts[key])
            for field in dataclasses.fields(parts[key]):
                if not field.metadata["flag"] or field.name in found:
                    continue
                tasks = [name for name, other in SECTIONS.items() if field.name in _names(other[key])]
                only = "" if len(tasks) == len(SECTIONS) else f" ({task})"
                default = "" if field.default in (None, ()) else f" (default {field.default})"
                found[field.name] = Flag(
                    field.name, PANELS[key], field.metadata["help"] + only + default, _metavar(field, kinds[field.name])
                )
    return list(found.values())


def with_flags(*sections: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a verb the options of these sections; it receives those that were given as `flags`, name to text."""
    flags = generated(sections)

    def decorate(verb: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(verb)
        def run(**arguments: Any) -> Any:
            given = {flag.name: arguments.pop(flag.name) for flag in flags}
            return verb(flags={name: text for name, text in given.items() if text is not None}, **arguments)

        hints = typing.get_type_hints(verb, include_extras=True)
        own = {
            name: parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
            for name, parameter in inspect.signature(verb).parameters.items()
            if name != "flags"
        }
        made = {flag.name: _parameter(flag) for flag in flags}
        arguments = {name: p for name, p in own.items() if _is_argument(p)}
        parameters = arguments | made | {name: p for name, p in own.items() if name not in arguments}
        run.__signature__ = inspect.Signature(list(parameters.values()))  # type: ignore[attr-defined]
        run.__annotations__ = {name: p.annotation for name, p in parameters.items()}
        return run

    return decorate


def _parameter(flag: Flag) -> inspect.Parameter:
    # Every value arrives as text: recurra.options reads it, so that all ways to give an option share their messages.
    option = typer.Option(
        flag.spelled, metavar=flag.metavar, help=flag.help, rich_help_panel=flag.panel, show_default=False
    )
    annotation = Annotated[str | None, option]
    return inspect.Parameter(flag.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _is_argument(parameter: inspect.Parameter) -> bool:
    return any(type(part).__name__ == "ArgumentInfo" for part in getattr(parameter.annotation, "__metadata__", ()))


def _names(section: type) -> set[str]:
    return {field.name for field in dataclasses.fields(section)}


def _metavar(field: dataclasses.Field[Any], kind: Any) -> str:
    kinds = [k for k in (typing.get_args(kind) or (kind,)) if k is not type(None)]
    if field.metadata["choices"]:
        return "|".join(field.metadata["choices"])
    if typing.get_origin(kind) is tuple or any(typing.get_origin(k) is tuple for k in kinds):
        return "NAME,..."
    if field.name.endswith("time_limit"):
        return "TIME"
    return "N" if int in kinds or float in kinds else "NAME"


def allowed(field: dataclasses.Field[Any], kind: Any) -> str:
    """The allowed values of a field in plain words, for the page of options."""
    kinds = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    return describe(tuple(kinds), field.metadata)
