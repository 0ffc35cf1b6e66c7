"""Each instrument as one call on a cell and what it reads: a sentence, facts for a file, and a drawing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recurra.analysis.bifurcation import bifurcation, scaled
from recurra.analysis.effective_memory import effective_memory
from recurra.analysis.fixed_points import fixed_points
from recurra.analysis.gate_saturation import gate_saturation
from recurra.analysis.gradient_flow import gradient_flow
from recurra.analysis.hidden_states import hidden_states
from recurra.analysis.lyapunov import lyapunov_spectrum
from recurra.analysis.memory_capacity import memory_capacity
from recurra.analysis.memory_views import memory_view
from recurra.analysis.phase_portrait import phase_portrait
from recurra.analysis.stability import linear_stability, weight_stability
from recurra.analysis.visited import visited_states
from recurra.cells.base import Cell
from recurra.cells.state import state_tensors
from recurra.errors import UsageError
from recurra.nn.layer import Layer


@dataclass(frozen=True)
class Subject:
    """What is looked at.

    Attributes:
        cell: the cell.
        x: the sequences that it reads, (time, batch, input_size), float64.
        lengths: their steps, (batch,).
        names: of the sequences.
        layer: the whole layer, with what it reads, for the instruments of layers.
        read: what the layer reads, (time, batch, features).
        number: which of its layers, from 1 on.
        seed: of what is drawn.
    """

    cell: Cell
    x: Tensor
    lengths: Tensor
    names: list[str]
    layer: Layer
    read: Tensor
    number: int
    seed: int = 0

    @property
    def mean_input(self) -> Tensor:
        """The mean of all valid steps: the constant input under which the cell is looked at by itself."""
        valid = (torch.arange(len(self.x)).unsqueeze(1) < self.lengths).unsqueeze(-1)
        return torch.where(valid, self.x, torch.zeros_like(self.x)).sum((0, 1)) / valid.sum()


@dataclass(frozen=True)
class View:
    """What an instrument shows.

    Attributes:
        text: a plain sentence or two.
        facts: for JSON.
        draw: draws on matplotlib's axes.
    """

    text: str
    facts: dict[str, Any]
    draw: Callable[[Any], None]


def lyapunov(subject: Subject) -> View:
    """Exponents along the sequences."""
    longest = int(subject.lengths.max())
    x = subject.x[:longest]
    found = lyapunov_spectrum(
        subject.cell,
        x,
        lengths=subject.lengths,
        count=min(20, sum(part.numel() for part in _parts(subject.cell))),
        warmup=min(50, longest // 5),
        seed=subject.seed,
    )
    facts = {
        "exponents": found.exponents.tolist(),
        "band": found.band.tolist(),
        "dimension": found.dimension,
        "steps": found.steps,
    }
    return View(found.text, facts, found.draw)


def stability(subject: Subject) -> View:
    """The step's linear part at the mean input and the mean state, and the weights' spectral radii."""
    points = fixed_points(subject.cell, subject.mean_input, starts=_starts(subject, 32), adam_iterations=0)
    stable = [k for k in range(len(points.points)) if points.fixed[k]]
    state = points.state(stable[0]) if stable else None
    found = linear_stability(subject.cell, subject.mean_input, state)
    place = "the fixed point under the mean input" if stable else "the initial state"
    facts = {
        "place": place,
        "spectral_radius": found.spectral_radius,
        "norm": found.norm,
        "growth": found.growth,
        "eigenvalues": [[float(value.real), float(value.imag)] for value in found.eigenvalues],
        "weights": {name: [list(pair) for pair in blocks] for name, blocks in weight_stability(subject.cell).items()},
    }
    return View(f"At {place}: {found.text[0].lower()}{found.text[1:]}", facts, found.draw)


def fixed(subject: Subject) -> View:
    """Fixed and slow points under the mean input."""
    vectors = _starts(subject, 256)
    found = fixed_points(subject.cell, subject.mean_input, starts=vectors, seed=subject.seed)
    facts = {
        "points": found.points.tolist(),
        "speed": found.speed.tolist(),
        "fixed": found.fixed.tolist(),
        "unstable": found.unstable.tolist(),
        "hits": found.hits.tolist(),
    }
    return View(found.text, facts, lambda axes: found.draw(axes, vectors))


def portrait(subject: Subject) -> View:
    """Paths and arrows under the mean input."""
    vectors = _starts(subject, 64)
    found = phase_portrait(subject.cell, vectors, subject.mean_input)
    points = fixed_points(subject.cell, subject.mean_input, starts=vectors, adam_iterations=0)
    text = f"The plane holds {100 * found.flat:.0f} % of the lengths of its arrows. {points.text}"
    facts = {"flat": found.flat, "paths": found.paths.tolist(), "fixed_points": len(points.points)}
    # A cell that counts its steps has no fixed point in the whole space; the portrait is then drawn without them.
    marked = points.points[points.fixed] if points.points.shape[1] == vectors.shape[1] else None
    return View(text, facts, lambda axes: found.draw(axes, marked))


def gains(subject: Subject) -> View:
    """Where the cell settles under the mean input, against a gain on its recurrent weights."""
    values = [round(0.1 * k, 1) for k in range(1, 31)]
    starts = _starts(subject, 8)
    found = bifurcation(
        lambda gain: scaled(subject.cell, gain), values, starts, subject.mean_input, steps=64, warmup=200
    )
    periods = found.periods(1e-4, 16)
    still = [value for value, period in zip(values, periods, strict=True) if period == 1]
    moving = [value for value, period in zip(values, periods, strict=True) if period != 1]
    text = f"Of {len(values)} gains on the recurrent weights from {values[0]} to {values[-1]}, {len(still)} end at rest"
    text += f"; the least that does not is {moving[0]}." if moving else "."

    def draw(axes: Any) -> None:
        found.draw(axes)
        axes.set_xlabel("gain on the recurrent weights")

    return View(text, {"gains": values, "periods": periods}, draw)


def memory(subject: Subject) -> View:
    """How many last steps are enough."""
    found = effective_memory(subject.cell, subject.x, subject.lengths)
    facts = {"lags": found.lags, "error": found.error, "steps": found.steps, "tolerance": found.tolerance}
    return View(found.text, facts, found.draw)


def gates(subject: Subject) -> View:
    """How often gates are shut or open."""
    found = gate_saturation(subject.cell, subject.x, subject.lengths)
    facts = {
        name: {"shut": found.shut[name].tolist(), "open": found.open[name].tolist(), "mean": found.mean[name].tolist()}
        for name in found.mean
    }
    return View(found.text, facts, found.draw)


def capacity(subject: Subject) -> View:
    """The short-term memory capacity under random inputs."""
    found = memory_capacity(subject.cell, steps=max(2000, 4 * len(_starts(subject, 1)[0])), seed=subject.seed)
    facts = {"total": found.total, "bound": found.bound, "delays": found.delays, "each": found.each}
    return View(found.text, facts | {"chance": list(found.chance)}, found.draw)


def gradient(subject: Subject) -> View:
    """The gradient's norm against the lag."""
    found = gradient_flow(subject.layer, subject.read, subject.lengths, number=subject.number)

    def draw(axes: Any) -> None:
        axes.semilogy(found["lags"], [max(value, 1e-300) for value in found["norm"]])
        axes.set_xlabel("steps back")
        axes.set_ylabel("norm of the gradient, 1 at the last step")

    return View(found["text"], {name: found[name] for name in ("lags", "norm", "half_lag")}, draw)


