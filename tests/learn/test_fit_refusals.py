"""What `fit` refuses, with a cure, and where numbers end training."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from fit_parts import QUIET, SGD, data, network
from torch import nn

from recurra.errors import DataError, ShapeError, TrainingError, UsageError
from recurra.learn import MSE, RTRL, Network, SnAp, fit
from recurra.nn import GRU
from recurra.problems.adding import adding_problem

pytestmark = pytest.mark.usefixtures("double")

REFUSED: dict[str, tuple[Any, tuple[str, ...]]] = {
    "rule for the network": (
        lambda x, y: fit(Network(GRU(2, 3, bidirectional=True), outputs=2), (x, y), MSE(), RTRL()),
        ("the rule rtrl cannot train this network", "both directions", "use the rule bptt"),
    ),
    "width": (
        lambda x, y: fit(GRU(2, 3), (x, y), MSE()),
        ("the network gives 3 outputs and the target has 2", "recurra.learn.Network(net, outputs=2)"),
    ),
    "no memory": (lambda x, y: fit(nn.Linear(2, 2), (x, y), MSE()), ("the network is Linear", "Network(layer, outp")),
    "a class for a rule": (lambda x, y: fit(network(), (x, y), MSE(), RTRL), ("write RTRL(), an object",)),
    "a class for an objective": (lambda x, y: fit(network(), (x, y), MSE), ("the objective is MSE", "write MSE()")),
    "a rule's name": (lambda x, y: fit(network(), (x, y), MSE(), "rtlr"), ("'rtlr' is neither", "'rtrl'")),
    "window": (
        lambda x, y: fit(network(), (x, y), MSE(), window=2),
        ("window is 2 and the rule bptt begins anew", "rtrl, snap(1)", "TBPTT(k1, k2)"),
    ),
    "window at the end": (
        lambda x, y: fit(network(), (x, y), MSE("end"), SnAp(1), window=2),
        ("the objective judges form 'end'", "leave window out"),
    ),
    "patience": (lambda x, y: fit(network(), (x, y), MSE(), patience=3), ("patience is 3", "valid=...")),
    "epochs and steps": (
        lambda x, y: fit(network(), (x, y), MSE(), epochs=3, steps=2),
        ("epochs is 3 and steps is 2",),
    ),
    "a number": (lambda x, y: fit(network(), (x, y), MSE(), steps=0), ("steps is 0", "at least 1")),
    "an option": (lambda x, y: fit(network(), (x, y), MSE(), step=4), ("'step' is no option", "steps")),
    "executor": (lambda x, y: fit(network(), (x, y), MSE(), executor=1), ("executor is given to a gradient rule",)),
    "epochs of fresh batches": (
        lambda x, y: fit(network(), lambda: (x, y), MSE(), epochs=2),
        ("fresh batches have no epochs", "steps="),
    ),
    "a callable": (
        lambda x, y: fit(network(), adding_problem, MSE("end")),
        ("the callable needs steps, batch", "functools.partial"),
    ),
    "an optimiser of others": (
        lambda x, y: fit(network(), (x, y), MSE(), optimiser=torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0)),
        ("the optimiser does not hold", "give the class"),
    ),
    "two rates": (
        lambda x, y: fit(n := network(), (x, y), MSE(), optimiser=SGD(n.parameters()), learning_rate=1.0),
        ("learning_rate came with an optimiser",),
    ),
    "torch's layers on line": (
        lambda x, y: fit(nn.GRU(2, 2), (x, y), MSE(), RTRL()),
        ("torch.nn.GRU has no cells", "recurra.nn.GRU"),
    ),
    "lengths for torch's layers": (
        lambda x, y: fit(nn.GRU(2, 2), (x, y, [7, 7, 7, 7, 3]), MSE()),
        ("several lengths came to torch.nn.GRU", "recurra.nn.GRU"),
    ),
    "progress": (lambda x, y: fit(network(), (x, y), MSE(), progress="yes"), ("progress is 'yes'",)),
    "stop": (lambda x, y: fit(network(), (x, y), MSE(), stop=5), ("stop is 5", "MinMSE")),
    "data": (lambda x, y: fit(network(), x, MSE()), ("data is Tensor", "a callable that makes one")),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_with_a_cure(case: str) -> None:
    call, parts = REFUSED[case]
    with pytest.raises((UsageError, ShapeError)) as caught:
        call(*data())
    for part in parts:
        assert part in str(caught.value)


def test_numbers_that_are_not_finite_end_training() -> None:
    x, y = data()
    x[1, 2, 0] = float("inf")
    with pytest.raises(TrainingError, match="at step 1.*lower learning_rate"):
        fit(network(), (x * 0, y), MSE(), steps=2, **QUIET)
    with pytest.raises(DataError, match="epoch 2 has no batches"):
        fit(network(), iter([data()]), MSE(), epochs=2, **QUIET)
