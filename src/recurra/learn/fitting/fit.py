"""`fit`: any network, on any sequences, towards any objective, by any rule."""

from __future__ import annotations

from typing import Any

from recurra.errors import UsageError
from recurra.learn.fitting.evolino import fit_by_evolino
from recurra.learn.fitting.gradient import fit_by_gradient
from recurra.learn.fitting.options import FitOptions
from recurra.learn.fitting.plan import EvolinoPlan, SearchPlan, as_plan
from recurra.learn.fitting.progress import listener_of
from recurra.learn.fitting.result import Fitted
from recurra.learn.fitting.reward import fit_by_reward
from recurra.learn.fitting.rule import read_rule
from recurra.learn.fitting.search import fit_by_search
from recurra.learn.fitting.setting import make_setting
from recurra.learn.rules.bptt import BPTT
from recurra.learn.search.base import Search
from recurra.learn.search.stopping import Stop
from recurra.types import GradientRule


def fit(
    net: Any,
    data: Any,
    objective: Any = None,
    rule: Any = None,
    *,
    epochs: int | None = None,
    steps: int | None = None,
    batch_size: int | None = None,
    shuffle: bool = True,
    valid: Any = None,
    evaluate_every: int | None = None,
    patience: int | None = None,
    stop: Stop | None = None,
    optimiser: Any = None,
    learning_rate: float | None = None,
    clip: float | None = 1.0,
    window: int | None = None,
    seed: int = 0,
    progress: Any = True,
    executor: Any = None,
    chunk_size: int | None = None,
    **others: Any,
) -> Any:
    """Train a network, in place, by whatever rule: back-propagation, on-line rules, evolution, regression, reward.

    The network, the objective and the rule are chosen independently; a rule that cannot serve a network says so, and
    says what to use. Random numbers follow from `seed`, and torch's own generator is left as it was.

    Args:
        net: a cell, a recurrent layer (of `recurra.nn` or torch.nn), an nn.Sequential or `Network` of layers, a
            `Generator`, or a module with forward(x, state, lengths=...) that gives (outputs, state). Without an
            objective: a learner, whose forward(batch, start, stop, state) gives (loss, state).
        data: (x, target) or (x, target, lengths); a list of (x, target), one a sequence, of several lengths; an
            iterable of such batches; or a callable that makes a fresh batch at each call, such as
            `functools.partial(adding_problem, 50, 32)`, which is given a torch.Generator if it takes one. NaN in a
            target of numbers, or a class of -100, is no signal.
        objective: one of `recurra.learn.objectives`, or `TeacherForcing` around one.
        rule: a gradient rule (BPTT() when absent), a search such as GA() or CoSyNE(), Evolino(CoSyNE(), Ridge()), or
            the text of a rule or search as on the command line: "snap1", "cosyne(population=40)".
        epochs: passes through the data; 100 when neither this nor steps is given. For a search: generations.
        steps: optimiser steps, 1000 with fresh batches when absent. For a search: generations.
        batch_size: sequences a step, of data at hand; all of them when absent.
        shuffle: whether data at hand are shuffled anew in each epoch.
        valid: validation data, in any form of `data`; the weights with the lowest loss on them are kept.
        evaluate_every: steps between evaluations; an epoch when absent, or a twentieth of the steps.
        patience: evaluations without a lower validation loss after which training stops.
        stop: criteria such as `MinMSE(1e-4) | MaxGenerations(500)`, asked at every evaluation; for gradient rules a
            generation is an epoch.
        optimiser: a torch optimiser, its class, or a function from weights to one; Adam when absent.
        learning_rate: its rate; 0.005 for Adam when absent.
        clip: bound on the gradient's norm; None or 0 for none.
        window: with an on-line rule, steps after which the weights change; state and influence are carried on to the
            next window of the same sequences. 1 is learning at every step.
        seed: of everything random.
        progress: True for one line on standard error, False for none, or a callable that takes a `FitProgress`.
        executor: for searches, any concurrent.futures.Executor, which then runs the networks one by one.
        chunk_size: for searches, how many networks are run at once; all when absent.
        others: options of objectives that train by themselves, such as those that learn from reward.

    Shapes:
        x (time, batch, features), time first, also for layers built with batch_first; target (time, batch, outputs),
        or (batch, outputs) with objectives of the form "end"; in a list x (time, features).

    Returns:
        a `Fitted`: losses, best loss, evaluations, seconds, why it stopped, `plot()`. For a search also how far random
        guessing came with as many networks. What an objective that learns from reward gives, it says itself.

    Raises:
        UsageError: the rule cannot serve the network, or an option does not go with the rule.
        ShapeError: network, data and objective do not fit one another.
        DataError: there are no sequences.
        TrainingError: a loss or a gradient is not finite.

    Example:
        >>> import torch
        >>> from recurra.learn import MSE, Network, RTRL, fit
        >>> from recurra.nn import GRU
        >>> _ = torch.manual_seed(0)
        >>> x = torch.randn(12, 8, 1)
        >>> y = 0.5 * x.cumsum(0)  # a running sum
        >>> found = fit(Network(GRU(1, 8), outputs=1), (x, y), MSE(), steps=40, learning_rate=0.02, progress=False)
        >>> found.losses[-1] < 0.2 * found.losses[0]
        True
        >>> found = fit(GRU(1, 1), (x, y), MSE(), rule=RTRL(), steps=2, window=4, progress=False)
        >>> found.stopped_because
        '2 steps'
    """
    options = FitOptions(
        epochs, steps, batch_size, shuffle, valid, evaluate_every, patience, stop, optimiser, learning_rate, clip,
        window, seed, progress, executor, chunk_size,
    )  # fmt: skip
    rule = read_rule(rule) if isinstance(rule, str) else rule
    if hasattr(objective, "fit_reward"):
        return fit_by_reward(net, data, objective, rule, options, others)
    if others:
        name = next(iter(others))
        need = "one of " + ", ".join(FitOptions.__dataclass_fields__)
        raise UsageError(f"{name!r} is no option", where="fit", need=need)
    options.check()
    listener, display = listener_of(progress)
    found: Fitted | None = None
    try:
        found = _fit(net, data, objective, BPTT() if rule is None else rule, options, listener)
    finally:
        if display is not None:
            display.close(None if found is None else found.stopped_because)
    return found


def _fit(net: Any, data: Any, objective: Any, rule: Any, options: FitOptions, listener: Any) -> Fitted:
    if isinstance(rule, EvolinoPlan):
        return fit_by_evolino(net, data, objective, rule, options, listener)
    plan: SearchPlan | Search | None = rule if isinstance(rule, Search) else as_plan(rule)
    if plan is None and (isinstance(rule, type) or not isinstance(rule, GradientRule)):
        name = rule.__name__ if isinstance(rule, type) else None
        raise UsageError(
            f"the rule is {rule!r}",
            where="fit",
            need="a gradient rule, a search, Evolino(...), or the name of one (`recurra info rules`, `recurra info "
            "searches`)",
            cure=f"write {name}(), an object, not the class" if name else None,
        )
    setting = make_setting(net, data, objective, options)
    if plan is not None:
        return fit_by_search(setting, plan, options, listener)
    return fit_by_gradient(setting, rule, options, listener)
