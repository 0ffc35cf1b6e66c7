"""The contract table of gradient rules: one row a rule and setting; the generic tests run over all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from recurra.learn.rules.bptt import BPTT
from recurra.learn.rules.tbptt import TBPTT


@dataclass(frozen=True)
class RuleCase:
    """A rule as it is tested.

    Attributes:
        name: its row in `recurra.learn.rules.registry.RULES`.
        make: builds it.
        reach: for a sequence of `steps` steps, the spans (first, end, from) that its gradient is made of: the loss of
            steps first..end-1, with the state before step `from` taken as a constant. None: the exact gradient.
        needs_stream: whether it refuses a learner that reads sequences in both directions.
    """

    name: str
    make: Callable[[], Any]
    reach: Callable[[int], list[tuple[int, int, int]]] | None = None
    needs_stream: bool = False


def truncated(k1: int, k2: int) -> Callable[[int], list[tuple[int, int, int]]]:
    """Each segment's loss reaches back k2 steps from the segment's end (a last, shorter one: as many segments)."""

    def reach(steps: int) -> list[tuple[int, int, int]]:
        starts = range(0, steps, k1)
        return [(start, min(start + k1, steps), max(0, start + k1 - k2)) for start in starts]

    return reach


CASES = [
    RuleCase("bptt", BPTT),
    RuleCase("tbptt", lambda: TBPTT(1), truncated(1, 1), needs_stream=True),
    RuleCase("tbptt", lambda: TBPTT(3), truncated(3, 3), needs_stream=True),
    RuleCase("tbptt", lambda: TBPTT(1, 4), truncated(1, 4), needs_stream=True),
    RuleCase("tbptt", lambda: TBPTT(2, 4), truncated(2, 4), needs_stream=True),
    RuleCase("tbptt", lambda: TBPTT(2, 6), truncated(2, 6), needs_stream=True),
    RuleCase("tbptt", lambda: TBPTT(5, 5), truncated(5, 5), needs_stream=True),
    RuleCase("tbptt", lambda: TBPTT(50, 100), truncated(50, 100), needs_stream=True),
]
