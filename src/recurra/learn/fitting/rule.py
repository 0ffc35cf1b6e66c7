"""From the text of a rule or a search, as on the command line, to the rule or the plan of the search."""

from __future__ import annotations

import importlib
import re
from typing import Any

from recurra.errors import UsageError
from recurra.learn.rules.registry import RULES, make_rule
from recurra.learn.search.registry import GRAPH_SEARCHES, SEARCHES, SearchEntry
from recurra.learn.search.spelling import name_and_rest, named_arguments
from recurra.options import closest


def search_named(name: str) -> SearchEntry | None:
    """The search of that name, with or without its hyphen: `cmaes` is `cma-es`."""
    plain = name.strip().lower().replace("_", "-")
    return next((row for row in SEARCHES.values() if plain in (row.name, row.name.replace("-", ""))), None)


def names_a_search(text: str) -> bool:
    """Whether a text names a search and not a gradient rule."""
    found = re.match(r"\s*([A-Za-z][\w-]*)", text)
    return found is not None and search_named(found.group(1)) is not None


def refuse_unknown(text: str) -> None:
    """Refuse a text that names neither a gradient rule nor a search, without loading torch.

    Raises:
        UsageError: it names neither.
    """
    found = re.match(r"\s*([A-Za-z][\w-]*)", text)
    name = (found.group(1) if found else text).strip().lower()
    # A number behind a rule's name is its argument, as in snap1.
    if search_named(name) is None and name not in RULES and name.rstrip("0123456789") not in RULES:
        known = [*RULES, *SEARCHES]
        if name in GRAPH_SEARCHES:
            path = GRAPH_SEARCHES[name].path.replace(":", ".")
            raise UsageError(
                f"{name} finds a network of its own, and so cannot train the one that a task builds",
                where="rule",
                need="one of " + ", ".join(known),
                cure=f"in Python: {path}",
            )
        raise UsageError(
            f"{text!r} is neither a gradient rule nor a search",
            where="rule",
            need="one of " + ", ".join(known),
            cure=closest(name, known) or None,
        )


def read_rule(text: str) -> Any:
    """The gradient rule that a text names, or the plan of the search.

    Raises:
        UsageError: it names neither, or its arguments do not fit.

    Example:
        >>> read_rule("tbptt(20, 60)"), read_rule("cosyne(population=40, fitness=1/mse)")
        (TBPTT(k1=20, k2=60), CoSyNE(population=40, fitness='1/mse'))
    """
    refuse_unknown(text)
    found = name_and_rest(text)
    row = search_named(found[0]) if found else None
    if found is None or row is None:
        return make_rule(text)
    from recurra.learn.fitting.plan import plan_of

    module, _, attribute = row.path.partition(":")
    return plan_of(getattr(importlib.import_module(module), attribute), named_arguments(found[1], text, "rule"))
