"""Kosko's bidirectional associative memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from recurra.cells.base import Cell, check_size
from recurra.cells.time_step import check_choice
from recurra.errors import ShapeError, UsageError
from recurra.memory.hopfield import check_update_temperature
from recurra.memory.recall import Recall, recall_by_units
from recurra.memory.spins import check_spins, sign_or_keep
from recurra.memory.stored import Connections, StoredPatterns
from recurra.relax import relax

UPDATES = ("synchronous", "asynchronous", "gibbs")


class BidirectionalState(NamedTuple):
    """The units of both sides.

    Attributes:
        first: (batch, first_size).
        second: (batch, second_size).
    """

    first: Tensor
    second: Tensor


class BidirectionalCell(Cell):
    """A bidirectional associative memory as a cell: the second side follows the first, then the first the second.

    Equations:
        b_t = sgn(a_{t-1} M + x^b_t),  a_t = sgn(b_t M^T + x^a_t),  y_t = (a_t, b_t); a unit whose field is 0 stays.

    Args:
        first_size, second_size: units of the two sides.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x = (x^a, x^b), external fields, and y (batch, first_size + second_size); weight_hh = M (first_size,
        second_size), drawn uniform in +-1/sqrt(first_size + second_size).

    Raises:
        UsageError: a size is not positive.
        ShapeError: x or the state does not fit.

    Reference:
        B. Kosko. Bidirectional associative memories. IEEE Transactions on Systems, Man, and Cybernetics 18 (1988)
        49-60.

    Example:
        >>> import torch
        >>> cell = BidirectionalCell(3, 2)
        >>> y, state = cell(torch.zeros(1, 5), BidirectionalState(torch.ones(1, 3), torch.ones(1, 2)))
        >>> y.shape, state.second.shape
        (torch.Size([1, 5]), torch.Size([1, 2]))
    """

    weight_hh: Tensor

    def __init__(self, first_size: int, second_size: int, device: Any = None, dtype: Any = None):
        where = "BidirectionalCell"
        sizes = check_size(first_size, "first_size", where), check_size(second_size, "second_size", where)
        super().__init__(sum(sizes), sum(sizes))
        self.sizes = sizes
        self._weights(True, device, dtype, weight_hh=self.sizes)

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> BidirectionalState:
        """Zeros: units that say nothing."""
        return BidirectionalState(*(self._zeros(batch_size, size, dtype, device) for size in self.sizes))

    def advance(self, projected: Tensor, state: BidirectionalState) -> tuple[Tensor, BidirectionalState]:
        """The whole step; x is the external field."""
        first_field, second_field = projected.split(self.sizes, -1)
        second = sign_or_keep(self.recur(state.first, self.weight_hh.mT) + second_field, state.second)
        first = sign_or_keep(self.recur(second, self.weight_hh) + first_field, state.first)
        return torch.cat([first, second], -1), BidirectionalState(first, second)


class BidirectionalMemory(nn.Module):
    """Memory of pairs, in which either pattern of a pair recalls the other.

    Equations:
        M = sum over pairs of a^T b;  E(a, b) = -a M b^T;
        - "synchronous": b = sgn(a M), a = sgn(b M^T), sides in turn and all units of a side at once; a unit whose field
          is 0 stays as it is. No step raises E, whatever M is, and every run ends in a fixed point.
        - "asynchronous": the units of both sides one after another, in an order drawn anew for each step.
        - "gibbs": as "synchronous", with each unit drawn: P(b_j = +1 | a) = sigmoid(2 (a M)_j / T), and likewise a. As
          the units of a side do not see one another, this draws from the exact conditional distribution of a side, and
          in the long run the pair is met with a probability in proportion to exp(-E / T).

    Args:
        first_size, second_size: units of the two sides.
        device, dtype: where and in which number format weights and pairs are kept.

    Shapes:
        first (pairs or batch, first_size), second (pairs or batch, second_size); weight = M (first_size, second_size).

    Raises:
        UsageError: a number is out of range, units are not +-1, or a pair to be forgotten is not stored.
        ShapeError: pairs or cue do not fit.

    Differs from the paper: units have no thresholds. Units that a cue leaves open begin at +1 where their first field
    is 0. Pairs are kept, so that `forget` can say which is not stored.

    Reference:
        B. Kosko. Bidirectional associative memories. IEEE Transactions on Systems, Man, and Cybernetics 18 (1988)
        49-60.
        P. Smolensky. Information processing in dynamical systems: foundations of harmony theory. In: Parallel
        Distributed Processing 1, MIT Press (1986) 194-281 (two sides drawn in turn).

    Example:
        >>> import torch
        >>> memory = BidirectionalMemory(4, 3)
        >>> a, b = torch.tensor([[1.0, 1.0, -1.0, -1.0]]), torch.tensor([[1.0, -1.0, 1.0]])
        >>> memory.store(a, b)
        >>> memory.recall(a).state.second.tolist(), memory.recall(b, side="second").state.first.tolist()
        ([[1.0, -1.0, 1.0]], [[1.0, 1.0, -1.0, -1.0]])
    """

    def __init__(self, first_size: int, second_size: int, device: Any = None, dtype: Any = None):
        super().__init__()
        self.first_size = check_size(first_size, "first_size", "BidirectionalMemory")
        self.second_size = check_size(second_size, "second_size", "BidirectionalMemory")
        self.pairs = StoredPatterns(first_size + second_size, device, dtype)
        self.connections = Connections(first_size, second_size, device, dtype)

    @property
    def weight(self) -> Tensor:
        """The weights in force, (first_size, second_size): those learned, and 0 where a connection is cut."""
        return self.connections.weight

    @torch.no_grad()
    def store(self, first: Tensor, second: Tensor) -> None:
        """Learn pairs (pairs, first_size) and (pairs, second_size) of +1 and -1, beside those that are stored."""
        first, second = self._checked(first, second, "pairs", "BidirectionalMemory.store")
        self.connections.learned = self.connections.learned + first.mT @ second
        self.pairs.add(torch.cat([first, second], 1))

    @torch.no_grad()
    def forget(self, first: Tensor | None = None, second: Tensor | None = None) -> None:
        """Take pairs out, all of them when none are given."""
        where = "BidirectionalMemory.forget"
        if first is None and second is None:
            first, second = self.pairs.rows.split([self.first_size, self.second_size], 1)
        if first is None or second is None:
            raise UsageError("one side of the pairs is given", where=where, need="both, or neither to forget all")
        first, second = self._checked(first, second, "pairs", where)
        self.pairs.remove(torch.cat([first, second], 1), where)
        # The weights are whole numbers, so that this leaves no rounding behind.
        self.connections.learned = self.connections.learned - first.mT @ second

    def damage(self, share: float, generator: torch.Generator | None = None) -> None:
        """Cut each connection with probability `share`, until `repair`."""
        self.connections.cut(share, False, generator, "BidirectionalMemory.damage")

    def repair(self) -> None:
        """Make all connections whole again, with the weights that were learned."""
        self.connections.mend()

    def energy(self, first: Tensor, second: Tensor) -> Tensor:
        """E of each pair of states: (batch,)."""
        return -((first @ self.weight) * second).sum(-1)

    @torch.no_grad()
    def recall(
        self,
        cue: Tensor | tuple[Tensor, Tensor],
        update: str = "synchronous",
        *,
        side: str = "first",
        steps: int = 100,
        order: str = "random",
        temperature: float | Sequence[float] | Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Recall:
        """Let the two sides go to and fro from cues until they come to rest; the state is a `BidirectionalState`.

        Args:
            cue: one side's units, (batch, units of that side), or both sides' as (first, second); of +-1.
            update: "synchronous", "asynchronous" or "gibbs".
            side: which side a single cue is of, "first" or "second"; the other begins as the cue's fields say.
            steps: the most times that every unit is updated; "gibbs" takes all of them.
            order: of the units for "asynchronous": "random", or "fixed", from the first side's to the second's.
            temperature: T of "gibbs": a number, or one for each step, falling for annealing.
            generator: of the random orders and draws; torch's own when absent.
        """
        where = "BidirectionalMemory.recall"
        check_choice(update, "update", UPDATES, where)
        check_size(steps, "steps", where)
        temperatures = check_update_temperature(update, temperature, steps, where)
        state = self._cued(cue, side, where)
        if update == "asynchronous":
            both = torch.cat(state, 1)
            whole = torch.zeros(both.shape[1], both.shape[1], dtype=both.dtype, device=both.device)
            whole[: self.first_size, self.first_size :] = self.weight
            found = recall_by_units(
                whole + whole.mT, both, torch.zeros_like(both), steps, order, None, generator, where
            )
            return found._replace(state=BidirectionalState(*found.state.split([self.first_size, self.second_size], 1)))
        if temperatures is not None:
            return self._gibbs(state, temperatures, generator)
        rest = relax(self.cell(), state, steps=steps, energy=lambda now: self.energy(*now))
        assert rest.energy is not None
        return Recall(rest.state, rest.energy, rest.converged, rest.cycle, rest.steps)

    def cell(self) -> BidirectionalCell:
        """The memory as a cell, with a copy of its weights: for `relax` and for instruments."""
        cell = BidirectionalCell(self.first_size, self.second_size, self.weight.device, self.weight.dtype)
        with torch.no_grad():
            cell.weight_hh.copy_(self.weight)
        return cell

    def _gibbs(self, state: BidirectionalState, temperatures: list[float], generator: torch.Generator | None) -> Recall:
        first, second = state
        weight, trace = self.weight, [self.energy(first, second)]
        for temperature in temperatures:
            second = _draw(first @ weight, second, temperature, generator)
            first = _draw(second @ weight.mT, first, temperature, generator)
            trace.append(self.energy(first, second))
        last = BidirectionalState(first, second)
        _, after = self.cell()(torch.zeros(len(first), self.first_size + self.second_size).to(first), last)
        rest = (after.first == first).all(1) & (after.second == second).all(1)
        steps = torch.full((len(first),), len(temperatures), device=first.device)
        return Recall(last, torch.stack(trace), rest, rest.long(), steps)

    def _cued(self, cue: Any, side: str, where: str) -> BidirectionalState:
        check_choice(side, "side", ("first", "second"), where)
        if isinstance(cue, tuple | list):
            if len(cue) != 2:
                raise ShapeError(f"cue has {len(cue)} parts", where=where, need="a tensor, or (first, second)")
            return BidirectionalState(*self._checked(cue[0], cue[1], "batch", where))
        size, weight = (self.first_size, self.weight) if side == "first" else (self.second_size, self.weight.mT)
        given = check_spins(cue, size, "cue", "batch", weight, where)
        field = given @ weight
        other = torch.where(field < 0, -torch.ones_like(field), torch.ones_like(field))
        return BidirectionalState(given, other) if side == "first" else BidirectionalState(other, given)

    def _checked(self, first: Any, second: Any, leading: str, where: str) -> tuple[Tensor, Tensor]:
        like = self.pairs.rows
        first = check_spins(first, self.first_size, "first", leading, like, where)
        second = check_spins(second, self.second_size, "second", leading, like, where)
        if len(first) != len(second):
            raise ShapeError(f"first has {len(first)} rows and second {len(second)}", where=where, need="as many")
        return first, second

    def extra_repr(self) -> str:
        return f"{self.first_size}, {self.second_size}"


def _draw(field: Tensor, spins: Tensor, temperature: float, generator: torch.Generator | None) -> Tensor:
    """Units drawn at a temperature; at 0 the sign of the field."""
    if temperature == 0:
        return sign_or_keep(field, spins)
    chance = torch.sigmoid(2.0 * field / temperature)
    drawn = torch.rand(field.shape, generator=generator, dtype=field.dtype).to(field.device)
    return torch.where(drawn < chance, torch.ones_like(field), -torch.ones_like(field))
