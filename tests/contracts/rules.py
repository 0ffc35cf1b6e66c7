"""The contract table of gradient rules: one row a rule and setting; the generic tests run over all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from recurra.learn.rules.block_rtrl import BlockRTRL
from recurra.learn.rules.bptt import BPTT
from recurra.learn.rules.continuous import Continuous
from recurra.learn.rules.crbp import CRBP
from recurra.learn.rules.eprop import EProp
from recurra.learn.rules.kf_rtrl import KFRTRL
from recurra.learn.rules.rflo import RFLO
from recurra.learn.rules.rtrl import RTRL
from recurra.learn.rules.snap import SnAp
from recurra.learn.rules.tbptt import TBPTT
from recurra.learn.rules.truncated_rtrl import TruncatedRTRL
from recurra.learn.rules.uoro import UORO
from recurra.learn.signal_flow.rule import Adjoint, OnlineAdjoint


@dataclass(frozen=True)
class RuleCase:
    """A rule as it is tested.

    Attributes:
        name: its row in `recurra.learn.rules.registry.RULES`.
        make: builds it.
        reach: for a sequence of `steps` steps, the spans (first, end, from) that its gradient is made of: the loss of
            steps first..end-1, with the state before step `from` taken as a constant. None: the exact gradient.
        needs_stream: whether it refuses a learner that reads sequences in both directions.
        approximate: whether its gradient is another one than that of spans; its own tests say which.
        cell: the registered cell of the learner that it is tested on; None for a network written out.
        layers: how many of them, one above the other.
    """

    name: str
    make: Callable[[], Any]
    reach: Callable[[int], list[tuple[int, int, int]]] | None = None
    needs_stream: bool = False
    approximate: bool = False
    cell: str | None = None
    layers: int = 1


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
    RuleCase("rtrl", RTRL, needs_stream=True),
    RuleCase("rtrl", RTRL, needs_stream=True, cell="indrnn"),
    RuleCase("blockrtrl", BlockRTRL, needs_stream=True),
    RuleCase("blockrtrl", lambda: BlockRTRL(3, 100), needs_stream=True),
    RuleCase("snap", lambda: SnAp(1), needs_stream=True, approximate=True),
    RuleCase("snap", lambda: SnAp(1), needs_stream=True, approximate=True, cell="lstm"),
    RuleCase("uoro", UORO, needs_stream=True, approximate=True),
    RuleCase("kfrtrl", KFRTRL, needs_stream=True, approximate=True, cell="gru"),
    RuleCase("rflo", RFLO, needs_stream=True, approximate=True, cell="leaky"),
    RuleCase("rflo", lambda: RFLO("random"), needs_stream=True, approximate=True, cell="leaky"),
    RuleCase("eprop", EProp, needs_stream=True, approximate=True, cell="lstm"),
    RuleCase("eprop", lambda: EProp("random"), needs_stream=True, approximate=True, cell="elman"),
    RuleCase("truncatedrtrl", TruncatedRTRL, needs_stream=True, approximate=True, cell="lstm"),
    RuleCase("crbp", lambda: CRBP(0), needs_stream=True, approximate=True, cell="iir", layers=2),
    RuleCase("crbp", lambda: CRBP(1), needs_stream=True, approximate=True, cell="local_output_feedback", layers=2),
    RuleCase("continuous", Continuous, needs_stream=True, approximate=True, cell="ctrnn"),
    RuleCase("continuous", lambda: Continuous(2), needs_stream=True, approximate=True, cell="ctrnn"),
    RuleCase("adjoint", Adjoint, needs_stream=True),
    RuleCase("onlineadjoint", lambda: OnlineAdjoint(2), truncated(1, 3), needs_stream=True),
]
