"""How a group's columns are cut into tiles, and where its packed weights stand."""

from __future__ import annotations

from dataclasses import dataclass

from recurra.engine.graph import Node
from recurra.engine.plan import Group, Program
from recurra.native.machine import Machine


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


def leaves_of(group: Group, program: Program) -> list[Node]:
    """The nodes that a group reads from memory, a whole vector at a time and another for each row."""
    found: dict[Node, None] = {}
    seen: set[Node] = set()
    own = {store.node for store in group.stores} - program.given

    def visit(node: Node) -> None:
        if node in seen:
            return
        seen.add(node)
        if node not in own and node in program.places:
            if node.width > 1:
                found[node] = None
            return
        if node.op == "input" and node.width > 1:
            found[node] = None
        for arg in node.args:
            visit(arg)

    for store in group.stores:
        visit(store.node)
    return list(found)


def starts_of(group: Group, program: Program, panels: tuple[Panel, ...]) -> dict[tuple[int, int], Node]:
    """What the sums of pieces of products (product, column) start from, where it is added to them and to nothing else.

    It is a parameter, or another product's piece, or such a piece to which something was added in this way.
    """
    users: dict[Node, int] = {}
    adds: list[Node] = []
    seen: set[Node] = set()

    def visit(node: Node, root: bool) -> None:
        if node in seen or node in program.given or (node in program.places and not root):
            return
        seen.add(node)
        for arg in node.args:
            users[arg] = users.get(arg, 0) + 1
            visit(arg, False)
        if node.op == "add" and node.args[0].width == node.width:
            adds.append(node)

    for store in group.stores:
        visit(store.node, True)
    own = {store.node for store in group.stores}
    order = {panel.product: place for place, panel in enumerate(panels)}
    found: dict[tuple[int, int], Node] = {}
    ends: dict[Node, Node] = {}  # for a sum that is started so, the product's piece that holds it
    for add in adds:
        first, second = add.args
        for x, y in ((first, second), (second, first)):
            if x.op != "product" or users[x] > 1 or x in own or x in program.places or x.data in found:
                continue
            if y.op == "param" and y.width in (1, x.width):
                found[x.data] = y
                ends[add] = x
                break
            held = ends.get(y, y)
            if held.op != "product" or held.width != x.width or users[y] > 1 or y in own or y in program.places:
                continue
            if held.data[0] in order and order[held.data[0]] < order[x.data[0]]:
                found[x.data] = y
                ends[add] = x
                break
    return found


def lay_out(group: Group, program: Program, stage: int, number: int, machine: Machine, double: bool) -> Layout:
    """Choose the tiles of a group."""
    lanes = machine.lanes(double)
    pieces = products_of(group, program, stage)
    by_product: dict[int, list[int]] = {}
    for node in pieces:
        by_product.setdefault(node.data[0], []).append(node.data[1])
    panels = tuple(
        Panel(f"p{stage}_{number}_{product}", product, tuple(sorted(columns)))
        for product, columns in by_product.items()
    )
    most = max((len(panel.columns) for panel in panels), default=1)
    wide = max(1, min(4 // most, group.width // lanes)) if pieces else 1
    tiles, start = [], 0
    for vectors in dict.fromkeys((wide, 1)):
        count = (group.width - start) // (vectors * lanes)
        if count:
            tiles.append(Tile(start, count, vectors, lanes))
            start += count * vectors * lanes
    if start < group.width:
        tiles.append(Tile(start, 1, 1, group.width - start))
    used = most * wide
    rows = max(1, min(8, (machine.registers - 2 - used) // used)) if pieces else 1
    return Layout(tuple(tiles), panels, rows)
