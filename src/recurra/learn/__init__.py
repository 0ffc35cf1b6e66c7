"""Learning: how weights are found.

`fit(net, data, objective, rule=...)` trains any network by any rule. `rules` obtains the gradient of a sequence's loss,
`search` finds weights from a fitness alone, `closed` solves for them, `objectives` says what is wanted, and
`signal_flow` derives gradients from a network's graph. What `fit` takes has its name here too; names load on first use.
"""

from __future__ import annotations

import importlib
from typing import Any

from recurra.learn.rules.registry import RULES
from recurra.learn.search.registry import SEARCHES

_WHERE: dict[str, str] = {row.path.partition(":")[2]: row.path.partition(":")[0] for row in RULES.values()}
_WHERE |= dict.fromkeys(("check_rule", "RuleCheck"), "recurra.learn.rules.check")
_WHERE |= dict.fromkeys(
    ("BinaryCrossEntropy", "CTC", "CrossEntropy", "MAE", "MSE", "SequenceBatch"), "recurra.learn.objectives"
)
_WHERE |= dict.fromkeys(
    (
        "LearnedFraction",
        "MaxEvaluations",
        "MaxGenerations",
        "MinFitness",
        "MinMSE",
        "Stagnation",
        "Stop",
    ),
    "recurra.learn.search.stopping",
)
_WHERE |= dict.fromkeys(("EpisodeReturn", "PPO", "Policy", "REINFORCE"), "recurra.learn.reward")
_WHERE |= {
    "CellLayer": "recurra.learn.fitting.network",
    "FitProgress": "recurra.learn.fitting.result",
    "Fitted": "recurra.learn.fitting.result",
    "Generator": "recurra.learn.fitting.feedback",
    "Network": "recurra.learn.fitting.network",
    "Ridge": "recurra.learn.closed.ridge",
    "TeacherForcing": "recurra.learn.fitting.feedback",
    "fit": "recurra.learn.fitting.fit",
}

# Searches stand here in the form that `fit` takes: without the number of weights, which it fills in.
_SEARCHES = {row.path.partition(":")[2]: row.path.partition(":")[0] for row in SEARCHES.values()}
_SEARCHES |= {"NEAT": "recurra.learn.search.neat"}

__all__ = sorted([*_WHERE, *_SEARCHES, "Evolino"])  # noqa: F822


def __getattr__(name: str) -> Any:
    value: Any
    if name in _WHERE:
        value = getattr(importlib.import_module(_WHERE[name]), name)
    elif name in _SEARCHES:
        from recurra.learn.fitting.plan import SearchRule

        value = SearchRule(getattr(importlib.import_module(_SEARCHES[name]), name))
    elif name == "Evolino":
        from recurra.learn.fitting.plan import evolino

        value = evolino
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
