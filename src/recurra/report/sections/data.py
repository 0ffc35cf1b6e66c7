"""The data: what was read, how it was split, and whether something leaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from recurra.report.draw import COLOURS, SERIES, figure, grid, legend, plain_numbers, svg, title_axes, whole_numbers
from recurra.report.markup import Html, bar, bullets, details, facts, h, join, name, paragraph, short, table
from recurra.report.record import Event, Record
from recurra.report.words import NOTHING, count, finite, floats, number, percent

COLUMNS_SHOWN, COLUMNS_LISTED, CLASSES_SHOWN = 12, 200, 40


def section(record: Record) -> Html | None:
    """The data card as a page: facts, split, leakage checks, lengths, columns, classes and notes."""
    data = record.last("data")
    if data is None:
        return None
    notes = [*(data.get("notes") or ()), *(note.get("text", "") for note in record.every("note"))]
    notes = list(dict.fromkeys(str(note) for note in notes if note))
    return join(
        [
            _facts(data, record.task),
            grid(_split(data), _lengths(data, record.task)),
            grid(_columns(data), _classes(data), _leakage(data)),
            join([h("h3", "Said along the way"), bullets([short(note, 600) for note in notes])]) if notes else None,
        ]
    )


def _word(task: str | None) -> tuple[str, str]:
    return ("series", "series") if task == "forecast" else ("sequence", "sequences")


def _facts(data: Event, task: str | None) -> Html:
    one, many = _word(task)
    pairs: list[tuple[object, object]] = [("rows", number(data.get("rows"))), (many, number(data.get("sequences")))]
    lengths = _spread(data.get("lengths"))
    if lengths is not None:
        low, high = number(lengths.smallest), number(lengths.largest)
        pairs.append((f"steps a {one}", low if low == high else f"{low} to {high}"))
        if low != high and finite(lengths.median):
            pairs.append(("median length", number(lengths.median)))
    spread = data.get("time_range")
    if isinstance(spread, Sequence) and not isinstance(spread, str) and len(spread) == 2 and any(spread):
        pairs += [("from", _moment(spread[0])), ("to", _moment(spread[1]))]
    if data.get("frequency"):
        pairs.append(("frequency", data["frequency"]))
    if data.get("irregular"):
        pairs.append(("times", "not regular"))
    elif finite(data.get("gaps")):
        pairs.append(("missing times (gaps)", number(data["gaps"]) if data["gaps"] else "none"))
    return facts(pairs)


def _moment(value: Any) -> str:
    text = str(value) if value is not None else NOTHING
    for tail in (".000000", "T00:00:00", " 00:00:00", ":00"):
        if text.endswith(tail) and (tail != ":00" or text.count(":") == 2):
            text = text.removesuffix(tail)
    return text.replace("T", " ")


class _Lengths(NamedTuple):
    smallest: float
    median: Any
    largest: float
    edges: list[float]
    counts: list[float]


def _spread(lengths: Any) -> _Lengths | None:
    """The lengths' range and histogram, from the data card's histogram or from the lengths themselves."""
    if isinstance(lengths, Mapping):
        low, high = lengths.get("smallest"), lengths.get("largest")
        if not finite(low) or not finite(high):
            return None
        return _Lengths(low, lengths.get("median"), high, floats(lengths.get("edges")), floats(lengths.get("counts")))
    known = sorted(value for value in floats(lengths) if finite(value))
    if not known:
        return None
    import numpy as np

    bins = int(min(20, known[-1] - known[0] + 1))
    counts, edges = np.histogram(known, bins=bins, range=(known[0], known[-1] + 1))
    return _Lengths(known[0], float(np.median(known)), known[-1], edges.tolist(), counts.tolist())


def _split(data: Event) -> Html | None:
    split = data.get("split")
    if not isinstance(split, Mapping) or not split:
        return None
    parts = [(key, part) for key, part in split.items() if isinstance(part, Mapping)]
    sizes = {key: part.get("rows") or part.get("sequences") or 0 for key, part in parts}
    total = sum(size for size in sizes.values() if finite(size))
    rows, strips, keys = [], [], []
    words = {"train": "training", "valid": "validation", "test": "test"}
    for (key, part), colour in zip(parts, SERIES, strict=False):
        share = sizes[key] / total if total and finite(sizes[key]) else 0
        strips.append(h("span", "", style=f"background:var(--{colour});flex:{share:.4f} 0 0"))
        span = " to ".join(_moment(part[end]) for end in ("from", "to") if part.get(end) is not None)
        which = "; ".join(text for text in (span, short(part.get("text") or "", 200)) if text)
        title = join([words.get(key, key), h("small", which) if which else None])
        rows.append([title, number(part.get("sequences")), number(part.get("rows")), percent(share)])
        keys.append((words.get(key, key), colour, "area solid-area"))
    shown = table(
        "Training learns from the first part, validation decides when to stop, the verdict rests on the test part.",
        ["part", "sequences", "rows", "share"],
        rows,
        numbers=(1, 2, 3),
    )
    strip = h("div", strips, class_="split", aria_hidden="true")
    return h("div", h("h3", "How the data were split"), strip, legend(*keys), shown)


def _leakage(data: Event) -> Html | None:
    checks = [c for c in data.get("leakage") or () if isinstance(c, Mapping)]
    if not checks:
        return None
    failed = sum(1 for c in checks if not c.get("passed"))
    rows = [
        [
            str(c.get("check", "")).replace("_", " "),
            h("span", "✓ passed", class_="pass") if c.get("passed") else h("span", "✗ failed", class_="fail"),
            short(c.get("detail") or "", 400),
        ]
        for c in sorted(checks, key=lambda c: bool(c.get("passed")))[:40]
    ]
    told = (
        f"{count(failed, 'check')} failed: the score above may be better than the model deserves."
        if failed
        else "All checks for information that leaks from the answer into the input passed."
    )
    return h("div", h("h3", "Leakage checks"), table(told, ["check", "result", "detail"], rows))


def _columns(data: Event) -> Html | None:
    columns = [c for c in data.get("columns") or () if isinstance(c, Mapping)]
    if not columns:
        return None
    rows = [_column(c) for c in columns[:COLUMNS_LISTED]]
    heads, caption = ["column", "role", "missing"], "The columns, their roles and the share of missing values."
    if len(rows) <= COLUMNS_SHOWN:
        return h("div", h("h3", "Columns"), table(caption, heads, rows, numbers=(2,)))
    left = len(columns) - len(rows)
    return h(
        "div",
        h("h3", "Columns"),
        table(caption, heads, rows[:COLUMNS_SHOWN], numbers=(2,)),
        details(
            f"{len(columns) - COLUMNS_SHOWN:,} more columns",
            table("The other columns.", heads, rows[COLUMNS_SHOWN:], numbers=(2,), hide_caption=True),
            paragraph(f"and {left:,} more that are not listed") if left else None,
        ),
    )


def _column(column: Mapping[str, Any]) -> list[object]:
    share = column.get("missing_fraction")
    if column.get("missing") == 0 or share == 0:
        missing: object = "none"
    else:
        fill = bar(share, "second") if finite(share) else None
        missing = h("span", fill, h("span", percent(share, 1)), class_="with-bar")
    kind = h("small", column["kind"]) if column.get("kind") else None
    return [name(column.get("name", "")), join([column.get("role") or NOTHING, kind]), missing]


def _lengths(data: Event, task: str | None) -> Html | None:
    lengths = _spread(data.get("lengths"))
    if lengths is None or lengths.smallest == lengths.largest or sum(lengths.counts) < 5:
        return None
    edges, counts = lengths.edges, lengths.counts
    if len(edges) != len(counts) + 1:
        return None
    one, many = _word(task)

    def draw(axes: Any) -> None:
        widths = [0.94 * (after - before) for before, after in zip(edges, edges[1:], strict=False)]
        axes.bar(edges[:-1], counts, widths, align="edge", color=COLOURS["model"], linewidth=0)
        title_axes(axes, f"number of {many}", "steps")
        plain_numbers(axes.xaxis)
        whole_numbers(axes.yaxis, 5)

    low, high, middle = (number(value) for value in (lengths.smallest, lengths.largest, lengths.median))
    label = f"Histogram of the lengths of {count(sum(counts), one, many)}, from {low} to {high} steps, median {middle}"
    return figure(f"How long the {many} are", svg("lengths", label, draw, height=200))


def _classes(data: Event) -> Html | None:
    classes = data.get("classes")
    if isinstance(classes, Sequence) and not isinstance(classes, str):
        classes = {str(c.get("name", c.get("class"))): c.get("count") for c in classes if isinstance(c, Mapping)}
    if not isinstance(classes, Mapping) or not classes:
        return None
    known = {key: value for key, value in classes.items() if finite(value)}
    if not known:
        return None
    total, most = sum(known.values()), max(known.values())
    ordered = sorted(known.items(), key=lambda item: -item[1])
    rows = [
        [
            name(key, 40),
            h("span", bar(value / most if most else 0), h("span", number(value)), class_="with-bar"),
            percent(value / total if total else None),
        ]
        for key, value in ordered[:CLASSES_SHOWN]
    ]
    told = f"{count(len(known), 'class', 'classes')}, most frequent first" + (
        f"; the {CLASSES_SHOWN} largest are shown" if len(known) > CLASSES_SHOWN else ""
    )
    return h("div", h("h3", "The classes"), table(told, ["class", "sequences", "share"], rows, numbers=(1, 2)))
