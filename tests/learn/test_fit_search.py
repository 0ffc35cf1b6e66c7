"""`fit` by searches and by Evolino: fitness, criteria, random guessing beside, and what is refused."""

from __future__ import annotations

import math
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from recurra.cells import LSTM, Elman
from recurra.errors import ShapeError, UsageError
from recurra.learn import (
    CMAES,
    ESP,
    GA,
    MSE,
    CoSyNE,
    CrossEntropy,
    Evolino,
    FitProgress,
    LearnedFraction,
    MaxEvaluations,
    MaxGenerations,
    MinMSE,
    Network,
    Ridge,
    SequenceBatch,
    fit,
)
from recurra.learn import search as searches
from recurra.learn.fitting.loss import learned_share
from recurra.learn.fitting.rule import names_a_search, read_rule
from recurra.learn.fitting.search import NetworkLoss
from recurra.learn.objectives import BinaryCrossEntropy, ObjectiveLearner
from recurra.nn import GRU

pytestmark = pytest.mark.usefixtures("double")
QUIET: dict[str, Any] = {"progress": False}


def task(steps: int = 6, size: int = 4) -> tuple[Tensor, Tensor]:
    """The input of two steps before: an Elman network of two units can write it."""
    x = torch.randn(steps, size, 1)
    return x, 0.5 * torch.cat([torch.zeros(1, size, 1), x[:-1]])


def elman_error(vector: np.ndarray, x: np.ndarray, d: np.ndarray, n: int) -> float:
    """The mean squared error of an Elman network whose weights are W, U, b, c, V, e one after the other."""
    sizes = [n, n * n, n, n, n, 1]
    w, u, b, c, v, e = np.split(vector, np.cumsum(sizes)[:-1])
    h, total = np.zeros((x.shape[1], n)), 0.0
    for t in range(len(x)):
        h = np.tanh(x[t] @ w.reshape(n, 1).T + h @ u.reshape(n, n).T + b + c)
        total += ((h @ v.reshape(1, n).T + e - d[t]) ** 2).sum()
    return total / d.size


def test_the_genetic_algorithm_is_asked_and_told_as_by_hand() -> None:
    x, d = task()
    net = Network(Elman(1, 2), outputs=1)
    stop = LearnedFraction(0.95) | MinMSE(1e-4) | MaxGenerations(6)
    found = fit(net, (x, d), MSE(), rule=GA(fitness="1/mse", stop=stop, population=12), seed=3, **QUIET)

    by_hand = searches.GA(found.details["weights"], population=12, seed=3)
    guess = searches.RandomGuess(found.details["weights"], population=12, seed=3 + 1_000_003)
    best, guesses = math.inf, math.inf
    for _ in range(6):
        errors = np.array([elman_error(row.numpy(), x.numpy(), d.numpy(), 2) for row in by_hand.ask()])
        by_hand.tell(1.0 / errors)
        best = min(best, errors.min())
        guesses = min(
            guesses, *(elman_error(row.numpy(), x.numpy(), d.numpy(), 2) for row in guess._first_population())
        )
    assert found.best_loss == pytest.approx(best, rel=1e-9) and found.guessing == pytest.approx(guesses, rel=1e-9)
    assert (found.steps, found.evaluations, found.stopped_because) == (6, 72, "6 generations")
    assert len(found.losses) == len(found.guesses) == 6 and found.losses == sorted(found.losses, reverse=True)
    own = elman_error(torch.cat([w.detach().reshape(-1) for w in net.parameters()]).numpy(), x.numpy(), d.numpy(), 2)
    assert own == pytest.approx(best, rel=1e-9), "the network is left with the best weights"


def test_the_same_by_an_executor_and_in_chunks() -> None:
    x, d = task()
    losses = []
    with ThreadPoolExecutor(2) as executor:
        for more in ({}, {"executor": executor}, {"chunk_size": 5}):
            torch.manual_seed(0)
            net = Network(GRU(1, 2), outputs=1)
            losses.append(fit(net, (x, d), MSE(), rule=CoSyNE(population=8), steps=3, **more, **QUIET).losses)
    assert losses[0] == pytest.approx(losses[1], rel=1e-9) and losses[0] == pytest.approx(losses[2], rel=1e-9)


