"""An automaton drawn: states on a circle, arrows with their symbols."""

from __future__ import annotations

import math
from typing import Any

from recurra.analysis.automata.dfa import DFA

RADIUS = 0.16


def draw_automaton(automaton: DFA, axes: Any) -> None:
    """Draw an automaton on matplotlib's axes: accepting states as double circles, a short arrow into the start.

    Args:
        automaton: best of not more than a dozen states; `DFA.graphviz` gives larger ones to a program for layouts.
        axes: to draw on.
    """
    count = len(automaton)
    angles = [math.pi - 2 * math.pi * state / count for state in range(count)]
    place = [(math.cos(angle), math.sin(angle)) if count > 1 else (0.0, 0.0) for angle in angles]
    for state, (x, y) in enumerate(place):
        axes.plot([x], [y], "o", markersize=22, markerfacecolor="none", markeredgecolor="black")
        if state in automaton.accepting:
            axes.plot([x], [y], "o", markersize=17, markerfacecolor="none", markeredgecolor="black")
        axes.text(x, y, str(state), ha="center", va="center")
    for (one, two), symbols in automaton.edges().items():
        (x, y), label = place[one], ", ".join(symbols)
        if one == two:
            out = (math.cos(angles[one]), math.sin(angles[one])) if count > 1 else (0.0, 1.0)
            _arrow(axes, _turned(x, y, out, 0.5), _turned(x, y, out, -0.5), 1.6)
            axes.text(x + 0.42 * out[0], y + 0.42 * out[1], label, ha="center", va="center")
            continue
        (u, v) = place[two]
        length = math.hypot(u - x, v - y)
        along, across = ((u - x) / length, (v - y) / length), ((v - y) / length, -(u - x) / length)
        begin = (x + RADIUS * along[0], y + RADIUS * along[1])
        end = (u - RADIUS * along[0], v - RADIUS * along[1])
        # Bent, so that the arrow back has its own way.
        _arrow(axes, begin, end, 0.2)
        middle = ((x + u) / 2 + 0.13 * length * across[0], (y + v) / 2 + 0.13 * length * across[1])
        axes.text(*middle, label, ha="center", va="center", bbox={"facecolor": "white", "edgecolor": "none", "pad": 1})
    x, y = place[automaton.start]
    _arrow(axes, (x - 0.45, y + 0.25), (x - RADIUS * 0.9, y + RADIUS * 0.5), 0.0)
    axes.set_xlim(-1.6, 1.6)
    axes.set_ylim(-1.6, 1.6)
    axes.set_aspect("equal")
    axes.set_axis_off()


def _turned(x: float, y: float, out: tuple[float, float], angle: float) -> tuple[float, float]:
    """A point on a state's circle, turned by an angle from the direction outwards."""
    cos, sin = math.cos(angle), math.sin(angle)
    return x + RADIUS * (cos * out[0] - sin * out[1]), y + RADIUS * (sin * out[0] + cos * out[1])


def _arrow(axes: Any, begin: tuple[float, float], end: tuple[float, float], bend: float) -> None:
    style = {"arrowstyle": "-|>", "connectionstyle": f"arc3,rad={bend}", "color": "grey", "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", xy=end, xytext=begin, arrowprops=style)
