"""What an associative memory holds: its patterns, and connections that may be cut."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from recurra.cells.time_step import check_fraction
from recurra.errors import UsageError


class StoredPatterns(nn.Module):
    """The patterns that a memory was given, one a row; saved and loaded with the memory, however many they are."""

    rows: Tensor

    def __init__(self, units: int, device: Any = None, dtype: Any = None):
        super().__init__()
        self.register_buffer("rows", torch.empty(0, units, device=device, dtype=dtype))

    def __len__(self) -> int:
        return self.rows.shape[0]

    def add(self, rows: Tensor) -> None:
        """Put patterns behind those that are there."""
        self.rows = torch.cat([self.rows, rows])

    def remove(self, rows: Tensor, where: str) -> None:
        """Take each pattern out once, the one stored last first, or change nothing and raise a UsageError."""
        kept = torch.ones(len(self), dtype=torch.bool, device=self.rows.device)
        for index, row in enumerate(rows):
            found = ((self.rows == row).all(-1) & kept).nonzero()
            if not len(found):
                raise UsageError(
                    f"pattern {index} of those given is not stored", where=where, need="patterns as they were stored"
                )
            kept[found[-1]] = False
        self.rows = self.rows[kept]

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        given = state_dict.get(prefix + "rows")
        if given is not None and given.dim() == 2 and given.shape[1:] == self.rows.shape[1:]:
            self.rows = self.rows.new_empty(given.shape)
        super()._load_from_state_dict(state_dict, prefix, *rest)


class Connections(nn.Module):
    """A matrix of weights as it was learned, and which of its connections are whole."""

    learned: Tensor
    whole: Tensor

    def __init__(self, rows: int, columns: int, device: Any = None, dtype: Any = None):
        super().__init__()
        self.register_buffer("learned", torch.zeros(rows, columns, device=device, dtype=dtype))
        self.register_buffer("whole", torch.ones(rows, columns, dtype=torch.bool, device=device))

    @property
    def weight(self) -> Tensor:
        """The weights in force: 0 where a connection is cut."""
        return self.learned * self.whole

    def cut(self, share: float, symmetric: bool, generator: torch.Generator | None, where: str) -> None:
        """Cut each connection with probability `share`; `symmetric` cuts both directions of a pair together."""
        share = check_fraction(share, "share", where)
        drawn = torch.rand(self.whole.shape, generator=generator).to(self.whole.device)
        if symmetric:
            upper = drawn.triu()
            drawn = upper + upper.mT - torch.diag(drawn.diagonal())
        self.whole = self.whole & (drawn >= share)

    def mend(self) -> None:
        """Make all connections whole."""
        self.whole = torch.ones_like(self.whole)