def test_a_loss_goes_to_other_processes() -> None:
    x, d = task()
    learner = ObjectiveLearner(Network(Elman(1, 2), outputs=1), MSE())
    vector = searches.WeightVector(learner)
    there = pickle.loads(pickle.dumps(NetworkLoss(vector, [SequenceBatch(x, d)], [24.0])))
    row = torch.arange(13.0) / 13
    wanted = elman_error(row.numpy(), x.numpy(), d.numpy(), 2)
    assert there(vector.unflatten(row)).item() == pytest.approx(wanted, rel=1e-9)


def test_sequences_of_several_lengths_and_classes() -> None:
    pairs = [(torch.full((n, 1), float(n % 2)), torch.tensor(n % 2)) for n in (2, 3, 5, 4)]
    net = Network(Elman(1, 3), outputs=2)
    stop = LearnedFraction(1.0) | MaxGenerations(60)
    found = fit(net, pairs, CrossEntropy("end"), rule=CoSyNE(population=20, spread=2.0), stop=stop, **QUIET)
    assert found.stopped_because == "100% of the examples are learned"
    for x, label in pairs:
        assert int(net(x.unsqueeze(1))[0][-1, 0].argmax()) == int(label)


def test_the_best_on_validation_data_is_kept_and_batches_count_by_their_signals() -> None:
    x, d = task(size=7)
    d[3:, :5] = float("nan")
    valid = task()
    torch.manual_seed(2)
    net = Network(Elman(1, 2), outputs=1)
    whole = fit(net, (x, d), MSE(), rule=CoSyNE(population=8), steps=4, **QUIET)
    torch.manual_seed(2)
    net = Network(Elman(1, 2), outputs=1)
    cut = fit(net, (x, d), MSE(), rule=CoSyNE(population=8), steps=4, batch_size=3, valid=valid, **QUIET)
    assert cut.losses == pytest.approx(whole.losses, rel=1e-9)
    assert cut.best_loss == min(loss for _, loss in cut.validation)
    flat = torch.cat([w.detach().reshape(-1) for w in net.parameters()]).numpy()
    assert elman_error(flat, valid[0].numpy(), valid[1].numpy(), 2) == pytest.approx(cut.best_loss, rel=1e-9)


def test_progress_and_the_ways_to_name_a_search() -> None:
    told: list[FitProgress] = []
    x, d = task()
    for rule in (CoSyNE(population=8), CoSyNE, searches.CoSyNE, "cosyne(population=8)", "cma-es", "cmaes"):
        net = Network(Elman(1, 2), outputs=1)
        told.clear()
        found = fit(net, (x, d), MSE(), rule=rule, stop=MaxEvaluations(20), progress=told.append)
        assert [each.evaluations for each in told][-1] == found.evaluations >= 20
        assert str(told[-1]).startswith(f"generation {found.steps}, best ") and "guessing" in str(told[-1])
        assert told[-1].mean is not None and told[-1].mean >= told[-1].loss
    live = searches.CoSyNE(13, population=8)
    assert fit(Network(Elman(1, 2), outputs=1), (x, d), MSE(), rule=live, steps=1, **QUIET).evaluations == 8
    assert live.generation == 1


def test_a_search_that_grows_networks_of_its_own() -> None:
    from recurra.learn import NEAT
    from recurra.learn.search.neat_cell import NeatCell

    x, d = task()
    found = fit(NeatCell(1, 6, 1), (x, d.sigmoid()), MSE(), rule=NEAT(1, nodes=6, population=8, fitness="1/mse"),
                steps=2, **QUIET)  # fmt: skip
    assert found.evaluations == 16 and found.best_loss < 1.0
    assert type(NEAT(1, nodes=6, population=8)).__name__ == "NEAT"
    with pytest.raises(UsageError, match="a network such as NEAT grows"):
        fit(NeatCell(1, 5, 1), (x, d), MSE(), rule=NEAT(1, nodes=6, fitness="1/mse"), **QUIET)


