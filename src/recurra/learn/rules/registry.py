"""The table of gradient rules: one row a rule. Importing this file imports no torch."""

from __future__ import annotations

import importlib
import inspect
import re
from dataclasses import dataclass
from typing import Any

from recurra.errors import UsageError
from recurra.options import closest


@dataclass(frozen=True)
class RuleEntry:
    """A row: where the class is, what it does, what it costs, and what a weight's update needs to know.

    Local in space: what a weight's update needs stands at the two units it joins (and at the output's error that is
    sent to them). Local in time: it needs nothing of steps that are over but numbers of fixed size.
    """

    name: str
    path: str
    summary: str
    exact: bool
    online: bool
    cost: str
    reference: str
    local_in_space: bool = False
    local_in_time: bool = False

    @property
    def locality(self) -> str:
        """The same in words."""
        places = [word for word, holds in (("space", self.local_in_space), ("time", self.local_in_time)) if holds]
        return "local in " + " and ".join(places) if places else "not local"


RULES: dict[str, RuleEntry] = {
    row.name: row
    for row in (
        RuleEntry(
            "bptt",
            "recurra.learn.rules.bptt:BPTT",
            "back-propagation through the whole sequence",
            True,
            False,
            "time O(p) a step, memory O(n T)",
            "Werbos 1990",
            local_in_space=True,
        ),
        RuleEntry(
            "tbptt",
            "recurra.learn.rules.tbptt:TBPTT",
            "truncated: every k1 steps, back through k2 steps",
            False,
            False,
            "time O(p k2/k1) a step, memory O(n k2)",
            "Williams and Peng 1990",
            local_in_space=True,
        ),
        RuleEntry(
            "rtrl",
            "recurra.learn.rules.rtrl:RTRL",
            "real-time recurrent learning, the state's derivative by all weights carried forward",
            True,
            True,
            "time O(n^2 p) a step, memory O(n p); element-wise cells: O(p) both",
            "Williams and Zipser 1989",
            local_in_time=True,
        ),
        RuleEntry(
            "blockrtrl",
            "recurra.learn.rules.block_rtrl:BlockRTRL",
            "hybrid: back-propagation in blocks of n steps, the derivative carried between them",
            True,
            True,
            "time O(n p) a step (blocks of n steps), memory O(n p)",
            "Schmidhuber 1992",
            local_in_time=True,
        ),
        RuleEntry(
            "snap",
            "recurra.learn.rules.snap:SnAp",
            "sparse n-step approximation: only what a weight reaches within n steps is carried",
            False,
            True,
            "snap(1): time O(n^3 + p) a step, memory O(p); larger n up to rtrl's",
            "Menick et al. 2021",
            local_in_time=True,
        ),
        RuleEntry(
            "uoro",
            "recurra.learn.rules.uoro:UORO",
            "unbiased: a random product of two vectors stands for the derivative",
            False,
            True,
            "time O(p) a step, memory O(p)",
            "Tallec and Ollivier 2018",
            local_in_time=True,
        ),
        RuleEntry(
            "kfrtrl",
            "recurra.learn.rules.kf_rtrl:KFRTRL",
            "unbiased: a random Kronecker product stands for the derivative",
            False,
            True,
            "time O(n^3) a step, memory O(n^2)",
            "Mujika, Meier and Steger 2018",
            local_in_time=True,
        ),
        RuleEntry(
            "rflo",
            "recurra.learn.rules.rflo:RFLO",
            "leaky cells: a trace a weight that decays with its unit's leak",
            False,
            True,
            "time O(p) a step, memory O(p)",
            "Murray 2019",
            local_in_space=True,
            local_in_time=True,
        ),
        RuleEntry(
            "eprop",
            "recurra.learn.rules.eprop:EProp",
            "one cell: a trace inside each unit, times a learning signal",
            False,
            True,
            "time O(p) a step, memory O(p)",
            "Bellec et al. 2020",
            local_in_space=True,
            local_in_time=True,
        ),
        RuleEntry(
            "truncatedrtrl",
            "recurra.learn.rules.truncated_rtrl:TruncatedRTRL",
            "LSTM family: errors flow back through memory cells alone",
            False,
            True,
            "time O(p) a step, memory O(p)",
            "Hochreiter and Schmidhuber 1997",
            local_in_space=True,
            local_in_time=True,
        ),
        RuleEntry(
            "crbp",
            "recurra.learn.rules.crbp:CRBP",
            "FIR, IIR and local feedback: recursions forward in the synapses, backward between layers over Q steps",
            False,
            True,
            "time O(p (K + Q)) a step, memory O(p (K + Q)), K the filters' order",
            "Campolucci et al. 1999",
            local_in_space=True,
            local_in_time=True,
        ),
        RuleEntry(
            "continuous",
            "recurra.learn.rules.continuous:Continuous",
            "CTRNN: the adjoint differential equation, integrated backward in time",
            False,
            False,
            "time O(p) a step, memory O(n T)",
            "Pearlmutter 1995",
            local_in_space=True,
        ),
        RuleEntry(
            "adjoint",
            "recurra.learn.signal_flow.rule:Adjoint",
            "the adjoint signal-flow graph, run backward over the whole sequence",
            True,
            False,
            "time O(p) a step, memory O(n T)",
            "Campolucci et al. 2000",
            local_in_space=True,
        ),
        RuleEntry(
            "onlineadjoint",
            "recurra.learn.signal_flow.rule:OnlineAdjoint",
            "the adjoint signal-flow graph, run backward over the latest h steps at each step",
            False,
            True,
            "time O(p h) a step, memory O(n h)",
            "Campolucci et al. 2000",
            local_in_space=True,
        ),
    )
}


