"""Reads a page as a browser would, strictly: every element is closed in order."""

from __future__ import annotations

from html.parser import HTMLParser

EMPTY = {"meta", "br"}


class Page(HTMLParser):
    """Checks that every element is closed in order, and gathers what the tests ask about."""

    def __init__(self, text: str):
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"an attribute twice in <{tag}>"
        self.elements.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data):
        if self.open and data.strip():
            self.words.append((self.open[-1], data))

    @property
    def text(self) -> str:
        return " ".join(data for tag, data in self.words if tag not in ("style", "title"))
