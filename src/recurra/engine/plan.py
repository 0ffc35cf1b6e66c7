"""The order of work inside a step: stages between products, what stands in memory, what is kept for the gradient."""

from __future__ import annotations

from dataclasses import dataclass, field

from recurra.engine.graph import COMPARE, Node, Nodes
from recurra.engine.keep import choose_kept, inputs_of
from recurra.engine.lower import Lowered


@dataclass(frozen=True)
class Place:
    """Columns of a buffer: `columns` of them from `start`, in a buffer of rows of `width` columns."""

    buffer: str
    start: int
    width: int


@dataclass(frozen=True, eq=False)
class Store:
    """A node that is written to memory.

    Attributes:
        node: what is written.
        place: where to.
        unread: what a row gets that is left out at this step: "zero", or the buffer whose same columns it keeps, or
            None where it does not matter.
    """

    node: Node
    place: Place
    unread: str | None


@dataclass
class Group:
    """Stores of one width that are computed together, tile by tile."""

    width: int
    stores: list[Store] = field(default_factory=list)


@dataclass
class Program:
    """What one step does, forward or backward.

    Attributes:
        stages: groups in the order of work; between stages, products wait for whole rows.
        products: for each product number that is used, the place its input rows stand in.
        places: for each node that stands in memory before it is used, where.
        buffers: columns of each buffer.
        scratch: the buffers that live within a step only.
        given: the nodes that stand in memory before the step.
    """

    nodes: Nodes
    stages: list[list[Group]]
    products: dict[int, Place]
    places: dict[Node, Place]
    buffers: dict[str, int]
    scratch: set[str]
    given: set[Node]


@dataclass
class Plan:
    """The programs of a cell's step, and how their buffers relate.

    Attributes:
        forward: without anything kept for a gradient.
        training: forward, and keeps what `backward` reads.
        forward_masked, training_masked: the same, with y written apart from the state, as steps left out give 0.
        backward: the gradient.
        kept: columns of the buffer that passes from `training` to `backward`.
        output_from: where y is the same nodes as a part of the next state, the number of that part; else None.
        summed: for each sequence that is read after the loop, the place it stands in, and its columns.
        reads: names of the buffers of the forward pass that the backward pass, or what comes after it, reads.
    """

    forward: Program
    training: Program
    forward_masked: Program
    training_masked: Program
    backward: Program
    kept: int
    output_from: int | None
    summed: list[tuple[Place, int]]
    reads: set[str]

    @property
    def stream(self) -> Program:
        """A single step, whose next state stands beside the last one."""
        return self.forward

    def program(self, which: str, masked: bool) -> Program:
        """A program by its name."""
        found: Program = getattr(self, f"{which}_masked" if masked and which in ("forward", "training") else which)
        return found


def make_plan(lowered: Lowered, states: int, double: bool) -> Plan:
    """Plan both directions of a step.

    Buffers by name: x; e0 ... products of x made before the loop; s0 ... states before the step, n0 ... after it, y,
    dt, kept; gy and g0 ... gradients of y and of the states after the step; d0 ... gradients of the states before the
    step; w0 ... further sequences that are read after the loop; t0 ... scratch.

    Args:
        lowered: the step.
        states: parts of the state.
        double: whether numbers are float64, whose functions are dear.
    """
    nodes, widths = lowered.nodes, dict(lowered.widths)
    y, *after = lowered.outputs
    output_from = next((k for k, part in enumerate(after) if _alike(part, y)), None)
    widths["y"] = sum(node.width for node in y)
    widths |= {f"n{k}": sum(node.width for node in part) for k, part in enumerate(after)}

    stores: list[tuple[Node, Place, str | None]] = []
    for k, part in enumerate(after):
        stores += _stores(part, f"n{k}", widths[f"n{k}"], f"s{k}")
    standing = {
        node: place for node, place, _ in reversed(stores) if not node.later and node.op not in ("input", "fill")
    }
    apart = stores + _stores(y, "y", widths["y"], "zero")
    if output_from is None:
        stores = apart

    back: list[tuple[Node, Place, str | None]] = []
    for k, part in enumerate(lowered.gradients):
        widths[f"d{k}"] = sum(node.width for node in part)
        back += _stores(part, f"d{k}", widths[f"d{k}"], f"g{k}")
    summed: list[tuple[Place, int]] = []
    for sequence in lowered.summed:
        place = _standing(sequence, back, {name: width for name, width in widths.items() if name[0] in "xs"})
        if place is None:
            name = f"w{sum(each.buffer.startswith('w') for each, _ in summed)}"
            widths[name] = sum(node.width for node in sequence)
            back += _stores(sequence, name, widths[name], "zero")
            place = Place(name, 0, widths[name])
        summed.append((place, sum(node.width for node in sequence)))

    kept, read = choose_kept([node for node, _, _ in back], nodes, set(standing), double)
    places, column = {}, 0
    for node in kept:
        places[node] = Place("kept", column, 0)
        column += node.width
    places = {node: Place("kept", place.start, column) for node, place in places.items()}
    widths["kept"] = column
    saves: list[tuple[Node, Place, str | None]] = [(node, place, None) for node, place in places.items()]
    places |= {node: standing[node] for node in read}

    forward = _program(nodes, stores, {}, widths)
    training = _program(nodes, stores + saves, {}, widths)
    backward = _program(nodes, back, places, widths)
    reads = {place.buffer for place, _ in summed} | {f"s{standing[node].buffer[1:]}" for node in read}
    reads |= inputs_of([node for node, _, _ in back], set(places), nodes)
    forward_masked = _program(nodes, apart, {}, widths)
    training_masked = _program(nodes, apart + saves, {}, widths)
    return Plan(forward, training, forward_masked, training_masked, backward, column, output_from, summed, reads)


