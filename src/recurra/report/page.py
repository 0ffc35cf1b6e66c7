"""The page: its head, its sections in order, its foot."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources

from recurra.report.markup import Html, h, join, short
from recurra.report.record import Record
from recurra.report.sections import SECTIONS, SectionEntry

# Nothing can be loaded or run by the page, whatever a name in the data might try.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def page(record: Record) -> str:
    """The whole report as HTML text."""
    parts = []
    for entry in SECTIONS:
        body = _body(entry, record)
        if body is not None:
            parts.append((entry, body))
    links = [h("li", h("a", entry.title, href=f"#{entry.anchor}")) for entry, _ in parts[1:]]
    menu = h("nav", h("ul", links), aria_label="Sections")
    sections = [_section(entry, body, menu if i == 0 else None) for i, (entry, body) in enumerate(parts)]
    style = resources.files("recurra.report").joinpath("page.css").read_text(encoding="utf-8")
    head = h(
        "head",
        h("meta", charset="utf-8"),
        h("meta", name="viewport", content="width=device-width, initial-scale=1"),
        h("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        h("meta", name="color-scheme", content="light dark"),
        h("title", _title(record)),
        h("style", Html(style)),
    )
    body = h("body", _header(record), h("main", sections), _footer(record))
    return f"<!doctype html>\n{h('html', head, body, lang='en')}\n"


def _body(entry: SectionEntry, record: Record) -> Html | None:
    """A section's inside; its one-line reason where it has nothing to show; None where it is not of this task."""
    if entry.tasks and record.task is not None and record.task not in entry.tasks:
        return None
    try:
        body = entry.load()(record)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        # Facts of another version, or damaged ones: the rest of the page is worth having.
        fault = f"{type(error).__name__}: {short(error, 120)}"
        return h(
            "p", f"Left out: what the run wrote down for this part is not understood ({fault}).", class_="left-out"
        )
    if body is None and entry.tasks and record.task is None:
        return None
    return body if body is not None else h("p", f"Left out: {entry.reason}", class_="left-out")


def _section(entry: SectionEntry, body: Html, menu: Html | None) -> Html:
    if menu is not None:  # the verdict, which comes before everything, the menu too, and whose headline is the page's
        return h("section", body, menu, id=entry.anchor, aria_label=entry.title)
    heading = h("h2", entry.title, id=f"{entry.anchor}-title")
    return h("section", heading, body, id=entry.anchor, aria_labelledby=f"{entry.anchor}-title")


def _title(record: Record) -> str:
    verdict = record.last("verdict") or {}
    headline = short(verdict.get("headline") or "Report of a training run", 120)
    return f"{headline} · Recurra"


def _header(record: Record) -> Html:
    model = record.last("model") or {}
    what = {"forecast": "Forecast", "classify": "Sequence classification"}.get(
        str(record.task), str(record.task or "Run")
    )
    cell = str(model.get("cell", "")).upper()
    folder = record.name.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    parts = [what, f"{cell} network" if cell else "", f"run {short(folder)}"]
    return h("header", h("p", " · ".join(part for part in parts if part), class_="run"))


def _footer(record: Record) -> Html:
    packages = record.environment.get("packages")
    known = packages.get("recurra") if isinstance(packages, Mapping) else None
    found = (record.last("run") or {}).get("recurra") or known
    version = f" {found}" if found else ""
    text = f"Written by Recurra{version} from the run folder alone. This page needs no network and runs no script."
    return h("footer", join([h("p", text)]))
