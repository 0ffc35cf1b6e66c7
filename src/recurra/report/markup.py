"""HTML made by nesting calls: whatever is not already `Html` is escaped, so a hostile name stays a name."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

# Control characters break a page and direction overrides reorder the text around them.
_UNWANTED = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
_EMPTY = {"br", "meta"}


class Html(str):
    """Text that is markup already and is not escaped again."""


def escape(text: object) -> Html:
    """Any object's text, safe within an element and within a quoted attribute."""
    if isinstance(text, Html):
        return text
    return Html(_safe(text))


def _safe(text: object) -> str:
    return html.escape(_UNWANTED.sub("\ufffd", str(text)), quote=True)


def h(tag: str, *children: object, **attributes: object) -> Html:
    """One element. Children that are None are left out, lists are taken apart, all but `Html` is escaped.

    Attributes: `class_` becomes `class`, `aria_label` becomes `aria-label`; True gives a bare attribute, None and
    False give none.

    Example:
        >>> print(h("p", "a < b ", h("b", "c"), class_="note"))
        <p class="note">a &lt; b <b>c</b></p>
    """
    parts = [tag]
    for name, value in attributes.items():
        if value is None or value is False:
            continue
        name = name.rstrip("_").replace("_", "-")
        parts.append(name if value is True else f'{name}="{_safe(value)}"')
    opening = f"<{' '.join(parts)}>"
    return Html(opening if tag in _EMPTY else f"{opening}{join(children)}</{tag}>")


def join(children: Iterable[object]) -> Html:
    """Children after one another, escaped where they are not markup."""
    parts = []
    for child in children:
        if child is None:
            continue
        parts.append(join(child) if isinstance(child, list | tuple) else escape(child))
    return Html("".join(parts))


def short(text: object, length: int = 60) -> str:
    """A name cut to `length` characters; what is cut is shown by an ellipsis."""
    text = str(text)
    return text if len(text) <= length else text[: length - 1] + "…"


def name(text: object, length: int = 60) -> Html:
    """A name from the user's data: cut if very long (more of it on hover), never mixed into its surroundings."""
    cut = short(text, length)
    return h("bdi", cut, title=short(text, 400) if cut != str(text) else None)


def paragraph(*children: object, class_: str | None = None) -> Html:
    return h("p", *children, class_=class_)


def table(
    caption: object,
    heads: Sequence[object],
    rows: Iterable[Sequence[object]],
    *,
    numbers: Iterable[int] = (),
    class_: str | None = None,
    hide_caption: bool = False,
) -> Html:
    """A table that scrolls sideways by itself on a narrow screen. The first cell of a row is its heading.

    Args:
        caption: what the table shows, read aloud by screen readers and shown unless `hide_caption`.
        heads: the columns' headings.
        rows: the cells.
        numbers: which columns hold numbers (set right, figures of one width).
    """
    right = set(numbers)
    style = {i: "number" if i in right else None for i in range(len(heads))}
    head = h("tr", [h("th", cell, scope="col", class_=style[i]) for i, cell in enumerate(heads)])
    body = [
        h(
            "tr",
            [h("td", c, class_=style[i]) if i else h("th", c, scope="row", class_=style[i]) for i, c in enumerate(row)],
        )
        for row in rows
    ]
    whole = h(
        "table",
        h("caption", caption, class_="hidden" if hide_caption else None),
        h("thead", head),
        h("tbody", body),
        class_=class_,
    )
    return h("div", whole, class_="scroll", tabindex="0", role="region", aria_label=plain(caption))


def facts(pairs: Iterable[tuple[object, object]]) -> Html:
    """Names with their values, as small tiles."""
    return h("dl", [h("div", h("dt", key), h("dd", value)) for key, value in pairs], class_="facts")


def bullets(items: Sequence[object], *, class_: str | None = None, limit: int = 40) -> Html | None:
    """A list; None when there is nothing to list."""
    if not items:
        return None
    shown = [h("li", item) for item in items[:limit]]
    if len(items) > limit:
        shown.append(h("li", f"and {len(items) - limit:,} more"))
    return h("ul", shown, class_=class_)


def details(summary: object, *children: object) -> Html:
    return h("details", h("summary", summary), *children)


def command(text: object) -> Html:
    """A command to copy: one click selects all of it."""
    words = [piece for word in str(text).split(" ") for piece in (" ", h("span", word))][1:]
    return h("pre", h("code", words), class_="command", tabindex="0")


def bar(share: float, class_: str = "model") -> Html:
    """A horizontal bar of the given share (0 to 1) of its place; a decoration beside a number."""
    width = 100 * min(max(share, 0.0), 1.0) if share == share else 0.0
    return h(
        "span", h("span", "", class_=f"fill {class_}", style=f"width:{width:.1f}%"), class_="bar", aria_hidden="true"
    )


def plain(markup: object) -> str:
    """The text of a caption without its elements (for labels)."""
    return html.unescape(re.sub(r"<[^>]*>", "", markup)) if isinstance(markup, Html) else str(markup)
