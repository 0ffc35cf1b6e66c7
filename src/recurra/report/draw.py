"""Figures: drawn by matplotlib through its objects, kept as small SVG whose colours follow the page.

Colours are drawn as the stand-ins of `COLOURS` and replaced by CSS variables, so that one figure serves the light
and the dark scheme. Text stays text in the page's own font. Names from the user's data stay out of figures: they
stand in the headings and legends around them, where a browser has glyphs for every script.
"""

from __future__ import annotations

import atexit
import io
import math
import os
import re
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from recurra.report.markup import Html, h, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Each stands in for var(--name). The palette itself (Okabe and Ito's, safe for colour blindness) is in page.css.
COLOURS = {
    name: f"#0b0c{i:02x}"
    for i, name in enumerate(
        ("ink", "muted", "line", "grid", "model", "second", "third", "fourth", "fifth", "sixth", "seventh", "paper"), 16
    )
}
SERIES = ("model", "second", "third", "fourth", "fifth", "sixth", "seventh")
"""Colours for things side by side, told apart by their dashes too."""
DASHES = ("solid", "dashed", "dotted", "dashdot")

WIDTH = 380
_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "axes.formatter.use_mathtext": False,
    "axes.unicode_minus": True,
    "font.family": "DejaVu Sans",
    "font.size": 12,
    "axes.labelsize": 11.5,
    "xtick.labelsize": 11.5,
    "ytick.labelsize": 11.5,
    "text.color": COLOURS["ink"],
    "axes.labelcolor": COLOURS["muted"],
    "axes.edgecolor": COLOURS["line"],
    "axes.facecolor": "none",
    "xtick.color": COLOURS["line"],
    "xtick.labelcolor": COLOURS["muted"],
    "ytick.color": COLOURS["line"],
    "ytick.labelcolor": COLOURS["muted"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": COLOURS["grid"],
    "grid.linewidth": 0.8,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "ytick.minor.size": 0,
    "xtick.minor.size": 0,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "path.simplify": True,
    "path.simplify_threshold": 0.3,
    "figure.constrained_layout.h_pad": 0.03,
    "figure.constrained_layout.w_pad": 0.03,
}


def _keep_matplotlib_to_itself() -> None:
    """Give matplotlib's font list a folder that goes with the process: a report leaves nothing in the user's home."""
    if "MPLCONFIGDIR" in os.environ or "matplotlib" in sys.modules:
        return
    folder = tempfile.mkdtemp(prefix="recurra-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["MPLCONFIGDIR"] = folder


def svg(identity: str, label: str, draw: Callable[[Axes], None], *, height: int = 240, width: int = WIDTH) -> Html:
    """One set of axes as inline SVG.

    Args:
        identity: a name unique in the page; ids within the SVG start with it.
        label: what the figure shows, for people who do not see it.
        draw: draws on the axes.
        height, width: in the SVG's own units; fonts are 12 of them, and a phone shows about one unit a pixel.
    """
    _keep_matplotlib_to_itself()
    import matplotlib.style
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    out = io.StringIO()
    # matplotlib's style is set for this block alone and put back after it.
    with matplotlib.style.context(["default", {**_STYLE, "svg.hashsalt": identity}]), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a layout too tight for its labels is still a figure
        figure = Figure(figsize=(width / 72, height / 72), layout="constrained", facecolor="none", edgecolor="none")
        canvas = FigureCanvasSVG(figure)
        draw(figure.add_subplot())
        canvas.print_svg(out, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _clean(out.getvalue(), identity, label)


def _clean(text: str, identity: str, label: str) -> Html:
    text = text[text.index("<svg") :]
    text = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.DOTALL)
    used = set(re.findall(r"url\(#([^)]+)\)|href=\"#([^\"]+)\"", text))
    names = {part for pair in used for part in pair if part}
    text = re.sub(r' id="([^"]*)"', lambda m: f' id="{identity}-{m[1]}"' if m[1] in names else "", text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{identity}-\1)", text)
    text = re.sub(r'href="#([^"]+)"', rf'href="#{identity}-\1"', text)
    text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", text)  # the page's own font
    text = re.sub(r"font-family: [^;\"]*;? ?", "", text)
    text = re.sub(r"(?<=[\s\"(])(-?\d+\.\d)\d+(?=[\s\"),])", r"\1", text)  # a tenth of a pixel is enough
    for name, colour in COLOURS.items():
        text = text.replace(colour, f"var(--{name})")
    text = re.sub(r">\s+<", "><", text)
    text = re.sub(r"\s*\n\s*", " ", text)
    opening = re.match(r"<svg[^>]*>", text)
    assert opening
    box = re.search(r'viewBox="([^"]*)"', opening[0])
    assert box
    start = h(
        "svg",
        xmlns="http://www.w3.org/2000/svg",
        role="img",
        aria_label=plain(label),
        viewBox=box[1],
    ).removesuffix("</svg>")
    start = start.replace("<svg ", '<svg xmlns:xlink="http://www.w3.org/1999/xlink" ', 1)
    return Html(start + text[opening.end() :].strip())


def legend(*items: tuple[object, str, str]) -> Html:
    """What the marks of a figure mean: (name, colour, kind), kind a dash of `DASHES`, "area" or "dot"."""
    return h(
        "ul",
        [
            h("li", h("span", "", class_=f"key {kind}", style=f"--key:var(--{colour})", aria_hidden="true"), text)
            for text, colour, kind in items
        ],
        class_="legend",
    )


def figure(
    title: object, picture: Html, caption: object = None, key: Html | None = None, class_: str | None = None
) -> Html:
    """A figure with its title, its legend and a sentence that says how to read it."""
    return h(
        "figure",
        h("h3", title),
        key,
        picture,
        h("figcaption", caption) if caption else None,
        class_=class_,
    )


def grid(*figures: Html | None, class_: str = "figures") -> Html | None:
    """Figures side by side where there is room."""
    there = [one for one in figures if one is not None]
    return h("div", there, class_=class_) if there else None


def title_axes(axes: Axes, y: str = "", x: str = "") -> None:
    """Name the axes; the vertical one lies flat above, where it costs no width."""
    if y:
        axes.set_title(y, loc="left", fontsize=11.5, color=COLOURS["muted"], pad=5)
    if x:
        axes.set_xlabel(x, labelpad=2)


def plain_numbers(axis: Any, ticks: int = 5) -> None:
    """Ticks at round numbers, written without offsets and powers in a corner."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=ticks, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: tick(value)))


def whole_numbers(axis: Any, ticks: int = 6) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=ticks, integer=True))
    axis.set_major_formatter(FuncFormatter(lambda value, _: tick(value)))


def percents(axis: Any, ticks: int = 5) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=ticks, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{tick(round(100 * value, 6))} %"))


def log_numbers(axes: Axes, which: str = "y") -> None:
    """A logarithmic axis with ticks written as 0.01 or, far out, as powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    (axes.set_yscale if which == "y" else axes.set_xscale)("log")
    axis = axes.yaxis if which == "y" else axes.xaxis
    low, high = sorted(axis.get_view_interval())
    decades = math.log10(high / low) if low > 0 else 10.0
    bases = (1.0,) if decades > 1.7 else (1.0, 2.0, 5.0)
    axis.set_major_locator(LogLocator(subs=bases, numticks=6))
    axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(FuncFormatter(lambda value, _: tick(value)))


def tick(value: float) -> str:
    """A tick's number: short, exact, with a real minus sign.

    Example:
        >>> tick(0.25), tick(-20000), tick(1e-6), tick(2500000)
        ('0.25', '−20k', '10⁻⁶', '2.5M')
    """
    size = abs(value)
    if size == 0 or math.isclose(size, 0, abs_tol=1e-300):
        return "0"
    if size >= 1e12 or size < 1e-3:
        power = math.floor(math.log10(size) + 1e-9)
        lead = value / 10.0**power
        raised = str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        return f"10{raised}" if math.isclose(lead, 1, rel_tol=1e-6) else f"{lead:.3g}·10{raised}".replace("-", "−")
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if size >= unit:
            value, suffix = value / (1e3 if letter == "k" else unit), letter
            break
    else:
        suffix = ""
    return f"{value:.6g}{suffix}".replace("-", "−")


def times(texts: Sequence[Any]) -> list[Any]:
    """Times as they stand in the log, made ready for an axis: dates, numbers, or failing both the row numbers."""
    try:
        moments = [datetime.fromisoformat(str(text)) for text in texts]
    except ValueError:
        try:
            return [float(text) for text in texts]
        except (TypeError, ValueError):
            return [float(i) for i in range(len(texts))]
    return moments


def time_axis(axes: Axes, values: Sequence[Any]) -> None:
    """Few short ticks: dates where the values are dates."""
    if values and isinstance(values[0], datetime):
        from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

        locator = AutoDateLocator(minticks=2, maxticks=5)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    else:
        plain_numbers(axes.xaxis)


def thin(x: Sequence[Any], y: Sequence[float], most: int = 600) -> tuple[list[Any], list[float]]:
    """At most about `most` points that keep each stretch's lowest and highest value, so that no spike is lost."""
    if len(y) <= most:
        return list(x), list(y)
    block = math.ceil(len(y) / (most // 2))
    keep: list[int] = []
    for start in range(0, len(y), block):
        there = [i for i in range(start, min(start + block, len(y))) if y[i] == y[i]]
        if there:
            keep += sorted({min(there, key=y.__getitem__), max(there, key=y.__getitem__)})
    return [x[i] for i in keep], [y[i] for i in keep]
