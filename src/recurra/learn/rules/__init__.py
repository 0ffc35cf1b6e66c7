"""Gradient rules: ways to obtain the gradient of a sequence's loss. `RULES` lists them; names load on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recurra.learn.rules.registry import RULES, make_rule

if TYPE_CHECKING:
    from recurra.learn.rules.bptt import BPTT
    from recurra.learn.rules.tbptt import TBPTT

__all__ = ["BPTT", "RULES", "TBPTT", "make_rule"]


def __getattr__(name: str) -> Any:
    if name == "BPTT":
        from recurra.learn.rules.bptt import BPTT

        return BPTT
    if name == "TBPTT":
        from recurra.learn.rules.tbptt import TBPTT

        return TBPTT
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
