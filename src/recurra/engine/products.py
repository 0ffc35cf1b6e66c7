"""Products of rows with weights, in blocks of rows by vectors of columns that stay in registers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from recurra.engine.frame import Frame
from recurra.engine.graph import Node
from recurra.engine.tiles import Layout, Panel, Tile
from recurra.engine.values import Values
from recurra.native.vectors import I64

NEAR = 1 << 20
"""Bytes of weights from which on they are fetched ahead."""


@dataclass(frozen=True)
class Block:
    """Some rows of a tile.

    Attributes:
        layout, tile: which.
        panels: the addresses of the tile's weights.
        starts: what products' sums start from.
        row, column: the first.
        number: the block's place among those of its tile.
    """

    layout: Layout
    tile: Tile
    panels: dict[str, Any]
    starts: dict[tuple[Any, ...], Node]
    row: Any
    column: Any
    number: Any


class Products:
    """Writes the products of a function.

    Args:
        frame: the function.
        values: its element-wise part.
        layouts: all that hold products.
    """

    def __init__(self, frame: Frame, values: Values, layouts: list[Layout]):
        self.f, self.values = frame, values
        count = max((self._sums(layout) for layout in layouts), default=0)
        if count:
            self.stack = frame.b.alloca(frame.v.kind, count)
            self.stack.align = frame.aligned

    @staticmethod
    def _sums(layout: Layout) -> int:
        """Vectors of sums that a tile's products give."""
        widest = max((tile.vectors for tile in layout.tiles), default=1)
        return layout.rows * widest * sum(len(panel.columns) for panel in layout.panels)

    def by_count(self, count: Any, leaves: list[Node], block: Block) -> None:
        """The products for each number of rows, of which the one that is there is run."""
        b, most = self.f.b, block.layout.rows
        end = self.f.function.append_basic_block("counted")
        blocks = [self.f.function.append_basic_block(f"rows_{n + 1}") for n in range(most)]
        switch = b.switch(count, blocks[-1])
        for n, each in enumerate(blocks[:-1]):
            switch.add_case(I64(n + 1), each)
        for n, each in enumerate(blocks):
            b.position_at_end(each)
            self._ask(leaves, n + 1, block.tile, block.row, block.column)
            self._products(block, n + 1)
            b.branch(end)
        b.position_at_end(end)

    def _ask(self, leaves: list[Node], rows: int, tile: Tile, row: Any, column: Any) -> None:
        """Have what follows the products fetched while they are computed."""
        for node in leaves:
            place = self.f.program.places.get(node) or self.f.input_place(node)
            for r in range(rows):
                start = self.f.at(place, self.f.b.add(row, I64(r)) if r else row, column)
                for vector in range(tile.vectors):
                    self.f.v.prefetch(
                        self.f.b.gep(start, [I64(vector * self.f.lanes * self.f.size)]) if vector else start
                    )

    def _far(self, layout: Layout, panel: Panel) -> bool:
        """Whether a panel's weights are too many to stay in the second cache."""
        columns = sum(tile.count * tile.vectors for tile in layout.tiles) * self.f.lanes * len(panel.columns)
        return columns * self.f.program.nodes.products[panel.product].rows * self.f.size > NEAR

    def _slot(self, layout: Layout, tile: Tile, r: Any, number: int) -> Any:
        """Where a vector of sums stands until the rest of its row is computed."""
        count = sum(len(panel.columns) for panel in layout.panels) * tile.vectors
        return self.f.b.gep(self.stack, [self.f.b.add(self.f.b.mul(r, I64(count)), I64(number))])

    def sums_of(self, layout: Layout, tile: Tile, r: Any, vector: int) -> dict[tuple[int, int], Any]:
        found, number = {}, 0
        for panel in layout.panels:
            for first in panel.columns:
                value = self.f.b.load(self._slot(layout, tile, r, number + vector))
                value.align = self.f.aligned
                found[panel.product, first] = value
                number += tile.vectors
        return found

    def _products(self, block: Block, rows: int) -> None:
        """The sums over k of h[row, k] weight[k, column], for all of a tile, onto the stack."""
        layout, tile, panels, starts = block.layout, block.tile, block.panels, block.starts
        row = block.row
        b, v = self.f.b, self.f.v
        number = 0
        for panel in layout.panels:
            product, place = self.f.program.nodes.products[panel.product], self.f.program.products[panel.product]
            pieces, count = len(panel.columns), product.rows
            line = pieces * tile.vectors
            # With few sums each must wait for its last addition; more of them, over every second or fourth k, do not.
            ways = next((n for n in (4, 2) if rows * line * n <= 8 and count % n == 0), 1)
            sources = [self.f.at(place, b.add(row, I64(r)) if r else row, I64(0)) for r in range(rows)]
            firsts = [
                [self._start(starts.get((panel.product, first)), block, r, vector) for r in range(rows)]
                for first in panel.columns
                for vector in range(tile.vectors)
            ]
            before = b.block
            body, end = self.f.function.append_basic_block("k"), self.f.function.append_basic_block("k_end")
            b.branch(body)
            b.position_at_end(body)
            k = b.phi(I64)
            k.add_incoming(I64(0), before)
            totals = [[[b.phi(v.kind) for _ in range(line)] for _ in range(rows)] for _ in range(ways)]
            for way, of_way in enumerate(totals):
                for r, of_row in enumerate(of_way):
                    for total, start in zip(of_row, firsts, strict=True):
                        total.add_incoming(v.const(0.0) if way else start[r], before)
            sums = []
            if layout.rows > 1 and rows > layout.rows // 2 and self._far(layout, panel):
                # While rows pass, the next tile's weights come nearer, a line a step.
                part = b.select(b.icmp_signed("<", block.number, I64(line - 1)), block.number, I64(line - 1))
                line_number = b.add(b.mul(b.add(part, I64(line)), I64(count)), k)
                v.prefetch(b.gep(panels[panel.buffer], [b.mul(line_number, I64(self.f.lanes * self.f.size))]), 2)
            for way in range(ways):
                step = b.add(k, I64(way)) if way else k
                start = b.gep(panels[panel.buffer], [b.mul(step, I64(line * self.f.lanes * self.f.size))])
                weights = [
                    v.load(b.gep(start, [I64(n * self.f.lanes * self.f.size)]), self.f.lanes) for n in range(line)
                ]
                for r, source in enumerate(sources):
                    pointer = b.bitcast(b.gep(source, [b.mul(step, I64(self.f.size))]), v.number.as_pointer())
                    value = v.splat(b.load(pointer))
                    sums.append(
                        [v.fma(value, weight, total) for weight, total in zip(weights, totals[way][r], strict=True)]
                    )
            following = b.add(k, I64(ways))
            k.add_incoming(following, body)
            for way in range(ways):
                for r in range(rows):
                    for total, value in zip(totals[way][r], sums[way * rows + r], strict=True):
                        total.add_incoming(value, body)
            b.cbranch(b.icmp_signed("<", following, I64(count)), body, end)
            b.position_at_end(end)
            for r in range(rows):
                for n in range(line):
                    value = sums[r][n]
                    for way in range(1, ways):
                        value = b.fadd(value, sums[way * rows + r][n])
                    b.store(value, self._slot(layout, tile, I64(r), number + n)).align = self.f.aligned
            number += line

    def _start(self, node: Node | None, block: Block, r: int, vector: int) -> Any:
        """What a vector of sums starts from: nothing, a parameter, or what another product has given."""
        layout, tile, column = block.layout, block.tile, block.column
        if node is None:
            return self.f.v.const(0.0)
        if node.op == "param":
            return self.values.param(node, tile, column, vector)
        while node.op != "product":
            # The sum of a product and what it started from stands where the product does.
            x, y = node.args
            node = x if x.op == "product" and self.values.started.get(x.data) is y else y
        number = 0
        for panel in layout.panels:
            for first in panel.columns:
                if (panel.product, first) == node.data:
                    found = self.f.b.load(self._slot(layout, tile, I64(r), number + vector))
                    found.align = self.f.aligned
                    return found
                number += tile.vectors
        raise AssertionError("a product that is not in this group")
