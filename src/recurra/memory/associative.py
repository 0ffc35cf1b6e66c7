"""What the Hopfield networks share: patterns, the rule that makes weights of them, and connections that may be cut."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from recurra.cells.base import check_size
from recurra.errors import ShapeError
from recurra.memory.rules import LearningRule, check_rule, learn_weights
from recurra.memory.spins import check_spins
from recurra.memory.stored import Connections, StoredPatterns


class AssociativeMemory(nn.Module):
    """A network of units that are all connected with one another, and whose weights follow from its patterns.

    The base of `Hopfield` and `ContinuousHopfield`, which say how it recalls.

    Args:
        units: how many.
        rule: "hebbian", "storkey", "storkey_second_order", "pseudo_inverse", or a function from patterns (patterns,
            units) to weights (units, units).
        self_connections: whether the rule keeps the diagonal of the weights, instead of 0.
        threshold: of all units, or one for each.
        device, dtype: where and in which number format weights and patterns are kept.
    """

    threshold: Tensor

    def __init__(
        self,
        units: int,
        rule: str | LearningRule = "hebbian",
        *,
        self_connections: bool = False,
        threshold: float | Tensor = 0.0,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        where = type(self).__name__
        self.units = check_size(units, "units", where)
        self.rule = check_rule(rule, where)
        self.self_connections = bool(self_connections)
        self.patterns = StoredPatterns(units, device, dtype)
        self.connections = Connections(units, units, device, dtype)
        values = torch.as_tensor(threshold, device=device, dtype=self.patterns.rows.dtype)
        if values.shape not in ((), (units,)):
            raise ShapeError(f"threshold has shape {tuple(values.shape)}", where=where, need=f"a number or ({units},)")
        self.register_buffer("threshold", values.expand(units).clone())

    @property
    def weight(self) -> Tensor:
        """The weights in force, (units, units): those learned, and 0 where a connection is cut."""
        return self.connections.weight

    @torch.no_grad()
    def store(self, patterns: Tensor) -> None:
        """Learn patterns (patterns, units) of +1 and -1, beside those that are stored."""
        where = f"{type(self).__name__}.store"
        new = check_spins(patterns, self.units, "patterns", "patterns", self.patterns.rows, where)
        self.connections.learned = learn_weights(
            self.rule, self.patterns.rows, new, self.connections.learned, self.self_connections, where
        )
        self.patterns.add(new)

    @torch.no_grad()
    def forget(self, patterns: Tensor | None = None) -> None:
        """Take patterns out, all of them when none are given; the weights become those of the patterns left."""
        where = f"{type(self).__name__}.forget"
        rows = self.patterns.rows
        if patterns is None:
            left = rows[:0]
        else:
            # On a copy, so that a pattern that is not there leaves the memory as it was.
            copy = StoredPatterns(self.units, rows.device, rows.dtype)
            copy.add(rows)
            copy.remove(check_spins(patterns, self.units, "patterns", "patterns", rows, where), where)
            left = copy.rows
        blank = torch.zeros_like(self.connections.learned)
        if len(left):
            blank = learn_weights(self.rule, rows[:0], left, blank, self.self_connections, where)
        self.connections.learned = blank
        self.patterns.rows = left

    def damage(self, share: float, symmetric: bool = True, generator: torch.Generator | None = None) -> None:
        """Cut each connection with probability `share`: the connections between two units together, or each by itself.

        What is cut stays cut, also for patterns stored later, until `repair`. With connections cut in one direction
        only, the energy may rise and recall may not come to rest.
        """
        self.connections.cut(share, symmetric, generator, f"{type(self).__name__}.damage")

    def repair(self) -> None:
        """Make all connections whole again, with the weights that were learned."""
        self.connections.mend()

    def extra_repr(self) -> str:
        rule = self.rule if isinstance(self.rule, str) else getattr(self.rule, "__name__", type(self.rule).__name__)
        return f"{self.units}, rule={rule!r}, self_connections={self.self_connections}"
