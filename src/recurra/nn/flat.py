"""Weights under torch.nn's names (`weight_ih_l0_reverse`): the layer owns them, its cells read them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from recurra.cells.base import Cell
from recurra.nn.layer import Layer


def suffixes(layer: Layer) -> list[str]:
    """The endings of the weights' names, one a cell: l0, l0_reverse, l1 ..."""
    ends = ["", "_reverse"][: layer.directions]
    return [f"l{index}{end}" for index in range(layer.num_layers) for end in ends]


def make_templates(layer: Layer, kind: Any, **arguments: Any) -> tuple[Cell, ...]:
    """Cells without numbers, one a layer and direction; they say which weights there are and how a step goes."""
    cells: list[Cell] = []
    for index in range(layer.num_layers):
        features = layer.input_size if index == 0 else cells[-1].output_size * layer.directions
        cells.extend(kind(features, layer.hidden_size, device="meta", **arguments) for _ in range(layer.directions))
    return tuple(cells)


def register_weights(layer: Layer, templates: Sequence[Cell], device: Any, dtype: Any) -> None:
    """Make the layer's weights in torch.nn's order and draw them in torch.nn's manner: same seed, same numbers."""
    for cell, suffix in zip(templates, suffixes(layer), strict=True):
        for name, weight in cell.named_parameters():
            empty = torch.empty(weight.shape, device=device, dtype=dtype)
            layer.register_parameter(f"{name}_{suffix}", nn.Parameter(empty))
    for cell in bind_cells(layer, templates):
        cell.reset_parameters()


def bind_cells(layer: Layer, templates: Sequence[Cell]) -> tuple[Cell, ...]:
    """The cells with the layer's present weights.

    They are bound anew at every call, so that whatever stands in the layer counts: weights moved to another device, a
    parametrisation, or the tensors of `torch.func.functional_call`.
    """
    cells = []
    for template, suffix in zip(templates, suffixes(layer), strict=True):
        cell = copy.copy(template)
        weights = template._parameters.items()
        cell._parameters = {name: None if w is None else getattr(layer, f"{name}_{suffix}") for name, w in weights}
        cells.append(cell)
    return tuple(cells)