def test_subpopulations_of_neurons_and_the_networks_own_weights_as_a_start() -> None:
    x, d = task()
    found = fit(Network(LSTM(1, 3), outputs=1), (x, d), MSE(), rule=ESP(subpopulation=4, trials=2), steps=2, **QUIET)
    assert found.evaluations == 16
    net = Network(Elman(1, 2), outputs=1)
    before = torch.cat([w.detach().reshape(-1) for w in net.parameters()])
    fit(net, (x, d), MSE(), rule=CMAES(spread=1e-6), steps=1, **QUIET)
    after = torch.cat([w.detach().reshape(-1) for w in net.parameters()])
    assert 0 < float((after - before).abs().max()) < 1e-4


def test_which_examples_are_learned() -> None:
    class Echo(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.zeros(1))

        def forward(self, x: Tensor, state: Any = None, lengths: Any = None) -> tuple[Tensor, Any]:
            return x + self.w, state

    nan = float("nan")
    d = torch.tensor([[0.0, 1.0, nan], [10.0, 2.0, 3.0]]).unsqueeze(-1)
    x = torch.tensor([[0.9, 1.0, 5.0], [10.0, 4.0, 3.0]]).unsqueeze(-1)
    learner = ObjectiveLearner(Echo(), MSE())
    # The range is 10, so 1 is near enough; the second sequence misses by 2 at its last step.
    assert learned_share(learner, [SequenceBatch(x, d)]) == pytest.approx(2 / 3)
    assert learned_share(learner, [SequenceBatch(x, d)], tolerance=0.5) == pytest.approx(1 / 3)
    assert learned_share(learner, [SequenceBatch(x, d, torch.tensor([2, 1, 2]))]) == 1.0
    yes = ObjectiveLearner(Echo(), BinaryCrossEntropy())
    assert learned_share(yes, [SequenceBatch(x - 4.0, (x > 4.5).double())]) == pytest.approx(1.0)
    assert learned_share(yes, [SequenceBatch(x - 4.0, (x < 4.5).double())]) == 0.0


def test_evolino_finds_a_wave_and_gives_the_network_back() -> None:
    wave = torch.sin(0.3 * torch.arange(120.0)).reshape(-1, 1, 1)
    cell = LSTM(1, 4)
    rule = Evolino(CoSyNE(population=8, spread=0.5), Ridge(0.0, bias=False), washout=20, scale=0.01)
    found = fit(cell, (None, wave), MSE(), rule=rule, steps=3, seed=1, **QUIET)
    assert found.evaluations == 24 and len(found.guesses) == 3 and found.stopped_because == "3 generations"
    assert found.guessing == min(found.guesses) and found.best_loss == min(found.losses) < 0.01
    # In closed loop the network given back writes what Evolino judged.
    evolino = found.details["evolino"]
    assert evolino.evaluate(
        torch.cat([w.detach().reshape(-1) for w in cell.parameters()]).unsqueeze(0), searches_sequences(wave)
    ).error[0] == pytest.approx(found.best_loss, rel=1e-6)
    assert found.network(torch.zeros(5, 1, 1))[0].shape == (5, 1, 1)


def searches_sequences(wave: Tensor) -> Any:
    from recurra.learn.closed import Sequences

    return Sequences(wave)


def test_evolino_without_feedback() -> None:
    x, d = task(40, 2)
    rule = Evolino(CoSyNE(population=8), Ridge(), washout=4)
    found = fit(Elman(1, 3), (x, d), MSE(), rule=rule, steps=2, **QUIET)
    output, _ = found.network(x)
    assert float((output - d)[4:].detach().square().mean()) == pytest.approx(found.best_loss, rel=1e-6)