def states(subject: Subject) -> View:
    """Paths of the hidden outputs in their two main directions."""
    found = hidden_states(subject.layer, subject.read, subject.lengths, subject.names)

    def draw(axes: Any) -> None:
        for path in found["trajectories"]:
            axes.plot(*zip(*path["points"], strict=True), linewidth=0.8, label=path["name"])
        axes.set_xlabel("first direction")
        axes.set_ylabel("second direction")

    share = sum(found["explained"])
    return View(f"Two directions hold {100 * share:.0f} % of the variance of the hidden outputs.", found, draw)


def heads(subject: Subject) -> View:
    """Where the heads wrote and read along the first sequence that has a step."""
    number = int((subject.lengths > 0).int().argmax())
    found = memory_view(subject.cell, subject.x[: int(subject.lengths[number]), number])
    facts = {
        "sequence": subject.names[number],
        "heads": {name: weights.tolist() for name, weights in found.heads.items()},
        "lost": found.lost,
        "reads": {name: values.tolist() for name, values in found.reads.items()},
        "usage": None if found.usage is None else found.usage.tolist(),
    }
    return View(f"Along {subject.names[number]}: {found.text}", facts, found.draw)


def _parts(cell: Cell) -> list[Tensor]:
    return [part for part in state_tensors(cell.initial_state(1)) if part.is_floating_point()]


def _starts(subject: Subject, most: int) -> Tensor:
    if not int(subject.lengths.sum()):
        raise UsageError("the sequences hold no step", where="inspect", need="at least one step")
    return visited_states(subject.cell, subject.x, subject.lengths, most, subject.seed)
