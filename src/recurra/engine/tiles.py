"""How a group's columns are cut into tiles, and where its packed weights stand."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from recurra.engine.graph import Node
from recurra.engine.machine import Machine
from recurra.engine.plan import Group, Program


@dataclass(frozen=True)
class Tile:
    """Tiles of one form, side by side.

    Attributes:
        start: the first column.
        count: how many such tiles.
        vectors: vectors of columns in each.
        lanes: numbers of the last vector that are columns; less than a vector's in the last tile only.
    """

    start: int
    count: int
    vectors: int
    lanes: int


@dataclass(frozen=True)
class Panel:
    """A product's weights for one group, packed in the order in which the loop reads them.

    Attributes:
        buffer: its name.
        product: the product's number.
        columns: the first columns of the product that the group uses, one a piece of the group's width.
    """

    buffer: str
    product: int
    columns: tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """A group's tiles, panels and rows at a time."""

    tiles: tuple[Tile, ...]
    panels: tuple[Panel, ...]
    rows: int


def products_of(group: Group, program: Program, own: int) -> list[Node]:
    """The pieces of products that a group computes, in the order of their first use."""
    found: dict[Node, None] = {}
    seen: set[Node] = set()

    def visit(node: Node, root: bool) -> None:
        if node in seen:
            return
        seen.add(node)
        if node in program.given or (node in program.places and not root):
            return
        if node.op == "product":
            found[node] = None
        for arg in node.args:
            visit(arg, False)

    for store in group.stores:
        # A node that is stored here may itself stand in memory for later stages; here it is computed.
        seen.discard(store.node)
        visit(store.node, True)
    return list(found)


def lay_out(group: Group, program: Program, stage: int, number: int, machine: Machine, double: bool) -> Layout:
    """Choose the tiles of a group."""
    lanes = machine.lanes(double)
    pieces = products_of(group, program, stage)
    by_product: dict[int, list[int]] = {}
    for node in pieces:
        by_product.setdefault(node.data[0], []).append(node.data[1])
    panels = tuple(
        Panel(f"p{stage}_{number}_{product}", product, tuple(columns)) for product, columns in by_product.items()
    )
    wide = max(1, min(4 // max(1, len(pieces)), group.width // lanes)) if pieces else 1
    tiles, start = [], 0
    for vectors in dict.fromkeys((wide, 1)):
        count = (group.width - start) // (vectors * lanes)
        if count:
            tiles.append(Tile(start, count, vectors, lanes))
            start += count * vectors * lanes
    if start < group.width:
        tiles.append(Tile(start, 1, 1, group.width - start))
    used = len(pieces) * wide
    rows = max(1, min(8, (machine.registers - 2 - used) // used)) if pieces else 1
    return Layout(tuple(tiles), panels, rows)


def pack(weight: Tensor, panel: Panel, layout: Layout, width: int, lanes: int) -> Tensor:
    """A product's weights (rows, columns) as the loop reads them: tile by tile, row by row, piece by piece."""
    parts = []
    pieces = torch.stack([weight[:, column : column + width] for column in panel.columns], dim=1)
    for tile in layout.tiles:
        if tile.lanes < lanes:
            last = pieces[:, :, tile.start :]
            parts.append(torch.nn.functional.pad(last, (0, lanes - tile.lanes)).reshape(-1))
            continue
        span = tile.vectors * lanes
        block = pieces[:, :, tile.start : tile.start + tile.count * span]
        block = block.reshape(weight.shape[0], len(panel.columns), tile.count, span)
        parts.append(block.permute(2, 0, 1, 3).reshape(-1))
    return torch.cat(parts).contiguous()