def test_texts() -> None:
    assert names_a_search("CMAES") and names_a_search("openai-es(population=4)") and not names_a_search("rtrl")
    assert repr(read_rule("ga(population=80, selection=rank)")) == "GA(population=80, selection='rank')"
    assert repr(GA(fitness="1/mse", stop=(MinMSE(0.1) & MaxGenerations(2)) | MaxGenerations(9))) == (
        "GA(fitness='1/mse', stop=(MinMSE(error=0.1) & MaxGenerations(generations=2)) | MaxGenerations(generations=9))"
    )


X, D = torch.zeros(3, 2, 1), torch.zeros(3, 2, 1)


def small() -> Network:
    return Network(Elman(1, 2), outputs=1).double()


REFUSED: dict[str, tuple[Any, tuple[str, ...]]] = {
    "an argument": (lambda: GA(populaton=3), ("GA: 'populaton' is no argument", "did you mean 'population'?")),
    "a fitness": (lambda: GA(fitness="mse"), ("fitness is 'mse'", "-loss, 1/loss")),
    "a criterion": (lambda: GA(stop=500), ("GA: stop is 500", "MaxGenerations(500)")),
    "mse of another objective": (
        lambda: fit(small(), (X, D.long()[..., 0]), CrossEntropy(), rule=GA(fitness="1/mse")),
        ("fitness is '1/mse'", "fitness='-loss'"),
    ),
    "MinMSE of another objective": (
        lambda: fit(small(), (X, D.long()[..., 0]), CrossEntropy(), rule=GA(stop=MinMSE(1.0))),
        ("MinMSE with CrossEntropy", "MinFitness"),
    ),
    "a learning rate": (
        lambda: fit(small(), (X, D), MSE(), rule=GA(), learning_rate=0.1, clip=2.0),
        ("learning_rate and clip are given to a search", "stop=..."),
    ),
    "another dimension": (
        lambda: fit(small(), (X, D), MSE(), rule=searches.GA(5)),
        ("over vectors of 5 numbers, and the network has 13 weights", "GA(...) without a dimension"),
    ),
    "too many weights for a covariance": (
        lambda: fit(Network(Elman(1, 80), outputs=1), (X, D), MSE(), rule=CMAES()),
        ("keeps the covariance of all pairs", "openai-es"),
    ),
    "several cells for ESP": (
        lambda: fit(Network(Elman(1, 2), Elman(2, 2), outputs=1), (X, D), MSE(), rule=ESP()),
        ("the network has 2 cells", "ESP(neurons=[...])"),
    ),
    "Evolino on two layers": (
        lambda: fit(Network(Elman(1, 2), Elman(2, 2)), (X, D), MSE(), rule=Evolino(CoSyNE(), Ridge())),
        ("more than one cell",),
    ),
    "Evolino's objective": (
        lambda: fit(Elman(1, 2), (X, D), CrossEntropy(), rule=Evolino(CoSyNE(), Ridge())),
        ("the objective is CrossEntropy", "MSE()"),
    ),
    "Evolino's inputs": (
        lambda: fit(Elman(5, 2), (X, D), MSE(), rule=Evolino(CoSyNE(), Ridge())),
        ("the cell has 5 inputs, and the data 1 inputs and 1 outputs", "or 2 for a network"),
    ),
    "Evolino of what": (lambda: Evolino(Ridge(), CoSyNE()), ("Evolino was given Ridge", "a search and a Ridge")),
    "a penalty twice": (lambda: Evolino(CoSyNE(), Ridge(), penalty=1.0), ("penalty is given beside Ridge",)),
    "a positional number": (lambda: read_rule("ga(80)"), ("'80' in 'ga(80)'", "population=80")),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_with_a_cure(case: str) -> None:
    call, parts = REFUSED[case]
    with pytest.raises((UsageError, ShapeError)) as caught:
        call()
    for part in parts:
        assert part in str(caught.value)
