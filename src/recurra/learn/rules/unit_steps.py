"""Steps of a cell whose units meet nowhere but in products of weights with the input or the state."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from recurra.cells.state import map_state, state_tensors
from recurra.learn.rules.recorded_steps import RecordedSteps, Unsuited
from recurra.learn.rules.step_function import Blocks, StepFunction

ROUNDING = 256.0
"""By how many units in the last place of the largest number two ways of computing a derivative may differ."""


@dataclass
class Product:
    """A product q = W z + b that enters the units: row g n + i of W, block g, belongs to unit i.

    Attributes:
        weight, bias: the numbers of W and b among the trained weights; None where they are not trained or absent.
        matrix: W as (blocks, n, columns).
        source: which part of the state z is; None for what does not depend on the state.
        read: z, (time, batch, columns).
        slope: the derivative of each part of the unit's state by its entries of q, (parts, time, batch, blocks, n).
    """

    weight: int | None
    bias: int | None
    matrix: Tensor
    source: int | None
    read: Tensor
    slope: Tensor

    @property
    def blocks(self) -> int:
        """How many entries of q a unit has."""
        return self.matrix.shape[0]

    @property
    def columns(self) -> int:
        """Entries of z."""
        return self.matrix.shape[2]


@dataclass
class UnitSteps:
    """The derivatives of consecutive steps.

    Equations:
        s_t[a, i] = f_a(s_{t-1}[., i], q_t[., i]), q = W z_t + b, with z_t the input or a part of s_{t-1}; so
        ds_t[a, i]/ds_{t-1}[c, j] = delta_ij own[a, c] + sum over products of the part c and blocks g of
        slope[a, g] W[g, i, j],
        ds_t[a, i]/dW[g, i, j] = slope[a, g] z[j].

    Attributes:
        recorded: the steps.
        products: all of the cell.
        own: for each part a and each part c of a unit's state the derivative past products, (time, batch, n), or None
            where there is none.
        gathered: the sum over the steps of (dL_t/ds_t) M_t, once a rule has carried M through them.
    """

    recorded: RecordedSteps
    products: list[Product]
    own: list[list[Tensor | None]]
    gathered: Blocks = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """Time steps."""
        return self.recorded.steps

    @property
    def size(self) -> int:
        """Sequences."""
        return self.recorded.size

    @property
    def parts(self) -> int:
        """Parts of the state, n numbers each."""
        return len(self.own)

    @property
    def units(self) -> int:
        """n, the numbers of a part."""
        return self.recorded.before[0].shape[2]

    @property
    def like(self) -> Tensor:
        """A part of the state, (time, batch, n)."""
        return self.recorded.before[0]


def unit_steps(recorded: RecordedSteps, function: StepFunction, kept: dict[str, Any]) -> UnitSteps:
    """The derivatives of recorded steps, all steps and sequences in one pass.

    Args:
        recorded: the steps.
        function: whose trained weights count.
        kept: what holds for other streams too.

    Raises:
        Unsuited: units, steps or sequences meet otherwise than in products, or weights enter otherwise.
    """
    cell, rows = recorded.cell, recorded.steps * recorded.size
    units = recorded.before[0].shape[2]
    if any(part.dim() != 3 or part.shape[2] != units for part in recorded.before):
        raise Unsuited("the parts of the state differ in size")
    parts = [part.view(rows, units).requires_grad_() for part in recorded.before]
    places = iter(parts)
    kind: Any = type(cell)
    with torch.enable_grad(), _Cut(parts, cell) as cut:
        state = map_state(lambda _: next(places), recorded.first)
        _, after = kind.advance(cell, kind.project(cell, recorded.x.reshape(rows, -1)), state)
    made = state_tensors(after)
    leaves = [leaf for _, _, _, leaf in cut.found]
    if any(leaf.shape[1] % units for leaf in leaves) or any(part.shape != (rows, units) for part in made):
        raise Unsuited("a product does not have the size of the state")
    numbers = {id(weight): number for number, weight in enumerate(function.parameters)}
    taken = [id(each) for weight, bias, _, _ in cut.found for each in (weight, bias) if each is not None]
    trained = [weight for weight in cell.parameters() if weight.requires_grad]
    if len(set(taken)) != len(taken) or any(id(weight) not in taken for weight in trained):
        raise Unsuited("a weight enters otherwise than in one product")
    inputs = [*leaves, *parts]
    one = torch.ones_like(parts[0])
    pulled = [_pull([part], inputs, [one]) for part in made]
    kept["looks"] = looks = kept.get("looks", 0) + 1
    if looks & (looks - 1) == 0:  # what the cell's operations are does not change: ever more rarely
        _check_apart(made, inputs, pulled, trained, kept)
    shape = (recorded.steps, recorded.size)
    products = []
    for k, (weight, bias, given, leaf) in enumerate(cut.found):
        slopes = [torch.zeros_like(leaf) if found[k] is None else found[k] for found in pulled]
        slope = torch.stack(slopes) if len(slopes) > 1 else slopes[0].unsqueeze(0)
        source = next((c for c, part in enumerate(parts) if given is part), None)
        products.append(
            Product(
                numbers.get(id(weight)),
                None if bias is None else numbers.get(id(bias)),
                weight.detach().view(-1, units, weight.shape[1]),
                source,
                given.detach().view(*shape, -1),
                slope.view(len(made), *shape, leaf.shape[1] // units, units),
            )
        )
    own = [[None if g is None else g.view(*shape, units) for g in found[len(leaves) :]] for found in pulled]
    return UnitSteps(recorded, products, own)


def _pull(made: list[Tensor], inputs: list[Tensor], cotangents: list[Tensor]) -> list[Any]:
    """The derivatives of parts of the state by products and parts before; None where there is none."""
    pairs = [(part, row) for part, row in zip(made, cotangents, strict=True) if part.requires_grad]
    if not pairs:
        return [None] * len(inputs)
    parts, rows = zip(*pairs, strict=True)
    return list(torch.autograd.grad(parts, inputs, rows, retain_graph=True, allow_unused=True))


def _check_apart(
    made: list[Tensor], inputs: list[Tensor], pulled: list[list[Any]], trained: list[Any], kept: dict[str, Any]
) -> None:
    """Refuse what acts on another unit or another row, and weights outside of products.

    Where each number acts on its own unit and row alone, what comes back for random numbers is these times what comes
    back for ones.
    """
    chance = kept.setdefault("probes", torch.Generator().manual_seed(0))
    rows, units = made[0].shape
    probes = [torch.rand(rows, units, generator=chance, dtype=made[0].dtype) + 0.5 for _ in made]
    found = _pull(made, [*inputs, *trained], probes)
    if any(g is not None for g in found[len(inputs) :]):
        raise Unsuited("a weight enters otherwise than in one product")
    off, most = [], []
    for k, got in enumerate(found[: len(inputs)]):
        if got is not None:
            parts = [(probe, ones[k]) for probe, ones in zip(probes, pulled, strict=True) if ones[k] is not None]
            wanted = sum(probe.unsqueeze(1) * one.view(rows, -1, units) for probe, one in parts)
            off.append((got.view(rows, -1, units) - wanted).abs().max())
            most.append(got.abs().max())
    if not off:
        return
    allowed = ROUNDING * torch.finfo(made[0].dtype).eps * float(torch.stack(most).max())
    if not float(torch.stack(off).max()) <= allowed:
        raise Unsuited("units or sequences act on one another otherwise than in products")


class _Cut(TorchFunctionMode):
    """Makes each product of a cell's own weights a leaf of the graph."""

    def __init__(self, parts: list[Tensor], cell: Any):
        super().__init__()
        self.parts, self.own = parts, {id(weight) for weight in cell.parameters()}
        self.found: list[tuple[Tensor, Tensor | None, Tensor, Tensor]] = []

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function is not F.linear:
            return function(*args, **kwargs)
        given, weight, bias = _arguments(*args, **kwargs)
        if id(weight) not in self.own or (bias is not None and id(bias) not in self.own):
            return function(*args, **kwargs)
        if given.requires_grad and not any(given is part for part in self.parts):
            raise Unsuited("a product reads what another one made")
        with torch.no_grad():
            leaf = function(given, weight, bias)
        self.found.append((weight, bias, given, leaf.requires_grad_()))
        return leaf


def _arguments(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor | None]:
    return input, weight, bias
