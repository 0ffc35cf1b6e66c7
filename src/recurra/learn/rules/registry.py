"""The table of gradient rules: one row a rule. Importing this file imports no torch."""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from typing import Any

from recurra.errors import UsageError
from recurra.options import closest


@dataclass(frozen=True)
class RuleEntry:
    """A row: where the class is, what it does, and what it costs."""

    name: str
    path: str
    summary: str
    exact: bool
    online: bool
    cost: str
    reference: str


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
        ),
        RuleEntry(
            "tbptt",
            "recurra.learn.rules.tbptt:TBPTT",
            "truncated: every k1 steps, back through k2 steps",
            False,
            False,
            "time O(p k2/k1) a step, memory O(n k2)",
            "Williams and Peng 1990",
        ),
    )
}


def make_rule(spec: str) -> Any:
    """A rule from its text: `bptt`, `tbptt(50)` or `tbptt(k1=20, k2=60)`.

    Raises:
        UsageError: the text names no rule, or its arguments are not whole numbers that the rule takes.
    """
    found = re.fullmatch(r"\s*([A-Za-z_]\w*)\s*(?:\((.*)\))?\s*", spec)
    name = found.group(1).lower() if found else spec
    if name not in RULES:
        raise UsageError(
            f"{spec!r} is not a gradient rule",
            where="rule",
            need="one of " + ", ".join(RULES),
            cure=closest(name, RULES) or None,
        )
    positional: list[int] = []
    named: dict[str, int] = {}
    try:
        for part in filter(None, ((found.group(2) if found else None) or "").split(",")):
            key, equals, value = part.rpartition("=")
            if equals:
                named[key.strip()] = int(value)
            else:
                positional.append(int(value))
        module, _, attribute = RULES[name].path.partition(":")
        return getattr(importlib.import_module(module), attribute)(*positional, **named)
    except (TypeError, ValueError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(
            f"the arguments in {spec!r} do not fit",
            where="rule",
            need="whole numbers, as in tbptt(50) or tbptt(k1=20, k2=60)",
        ) from error
