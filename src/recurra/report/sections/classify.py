"""The classes: what is taken for what, whether probabilities are honest, and confident mistakes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from recurra.report.draw import COLOURS, figure, grid, legend, percents, svg, title_axes
from recurra.report.markup import Html, bar, details, h, join, name, paragraph, table
from recurra.report.record import Event, Record
from recurra.report.words import NOTHING, count, finite, floats, number, percent

MATRIX_CLASSES, SIDE_BY_SIDE, CONFUSIONS, MISTAKES, ENOUGH = 40, 12, 25, 12, 10


def section(record: Record) -> Html | None:
    """Confusion matrix, reliability, accuracy by length, and the mistakes made with most confidence."""
    reliability, by_length = record.last("reliability"), record.last("by_length")
    parts = [
        _confusion(record.last("confusion")),
        grid(_reliability(reliability), _by_length(by_length)),
        _mistakes(record.last("mistakes")),
    ]
    return join(parts) if any(part is not None for part in parts) else None


def _confusion(event: Event | None) -> Html | None:
    if not event:
        return None
    classes = [str(c) for c in event.get("classes") or ()]
    matrix = [floats(row) for row in event.get("matrix") or ()]
    if not classes or len(matrix) != len(classes) or any(len(row) != len(classes) for row in matrix):
        return None
    total = sum(map(sum, matrix))
    right = sum(matrix[i][i] for i in range(len(classes)))
    told = f"{number(right)} of {count(total, 'held-out sequence')} were given the right class."
    top = _top_confusions(classes, matrix)
    if len(classes) > MATRIX_CLASSES:
        shown = top or paragraph("No sequence was given a wrong class.")
    elif len(classes) > 6 and top is not None:
        shown = h("div", _matrix(classes, matrix), details("The most frequent confusions", top))
    else:
        shown = _matrix(classes, matrix)
    by_class = _per_class(classes, matrix)
    beside = len(classes) <= SIDE_BY_SIDE
    both = grid(h("div", shown), h("div", by_class)) if beside else join([shown, details("Class by class", by_class)])
    return join([h("h3", "What is taken for what"), paragraph(told), both])


def _matrix(classes: Sequence[str], matrix: Sequence[Sequence[float]]) -> Html:
    """The matrix as a real table: it can be read aloud, copied and zoomed."""
    turned = len(classes) > 6 or any(len(c) > 9 for c in classes)
    head = h(
        "tr",
        h("th", "true ↓  given →", scope="col"),
        [h("th", name(c, 18), scope="col") for c in classes],
    )
    rows = []
    for i, row in enumerate(matrix):
        total = sum(row)
        cells = []
        for j, value in enumerate(row):
            share = value / total if total else 0.0
            colour = "--model-rgb" if i == j else "--second-rgb"
            # At most 60 % strong, so that the number stays legible on it in both schemes.
            tint = f"background:rgb(var({colour})/{0.6 * share**0.7:.2f})" if value else None
            cells.append(
                h(
                    "td",
                    number(value) if value else h("span", "·", class_="quiet"),
                    style=tint,
                    class_="right" if i == j else None,
                )
            )
        rows.append(h("tr", h("th", name(classes[i], 24), scope="row"), cells))
    caption = (
        "Confusion matrix. A row is a true class, a column the class that the model gave; "
        "the framed diagonal is right, all else is a mistake. Colour shows the share within the true class."
    )
    kind = "matrix" + (" turned" if turned else "") + (" many" if len(classes) > 20 else "")
    whole = h("table", h("caption", caption), h("thead", head), h("tbody", rows), class_=kind)
    return h("div", whole, class_="scroll", tabindex="0", role="region", aria_label="Confusion matrix")


def _top_confusions(classes: Sequence[str], matrix: Sequence[Sequence[float]]) -> Html | None:
    found = [
        (matrix[i][j], i, j) for i in range(len(classes)) for j in range(len(classes)) if i != j and matrix[i][j] > 0
    ]
    if not found:
        return None
    found.sort(key=lambda one: (-one[0], one[1], one[2]))
    rows = [
        [name(classes[i], 40), name(classes[j], 40), number(value), percent(value / sum(matrix[i]))]
        for value, i, j in found[:CONFUSIONS]
    ]
    caption = f"The {len(rows)} most frequent confusions of {count(len(found), 'kind')} that occurred."
    return table(caption, ["true class", "taken for", "times", "of that class"], rows, numbers=(2, 3))


def _per_class(classes: Sequence[str], matrix: Sequence[Sequence[float]]) -> Html:
    rows = []
    for i, label in enumerate(classes):
        there, given = sum(matrix[i]), sum(row[i] for row in matrix)
        recall = matrix[i][i] / there if there else None
        precision = matrix[i][i] / given if given else None
        found = h("span", bar(recall), h("span", percent(recall)), class_="with-bar") if recall is not None else NOTHING
        rows.append(
            (recall if recall is not None else 2.0, [name(label, 40), number(there), found, percent(precision)])
        )
    rows.sort(key=lambda one: one[0])
    shown = rows[:60]
    caption = (
        "Each class, hardest first: how many of its sequences were found (recall), "
        "and how often the model was right when it named the class (precision)."
    )
    if len(rows) > len(shown):
        caption += f" The {len(shown)} hardest of {len(rows)} are listed."
    return table(
        caption, ["class", "sequences", "found", "right when named"], [cells for _, cells in shown], numbers=(1, 2, 3)
    )


def _items(event: Event | None) -> list[Mapping[str, Any]]:
    """The rows of an event that is one list, whatever the list is called."""
    rows = next((value for value in (event or {}).values() if isinstance(value, list)), [])
    return [row for row in rows if isinstance(row, Mapping)]


def _bins(value: Any) -> list[Mapping[str, Any]]:
    bins = value if isinstance(value, Sequence) and not isinstance(value, str) else ()
    return [b for b in bins if isinstance(b, Mapping) and finite(b.get("confidence")) and finite(b.get("accuracy"))]


def _reliability(event: Event | None) -> Html | None:
    if not event:
        return None
    bins = [b for b in _bins(event.get("bins")) if not finite(b.get("count")) or b["count"] > 0]
    if not bins:
        return None
    before = event.get("before")
    before_bins = [b for b in _bins(before) if not finite(b.get("count")) or b["count"] > 0]
    most = max((b["count"] for b in bins if finite(b.get("count"))), default=0)

    def draw(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], color=COLOURS["line"], linewidth=1)
        if before_bins:
            axes.plot(
                [b["confidence"] for b in before_bins],
                [b["accuracy"] for b in before_bins],
                color=COLOURS["second"],
                linestyle="--",
                linewidth=1.4,
            )
        # A line through bins of a few sequences would zigzag between 0 and 1 by chance; their dots stand alone.
        sure = [b for b in bins if not finite(b.get("count")) or b["count"] >= ENOUGH]
        axes.plot([b["confidence"] for b in sure], [b["accuracy"] for b in sure], color=COLOURS["model"])
        # A dot's area says how many sequences it stands for.
        sizes = [18 + 130 * (b.get("count") or 0) / most if most else 30 for b in bins]
        axes.scatter(
            [b["confidence"] for b in bins],
            [b["accuracy"] for b in bins],
            s=sizes,
            color=COLOURS["model"],
            linewidths=0,
            zorder=3,
            clip_on=False,
        )
        low = min([b["confidence"] for b in bins] + [b["accuracy"] for b in bins])
        axes.set_xlim(max(0.0, low - 0.08), 1.0)
        axes.set_ylim(max(0.0, low - 0.08), 1.0)
        percents(axes.xaxis)
        percents(axes.yaxis)
        title_axes(axes, "how often it is right", "how sure the model says it is")

    error = (
        f" The gap is {number(100 * event['ece'], 3)} percentage points on average" if finite(event.get("ece")) else ""
    )
    if error and finite(before):
        error += f"; it was {number(100 * before, 3)} before calibration"
    told = (
        "On the diagonal, “90 % sure” is right 9 times out of 10; below it the model is too sure of itself. "
        f"Larger dots stand for more sequences; the line joins those of {ENOUGH} or more."
    )
    keys = [("this model", "model", "dot"), ("perfectly honest", "line", "solid")]
    if before_bins:
        keys.append(("before calibration", "second", "dashed"))
    label = f"Reliability curve: accuracy against stated confidence in {len(bins)} bins"
    return figure(
        "Does “sure” mean sure?", svg("reliability", label, draw), told + (error + "." if error else ""), legend(*keys)
    )


def _by_length(event: Event | None) -> Html | None:
    bins = [b for b in _items(event) if finite(b.get("accuracy"))]
    if len(bins) < 2:
        return None
    labels = [
        number(b.get("from")) if b.get("from") == b.get("to") else f"{number(b.get('from'))}–{number(b.get('to'))}"
        for b in bins
    ]

    def draw(axes: Any) -> None:
        heights = [b["accuracy"] for b in bins]
        axes.bar(range(len(bins)), heights, 0.72, color=COLOURS["model"], alpha=0.8, linewidth=0)
        for i in range(len(bins)):
            axes.text(
                i, heights[i] + 0.02, percent(heights[i]), ha="center", va="bottom", fontsize=9.5, color=COLOURS["ink"]
            )
        turn = len(bins) > 6 or sum(map(len, labels)) > 40
        axes.set_xticks(range(len(bins)), labels, rotation=45 if turn else 0, ha="right" if turn else "center")
        axes.set_ylim(0, 1.12)
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        title_axes(axes, "accuracy", "length of the sequence, in steps")

    spread = ", ".join(f"{text}: {number(b.get('count'))}" for text, b in zip(labels, bins, strict=True))
    label = "Accuracy by length of the sequence: " + "; ".join(
        f"{text} steps {percent(b['accuracy'])}" for text, b in zip(labels, bins, strict=True)
    )
    return figure(
        "Accuracy by length",
        svg("by-length", label, draw),
        f"Sequences in each bar: {spread}. A bar of few sequences says little.",
    )


def _mistakes(event: Event | None) -> Html | None:
    if event is None:
        return None
    items = _items(event)
    if not items:
        return join(
            [h("h3", "Confident mistakes"), paragraph("There are none: no held-out sequence was given a wrong class.")]
        )
    items = sorted(items, key=lambda i: -i["probability"] if finite(i.get("probability")) else 1.0)[:MISTAKES]
    rows = [
        [
            name(i.get("sequence", NOTHING), 40),
            name(i.get("label", NOTHING), 40),
            name(i.get("predicted", NOTHING), 40),
            percent(i.get("probability"), 1),
            number(i.get("length")),
        ]
        for i in items
    ]
    caption = (
        "Held-out sequences given a wrong class with most confidence. Look at these first: some may be mislabelled."
    )
    return join(
        [
            h("h3", "Confident mistakes"),
            table(caption, ["sequence", "true class", "given", "how sure", "steps"], rows, numbers=(3, 4)),
        ]
    )
