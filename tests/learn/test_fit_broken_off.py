"""`fit` broken off half way: the network is left with the best weights that were found."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from fit_parts import data, network

from recurra.learn import BPTT, GA, MSE, FitProgress, fit

pytestmark = pytest.mark.usefixtures("double")


def stop_at(step: int, told: list[FitProgress]) -> Any:
    def listen(progress: FitProgress) -> None:
        told.append(progress)
        if progress.step == step:
            raise KeyboardInterrupt

    return listen


def test_a_search_leaves_the_best_network() -> None:
    net, (x, y), told = network(), data(size=3), list[FitProgress]()
    net.eval()
    with pytest.raises(KeyboardInterrupt):
        fit(net, (x, y), MSE(), rule=GA(population=12), steps=50, progress=stop_at(4, told))
    with torch.no_grad():
        assert float((net(x)[0] - y).square().mean()) == pytest.approx(told[-1].best, rel=1e-12)
    assert not net.training


def test_a_gradient_rule_leaves_the_weights_of_the_lowest_validation_loss() -> None:
    net, (x, y), other, told = network(), data(size=3), data(size=4), list[FitProgress]()
    net.eval()
    with pytest.raises(KeyboardInterrupt):
        # A rate at which the loss goes up and down.
        fit(net, (x, y), MSE(), rule=BPTT(), epochs=60, valid=other, learning_rate=0.5, progress=stop_at(40, told))
    validation = [progress.validation for progress in told if progress.validation is not None]
    with torch.no_grad():
        left = float((net(other[0])[0] - other[1]).square().mean())
    assert left == pytest.approx(min(validation), rel=1e-12) and min(validation) < validation[-1]
    assert not net.training and all(weight.grad is None for weight in net.parameters())
