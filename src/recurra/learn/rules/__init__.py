"""Gradient rules: ways to obtain the gradient of a sequence's loss. `RULES` lists them; names load on first use."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from recurra.learn.rules.registry import RULES, make_rule

if TYPE_CHECKING:
    from recurra.learn.rules.block_rtrl import BlockRTRL
    from recurra.learn.rules.bptt import BPTT
    from recurra.learn.rules.check import RuleCheck, WindowCheck, check_rule
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

__all__ = [
    "BPTT",
    "CRBP",
    "KFRTRL",
    "RFLO",
    "RTRL",
    "RULES",
    "TBPTT",
    "UORO",
    "Adjoint",
    "BlockRTRL",
    "Continuous",
    "EProp",
    "OnlineAdjoint",
    "RuleCheck",
    "SnAp",
    "TruncatedRTRL",
    "WindowCheck",
    "check_rule",
    "make_rule",
]

_PATHS = {row.path.partition(":")[2]: row.path.partition(":")[0] for row in RULES.values()}
_PATHS |= dict.fromkeys(("RuleCheck", "WindowCheck", "check_rule"), "recurra.learn.rules.check")


def __getattr__(name: str) -> Any:
    if name in _PATHS:
        return getattr(importlib.import_module(_PATHS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