def _alike(a: tuple[Node, ...], b: tuple[Node, ...]) -> bool:
    return len(a) == len(b) and all(x is y for x, y in zip(a, b, strict=True))


def _stores(
    part: tuple[Node, ...], buffer: str, width: int, unread: str | None
) -> list[tuple[Node, Place, str | None]]:
    found, column = [], 0
    for node in part:
        found.append((node, Place(buffer, column, width), unread))
        column += node.width
    return found


def _standing(
    sequence: tuple[Node, ...], stores: list[tuple[Node, Place, str | None]], inputs: dict[str, int]
) -> Place | None:
    """Where these nodes already stand side by side, at every step: among the inputs, or in what the loop writes."""
    first = sequence[0]
    if all(node.op == "input" and node.data[0] == first.data[0] for node in sequence) and first.data[0] in inputs:
        column = first.data[1]
        for node in sequence:
            if node.data[1] != column:
                return None
            column += node.width
        return Place(first.data[0], first.data[1], inputs[first.data[0]])
    for node, place, unread in stores:
        if node is first and unread == "zero":
            column = place.start
            standing = {(p.buffer, p.start): n for n, p, _ in stores}
            for each in sequence:
                if standing.get((place.buffer, column)) is not each:
                    break
                column += each.width
            else:
                return place
    return None


def _program(
    nodes: Nodes,
    wanted: list[tuple[Node, Place, str | None]],
    given: dict[Node, Place],
    widths: dict[str, int],
) -> Program:
    """Lay the computation of the wanted nodes out in stages.

    A node's stage is the number of products in a row before it, where what is given counts as an input.
    """
    stage_of: dict[Node, int] = {}

    def stage(node: Node) -> int:
        if node not in stage_of:
            if node in given or not node.width:
                stage_of[node] = 0
            elif node.op == "product":
                stage_of[node] = 1 + max(stage(arg) for arg in nodes.products[node.data[0]].inputs)
            else:
                stage_of[node] = max((stage(arg) for arg in node.args), default=0)
        return stage_of[node]

    stores = [Store(*each) for each in wanted]
    places = dict(given)
    buffers, scratch, products = dict(widths), set[str](), dict[int, Place]()

    def new_scratch(width: int) -> str:
        name = f"t{len(scratch)}"
        scratch.add(name)
        buffers[name] = width
        return name

    # Products' input rows: where they stand already, or a scratch buffer that is filled on the way.
    reached: dict[Node, None] = {}

    def reach(node: Node) -> None:
        if node in reached or node in given or not node.width:
            return
        if node.op == "product" and node.data[0] not in products:
            product = nodes.products[node.data[0]]
            for arg in product.inputs:
                reach(arg)
            products[node.data[0]] = _rows_of(product.inputs, stores, given, widths, new_scratch)
        for arg in node.args:
            reach(arg)
        reached[node] = None

    for node, _, _ in wanted:
        reach(node)
    # Values that are needed at a later stage than their own, and cannot be computed again there.
    spilled: dict[Node, None] = {}
    seen: set[tuple[Node, int]] = set()

    def use(node: Node, at: int, wide: bool = False) -> None:
        if (node, at) in seen and not wide or node in given or node.op in ("input", "param", "scalar"):
            return
        seen.add((node, at))
        own = stage(node)
        if (at > own > 0 and node.op not in COMPARE) or (node.width == 1 and wide):
            spilled[node] = None
            at = own
        for arg in node.args:
            use(arg, at, node.width > 1 and arg.width == 1)

    for store in list(stores):
        use(store.node, stage(store.node))
    for node in spilled:
        if node not in places:
            standing = next((s.place for s in stores if s.node is node and s.place.buffer in scratch), None)
            places[node] = standing or Place(new_scratch(node.width), 0, node.width)
            if standing is None:
                stores.append(Store(node, places[node], None))

    count = 1 + max((stage(store.node) for store in stores), default=0)
    stages: list[list[Group]] = [[] for _ in range(count)]
    for store in stores:
        groups = stages[stage(store.node)]
        group = next((g for g in groups if g.width == store.node.width), None)
        if group is None:
            group = Group(store.node.width)
            groups.append(group)
        group.stores.append(store)
    for groups in stages:
        # A value of one column may be used by wider ones of the same stage, and so comes first.
        groups.sort(key=lambda group: group.width != 1)
    return Program(nodes, stages, products, places, buffers, scratch, set(given))


def _rows_of(
    inputs: tuple[Node, ...],
    stores: list[Store],
    given: dict[Node, Place],
    widths: dict[str, int],
    new_scratch: object,
) -> Place:
    """The place where a product's input nodes stand side by side; stores are added where they do not yet."""
    first = inputs[0]
    if all(node.op == "input" and node.data[0] == first.data[0] for node in inputs):
        columns = [first.data[1] + sum(n.width for n in inputs[:k]) for k in range(len(inputs))]
        if columns == [node.data[1] for node in inputs]:
            return Place(first.data[0], first.data[1], widths[first.data[0]])
    standing = {(s.place.buffer, s.place.start): s for s in stores if s.unread != "keep"}
    for store in stores:
        if store.node is first and store.place.buffer[0] in "dwt" and store.unread != f"g{store.place.buffer[1:]}":
            column = store.place.start
            for node in inputs:
                there = standing.get((store.place.buffer, column))
                if there is None or there.node is not node:
                    break
                column += node.width
            else:
                return store.place
    width = sum(node.width for node in inputs)
    name = new_scratch(width)  # type: ignore[operator]
    column = 0
    for node in inputs:
        stores.append(Store(node, Place(name, column, width), None))
        column += node.width
    return Place(name, 0, width)
