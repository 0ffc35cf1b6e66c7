"""How the weights of an associative memory follow from its patterns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from recurra.errors import ShapeError, UsageError
from recurra.learn.closed.hebbian import hebbian
from recurra.learn.closed.pseudo_inverse import pseudo_inverse
from recurra.learn.closed.storkey import storkey

LearningRule = Callable[[Tensor], Tensor]
"""A user's own rule: from patterns (patterns, units) to weights (units, units)."""


@dataclass(frozen=True)
class Rule:
    """A learning rule of the library.

    Attributes:
        function: from patterns to weights.
        incremental: whether it can add to weights that are there.
    """

    function: Callable[..., Tensor]
    incremental: bool


RULES = {
    "hebbian": Rule(hebbian, True),
    "storkey": Rule(storkey, True),
    "storkey_second_order": Rule(partial(storkey, order=2), True),
    "pseudo_inverse": Rule(pseudo_inverse, False),
}
"""The rules by name; "storkey" is the first-order one."""


def check_rule(rule: Any, where: str) -> str | LearningRule:
    """A name of `RULES` or a function, or a UsageError."""
    if callable(rule) or (isinstance(rule, str) and rule in RULES):
        return rule
    need = ", ".join(repr(name) for name in RULES) + ", or a function from patterns to weights"
    raise UsageError(f"rule is {rule!r}", where=where, need=need)


def learn_weights(
    rule: str | LearningRule, stored: Tensor, new: Tensor, weight: Tensor, self_connections: bool, where: str
) -> Tensor:
    """The weights after `new` patterns, where `weight` are those of the `stored` ones before them."""
    if isinstance(rule, str):
        entry = RULES[rule]
        if entry.incremental:
            return entry.function(new, weight, self_connections=self_connections)
        return entry.function(torch.cat([stored, new]), self_connections=self_connections)
    given: Any = rule(torch.cat([stored, new]))
    if not isinstance(given, Tensor) or given.shape != weight.shape:
        got = f"of shape {tuple(given.shape)}" if isinstance(given, Tensor) else type(given).__name__
        raise ShapeError(f"rule gave {got}", where=where, need=f"weights {tuple(weight.shape)}, that is (units, units)")
    return given.to(weight)