def make_rule(spec: str) -> Any:
    """A rule from its text: `bptt`, `tbptt(50)`, `tbptt(k1=20, k2=60)`, `eprop(feedback=random)`; `snap1` is `snap(1)`.

    Raises:
        UsageError: the text names no rule, or its arguments are not ones that the rule takes.
    """
    found = re.fullmatch(r"\s*([A-Za-z_]\w*)\s*(?:\((.*)\))?\s*", spec)
    name = found.group(1).lower() if found else spec
    numbered = re.fullmatch(r"([a-z_]+)(\d+)", name)
    if numbered and name not in RULES and numbered.group(1) in RULES:
        return make_rule(f"{numbered.group(1)}({numbered.group(2)})")
    if name not in RULES:
        raise UsageError(
            f"{spec!r} is not a gradient rule",
            where="rule",
            need="one of " + ", ".join(RULES),
            cure=closest(name, RULES) or None,
        )
    positional: list[int] = []
    named: dict[str, int | str] = {}
    try:
        for part in filter(None, ((found.group(2) if found else None) or "").split(",")):
            key, equals, value = part.rpartition("=")
            if equals:
                word = re.fullmatch(r"""\s*(['"]?)([A-Za-z_]+)\1\s*""", value)
                named[key.strip()] = word.group(2) if word else int(value)
            else:
                positional.append(int(value))
        return _kind(name)(*positional, **named)
    except (TypeError, ValueError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(
            f"the arguments in {spec!r} do not fit",
            where="rule",
            need=f"{_takes(name)}; whole numbers, as in tbptt(50) or tbptt(k1=20, k2=60)",
        ) from error


def _kind(name: str) -> type:
    module, _, attribute = RULES[name].path.partition(":")
    kind: type = getattr(importlib.import_module(module), attribute)
    return kind


def _takes(name: str) -> str:
    """What a rule takes, as it is written: crbp(horizon)."""
    given = inspect.signature(_kind(name)).parameters.values()
    words = [each.name + ("" if each.default is each.empty else f"={each.default}") for each in given]
    return f"{name}({', '.join(words)})" if words else f"{name}, which takes none"
