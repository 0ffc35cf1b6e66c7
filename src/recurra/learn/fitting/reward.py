"""Handing a training over to an objective that does it by itself, in an environment."""

from __future__ import annotations

import inspect
from typing import Any

from recurra.errors import UsageError
from recurra.learn.fitting.options import FitOptions
from recurra.learn.fitting.plan import SearchPlan


def fit_by_reward(net: Any, environment: Any, objective: Any, rule: Any, options: FitOptions, others: Any) -> Any:
    """Call objective.fit_reward(net, environment, rule=..., ...) with what was said; it knows its own defaults.

    Raises:
        UsageError: an option is not one of the objective's.
    """
    given = options.given() | others
    if rule is not None:
        given["rule"] = rule
    if isinstance(rule, SearchPlan):
        if rule.fitness != "-loss":
            need = "the search without a fitness: it is the return"
            raise UsageError(f"fitness is {rule.fitness!r}", where=f"fit, {type(objective).__name__}", need=need)
        if rule.stop is not None:
            given.setdefault("stop", rule.stop)
    parameters = inspect.signature(objective.fit_reward).parameters
    if "optimizer" in parameters and "optimiser" in given:
        given["optimizer"] = given.pop("optimiser")
    if "progress" in parameters:
        given.setdefault("progress", options.progress)
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        unknown = [name for name in given if name not in parameters]
        if unknown:
            own = [name for name, parameter in parameters.items() if parameter.default is not parameter.empty]
            raise UsageError(
                f"{unknown[0]!r} is no option of {type(objective).__name__}",
                where="fit",
                need="of its options: " + ", ".join(own),
                cure=f"give it to {type(objective).__name__}(...), where it has it",
            )
    return objective.fit_reward(net, environment, **given)
