"""What a loop reads of the weights: most of it a weight seen in another form, the rest computed once a call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from recurra.engine.outside import Added, Outside
from recurra.engine.prepare import View, view_of


class Parameters:
    """The values of a step that are the same for all steps.

    Args:
        outside: has the graph from the weights to them.
        batch: the number of sequences of the trace.
        dtype: the loop's number format.
        weights: tensors like the weights, contiguous; only their sizes count.
    """

    def __init__(self, outside: Outside, batch: int, dtype: torch.dtype, weights: Sequence[Tensor]):
        self.outside, self.batch, self.dtype, self.count = outside, batch, dtype, len(weights)
        likes = [torch.zeros(weight.shape, dtype=weight.dtype) for weight in weights]
        values = self._values(outside.before()(*likes))
        self.terms: list[tuple[View, ...]] = []
        """For each parameter the views whose sum it is."""
        self.computed: list[int] = []
        """The numbers of those that no views are summed to."""
        for number, origin in enumerate(outside.params):
            self.terms.append(self._terms(values, likes, origin, number))
        self._graph = outside.before(set(self.computed)) if self.computed else None

    def _terms(self, values: list[Tensor], likes: list[Tensor], origin: Any, number: int) -> tuple[View, ...]:
        if isinstance(origin, Added):
            found = [
                self.terms[each][0].columns(first, origin.width) if len(self.terms[each]) == 1 else None
                for each, first in origin.terms
            ]
            views = [view for view in found if view is not None]
            if len(views) == len(found):
                return tuple(views)
        elif not isinstance(origin, Tensor):
            for place, like in enumerate(likes):
                if like.dtype == self.dtype and (view := view_of(values[number], place, like)):
                    return (view,)
        self.computed.append(number)
        whole = values[number].contiguous()
        return (View(self.count + len(self.computed) - 1, 0, tuple(whole.shape), whole.stride()),)

    def _values(self, made: Sequence[Tensor | None]) -> list[Tensor]:
        """All parameters, from what the graph gives."""
        found: list[Tensor] = []
        for part, origin in zip(made, self.outside.params, strict=True):
            if isinstance(origin, Added):
                terms = [found[number].reshape(-1)[a : a + origin.width] for number, a in origin.terms]
                part = sum(terms[1:], start=terms[0])
            elif part is None:
                part = origin if isinstance(origin, Tensor) else torch.zeros(0)
            elif part.dim() and part.shape[0] == self.batch:
                # What the trace wrote out for each of its sequences is one row.
                part = part[0]
            found.append(part.to(self.dtype))
        return found

    def sources(self, weights: Sequence[Tensor]) -> list[Tensor]:
        """The tensors that the views are of: the weights, and what is computed from them."""
        found = [weight if weight.is_contiguous() else weight.contiguous() for weight in weights]
        if self._graph is not None:
            with torch.no_grad():
                values = self._values(self._graph(*weights))
            found += [values[number].contiguous() for number in self.computed]
        return found
