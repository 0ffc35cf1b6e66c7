"""Ours, and the peers made of torch alone: torch.nn's layers, packed sequences, the plain loop, its compiled step."""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Callable, Mapping
from typing import Any

import torch
from _cells_cases import CELLS, Contender, Missing, Problem
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


def contender(
    name: str, problem: Problem, run: Callable[[Tensor], Tensor], weights: Mapping[str, Tensor], **more: Any
) -> Contender:
    """A contender whose outputs and gradients are torch's: `weights` by the cell's own names of them."""
    x = problem.x.detach().clone().requires_grad_()

    def forward() -> Tensor:
        with torch.no_grad():
            return run(x)

    def train() -> tuple[Tensor, ...]:
        y = run(x)
        return y, *torch.autograd.grad(y, [x, *weights.values()], problem.gy)

    def read(found: tuple[Tensor, ...]) -> dict[str, Tensor]:
        return dict(zip(("y", "x", *weights), (part.detach() for part in found), strict=True))

    return Contender(name, forward, train, read, lambda y: y, **more)


def ours(problem: Problem) -> Contender:
    """The layer, with the problem's lengths if it has any."""
    layer, lengths = problem.layer, problem.lengths
    return contender("ours", problem, lambda x: layer(x, lengths=lengths)[0], problem.weights)


def plain_loop(problem: Problem) -> Contender:
    """The same cell in the library's plain loop: torch operations, one time step after the other."""
    layer = copy.deepcopy(problem.layer)
    layer.backend = "reference"
    return contender("loop", problem, lambda x: layer(x)[0], dict(layer.cells[0].named_parameters()))


def compiled_step(problem: Problem) -> Contender | Missing:
    """A loop over the step compiled by torch.compile; the product with x is made before it, for all steps at once.

    The loop itself is not compiled: torch.compile would lay out all its steps one after the other.
    """
    name = "compile"
    if not any(shutil.which(each) for each in (os.environ.get("CXX", "g++"), "g++", "clang++")):
        return Missing(name, "torch.compile needs a C++ compiler, and there is none")
    # Each case compiles anew: the number of versions that one function may have is bounded.
    torch._dynamo.reset()
    cell: Any = copy.deepcopy(problem.layer.cells[0])
    step = torch.compile(cell.advance, dynamic=False)

    def run(x: Tensor) -> Tensor:
        projected = cell.project(x)
        pieces = projected.unbind(0) if isinstance(projected, Tensor) else zip(*(p.unbind(0) for p in projected))  # noqa: B905
        state, outputs = cell.initial_state(x.shape[1]), []
        for piece in pieces:
            y, state = step(piece, state)
            outputs.append(y)
        return torch.stack(outputs)

    return contender(name, problem, run, dict(cell.named_parameters()))


def _torch_layer(problem: Problem) -> tuple[nn.RNNBase, dict[str, Tensor]] | None:
    """torch.nn's layer with the problem's weights, and these by the cell's names, which are torch.nn's without _l0."""
    named = CELLS[problem.cell].torch_nn
    if named is None:
        return None
    layer = getattr(nn, named)(problem.shape.inputs, problem.shape.hidden)
    layer.load_state_dict({f"{name}_l0": weight for name, weight in problem.weights.items()})
    return layer, {name: getattr(layer, f"{name}_l0") for name in problem.weights}


def torch_nn(problem: Problem) -> Contender | None:
    """torch.nn's layer (oneDNN for the LSTM), where it has the cell."""
    found = _torch_layer(problem)
    if found is None:
        return None
    layer, weights = found
    return contender("torch.nn", problem, lambda x: layer(x)[0], weights)


def packed(problem: Problem) -> Contender | None:
    """torch.nn's layer on a packed sequence; the time includes packing and unpacking, as ours takes padded tensors."""
    found = _torch_layer(problem)
    if found is None:
        return None
    layer, weights = found
    lengths, steps = problem.lengths, problem.shape.time
    assert lengths is not None

    def run(x: Tensor) -> Tensor:
        y, _ = layer(pack_padded_sequence(x, lengths, enforce_sorted=True))
        return pad_packed_sequence(y, total_length=steps)[0]

    return contender("torch.nn packed", problem, run, weights)
