"""What benchmarks/cells.py times: cells, shapes and inputs, and the float64 numbers that every contender is held to."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from recurra import explain
from recurra.nn import Recurrent
from recurra.unroll import unroll

TOLERANCE = 1e-4
"""Largest difference from float64 allowed, in units of each tensor's largest value; float32 reaches about 1e-5.

A ReLU's derivative jumps at 0, so that rounding turns it there for a few units among millions, in any implementation:
gradients of a cell with one are compared in root mean squares, which may differ by ten times as much.
"""


class Shape(NamedTuple):
    """Sizes of one case."""

    time: int
    batch: int
    inputs: int
    hidden: int


SHAPES = tuple(
    Shape(*sizes)
    for sizes in (
        (100, 32, 32, 32),
        (100, 32, 64, 128),
        (784, 64, 1, 128),
        (256, 1, 64, 256),
        (128, 64, 256, 512),
        (1000, 16, 2, 16),
        (1000, 1, 64, 64),
    )
)
QUICK_SHAPES = (Shape(12, 3, 5, 7), Shape(20, 1, 3, 16))


class CellFacts(NamedTuple):
    """A cell's names elsewhere."""

    gated: bool
    torch_nn: str | None = None
    torchrecurrent: str | None = None
    has_relu: bool = False


CELLS = {
    "lstm": CellFacts(True, torch_nn="LSTM"),
    "gru": CellFacts(True, torch_nn="GRU"),
    "elman": CellFacts(False, torch_nn="RNN"),
    "peephole_lstm": CellFacts(True, torchrecurrent="PeepholeLSTM"),
    "mgu": CellFacts(True, torchrecurrent="MGU"),
    "janet": CellFacts(True, torchrecurrent="JANET"),
    "lem": CellFacts(True, torchrecurrent="LEM"),
    "indrnn": CellFacts(False, torchrecurrent="IndRNN", has_relu=True),
    "multiplicative_lstm": CellFacts(True, torchrecurrent="MultiplicativeLSTM"),
}


@dataclass
class Problem:
    """One cell at one shape: the layer with its weights, the input, the gradient of the output, and lengths if any."""

    cell: str
    shape: Shape
    layer: Recurrent
    x: Tensor
    gy: Tensor
    lengths: Tensor | None = None

    @property
    def weights(self) -> dict[str, Tensor]:
        """The cell's weights by their names in the cell."""
        return dict(self.layer.cells[0].named_parameters())

    @property
    def arithmetic(self) -> float:
        """Floating-point operations of a training step's matrix products: the forward ones, and twice as many backward.

        Element-wise work is not counted.
        """
        entries = sum(weight.numel() for weight in self.weights.values() if weight.dim() == 2)
        return 3 * 2 * entries * self.shape.time * self.shape.batch


@dataclass
class Contender:
    """One way to compute a problem.

    Attributes:
        name: whose it is.
        forward: gives the output, without keeping anything for a gradient.
        train: gives the output, and the gradients of x and of all weights for the problem's output gradient.
        read: turns what `train` gave into numbers by name: "y", "x", and the cell's own names of its weights.
        forward_output: turns what `forward` gave into the output.
        other_equations: how its equations differ from the cell's, where they do: then there is no comparing of numbers.
    """

    name: str
    forward: Callable[[], Any]
    train: Callable[[], Any]
    read: Callable[[Any], Mapping[str, Tensor]]
    forward_output: Callable[[Any], Tensor]
    other_equations: str | None = None


class Missing(NamedTuple):
    """A peer that is not measured, and why."""

    name: str
    reason: str


def make_problem(cell: str, shape: Shape, seed: int = 0) -> Problem:
    """A layer with random weights, and random inputs for it."""
    torch.manual_seed(seed)
    layer = Recurrent(cell, shape.inputs, shape.hidden, backend="fused")
    x = torch.randn(shape.time, shape.batch, shape.inputs, requires_grad=True)
    gy = torch.randn(shape.time, shape.batch, layer.output_size)
    return Problem(cell, shape, layer, x, gy)


def random_lengths(shape: Shape, seed: int = 0) -> Tensor:
    """Lengths uniform in [1, time], the longest first, as torch.nn likes them best; the first is the whole time.

    A single sequence is one step shorter than the tensor that holds it, as otherwise nothing would be padding.
    """
    if shape.batch == 1:
        return torch.tensor([max(1, shape.time - 1)])
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, shape.time + 1, (shape.batch,), generator=generator)
    lengths[0] = shape.time
    return lengths.sort(descending=True).values


def why_slow(layer: Recurrent) -> str | None:
    """None where the layer's loop is compiled, else what `explain` says of it."""
    line = explain(layer).splitlines()[1]
    return line.strip() if "reference loop, because" in line or "not compiled" in line else None


def reference(problem: Problem) -> dict[str, Tensor]:
    """The output and all gradients by the plain loop in float64."""
    cell = copy.deepcopy(problem.layer.cells[0]).double()
    x = problem.x.detach().double().requires_grad_()
    y, _ = unroll(cell, x, lengths=problem.lengths)  # type: ignore[arg-type]
    named = dict(cell.named_parameters())
    gradients = torch.autograd.grad(y, [x, *named.values()], problem.gy.double())
    return {"y": y.detach(), "x": gradients[0], **dict(zip(named, gradients[1:], strict=True))}


def largest_difference(
    found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], has_relu: bool = False
) -> tuple[float, str]:
    """The largest difference, in units of `TOLERANCE`, and the name of the tensor where it is."""
    worst, where = 0.0, "y"
    for name, value in found.items():
        right = wanted[name]
        if value.shape != right.shape:
            raise ValueError(f"{name} has shape {tuple(value.shape)}, not {tuple(right.shape)}")
        apart = value.double() - right
        if has_relu and name != "y":
            difference = float(apart.norm() / right.norm().clamp(min=1e-30)) / (10 * TOLERANCE)
        else:
            difference = float(apart.abs().max() / right.abs().max().clamp(min=1e-30)) / TOLERANCE
        # Every comparison with NaN is False, so that it would pass for small.
        if difference != difference:
            return difference, name
        if difference > worst:
            worst, where = difference, name
    return worst, where


def check(contender: Contender, wanted: Mapping[str, Tensor], has_relu: bool = False) -> float | None:
    """Compare a contender's numbers with the reference; ends the run where they are wrong: a time then means nothing.

    Returns:
        the largest difference, relative to each tensor's largest value, or None where the equations are others.
    """
    found = dict(contender.read(contender.train()))
    if contender.other_equations is not None:
        return None
    missing = sorted(set(wanted) - set(found))
    worst, where = largest_difference(found, wanted, has_relu)
    of_forward, _ = largest_difference({"y": contender.forward_output(contender.forward())}, wanted)
    if missing or not worst < 1 or not of_forward < 1:
        said = f"gives no {', '.join(missing)}" if missing else f"is off in {where}"
        raise SystemExit(
            f"{contender.name} {said}: {worst * TOLERANCE:.2g} (forward alone {of_forward * TOLERANCE:.2g}), where "
            f"{TOLERANCE:g} is allowed"
        )
    return max(worst, of_forward) * TOLERANCE
