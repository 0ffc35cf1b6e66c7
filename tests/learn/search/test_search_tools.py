"""What stands about the searches: weights as vectors, populations evaluated, criteria to stop, the loop."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn

from recurra.cells import GRU, LSTM, Elman
from recurra.errors import ShapeError, UsageError
from recurra.learn.search import (
    GA,
    LearnedFraction,
    MaxEvaluations,
    MaxGenerations,
    MinFitness,
    MinMSE,
    Progress,
    RandomGuess,
    Stagnation,
    WeightVector,
    evaluate,
    fitness_of,
    learner_loss,
    run_search,
)
from recurra.nn import Recurrent
from recurra.unroll import unroll


class Net(nn.Module):
    """A cell and a linear read-out of every step."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell
        self.read = nn.Linear(cell.hidden_size, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.read(unroll(self.cell, x)[0])


@pytest.mark.parametrize("kind", [Elman, LSTM, GRU])
def test_a_population_is_as_its_networks_one_by_one(kind: type) -> None:
    torch.manual_seed(0)
    net = Net(kind(3, 4)).double()
    x, target = torch.randn(5, 2, 3).double(), torch.randn(5, 2, 2).double()
    vector = WeightVector(net)
    rows = vector.flatten() + 0.3 * torch.randn(7, vector.dimension).double()

    def error(weights: dict[str, Tensor]) -> Tensor:
        return (vector.call(weights, x) - target).square().mean()

    together = evaluate(rows, error, vector=vector)
    assert torch.equal(together, evaluate(rows, error, vector=vector, chunk_size=3).to(together))
    with ThreadPoolExecutor(2) as executor:
        apart = evaluate(rows, error, vector=vector, executor=executor)
    before = vector.flatten()
    for row, one, other in zip(rows, together, apart, strict=True):
        vector.write(row)
        assert torch.equal(vector.flatten(), row)
        own = float((net(x) - target).square().mean().detach())
        assert float(one) == pytest.approx(own, rel=1e-10) and float(other) == pytest.approx(own, rel=1e-10)
    vector.write(before)


def test_a_layer_s_population() -> None:
    """A layer, whose fast paths must stand aside under vmap."""
    torch.manual_seed(0)
    layer = Recurrent("lstm", 2, 3, 2)
    x = torch.randn(4, 2, 2)
    vector = WeightVector(layer)
    rows = torch.randn(3, vector.dimension)
    together = evaluate(rows, lambda weights: vector.call(weights, x)[0].sum(), vector=vector)
    for row, value in zip(rows, together, strict=True):
        vector.write(row)
        assert float(value) == pytest.approx(float(layer(x)[0].sum().detach()), rel=1e-4, abs=1e-5)


def test_a_vector_there_and_back() -> None:
    net = Net(LSTM(3, 4))
    vector = WeightVector(net)
    flat = torch.cat([weight.detach().reshape(-1) for weight in net.parameters()])
    assert torch.equal(vector.flatten(), flat) and vector.dimension == flat.numel() == sum(vector.sizes)
    weights = vector.unflatten(flat.double())
    assert all(torch.equal(weights[name], value) for name, value in net.named_parameters())
    assert torch.equal(vector.flatten(weights), flat)
    assert weights["read.bias"].dtype == torch.float32
    stacked = vector.stack(torch.stack([flat, 2 * flat]))
    assert torch.equal(stacked["cell.weight_hh"][1], 2 * net.cell.weight_hh)


def test_a_vector_goes_to_other_processes() -> None:
    vector = WeightVector(Net(Elman(1, 2)))
    x, row = torch.ones(3, 1, 1), torch.arange(float(vector.dimension))
    there = pickle.loads(pickle.dumps(vector))
    assert torch.equal(there.call(there.unflatten(row), x), vector.call(vector.unflatten(row), x))


def test_only_what_takes_part() -> None:
    net = Net(Elman(1, 2))
    net.cell.requires_grad_(False)
    assert WeightVector(net).names == ["read.weight", "read.bias"]
    some = WeightVector(net, names=["read.bias", "cell.weight_ih"])
    assert some.names == ["cell.weight_ih", "read.bias"] and some.dimension == 4
    frozen = net.cell.weight_hh.clone()
    some.write(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    assert torch.equal(net.cell.weight_hh, frozen) and net.read.bias.tolist() == [3.0, 4.0]
    assert net.cell.weight_ih.flatten().tolist() == [1.0, 2.0]


def test_the_genes_of_each_neuron() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gates = nn.Parameter(torch.zeros(4, 3))  # two blocks of two rows
            self.peep = nn.Parameter(torch.zeros(2))
            self.read = nn.Parameter(torch.zeros(1, 2))
            self.level = nn.Parameter(torch.zeros(1))

    assert WeightVector(Odd()).neurons(2) == [
        [0, 1, 2, 6, 7, 8, 12, 14],
        [3, 4, 5, 9, 10, 11, 13, 15],
        [16],
    ]


def test_vectors_that_do_not_fit() -> None:
    vector = WeightVector(Elman(1, 2, bias=False))
    with pytest.raises(ShapeError, match=r"WeightVector.unflatten: vector has shape \(5,\). Needed: \(6,\)"):
        vector.unflatten(torch.zeros(5))
    with pytest.raises(ShapeError, match=r"WeightVector.stack: population has shape \(6,\). Needed: \(P, 6\)"):
        vector.stack(torch.zeros(6))
    with pytest.raises(UsageError, match=r"'weight_xx' is no parameter. Needed: one of weight_ih, weight_hh"):
        WeightVector(Elman(1, 2, bias=False), names=["weight_xx"])
    with pytest.raises(UsageError, match="no parameter of Tanh takes part"):
        WeightVector(nn.Tanh())


def test_evaluation_that_does_not_fit() -> None:
    with pytest.raises(ShapeError, match=r"evaluate: population has shape \(3,\). Needed: a tensor \(P, D\)"):
        evaluate(torch.zeros(3), lambda row: row.sum())
    with pytest.raises(ShapeError, match=r"function gave shape \(2,\) for a row.*Cure: take the mean"):
        evaluate(torch.zeros(3, 2), lambda row: row)
    with ThreadPoolExecutor(1) as executor:
        assert evaluate(torch.eye(2), lambda row: float(row[0]), executor=executor).tolist() == [1.0, 0.0]
        with pytest.raises(ShapeError, match=r"function gave shape \(2,\)"):
            evaluate(torch.zeros(3, 2), lambda row: row, executor=executor)


def test_a_learner_s_loss_over_the_whole_batch() -> None:
    class Sums:
        steps, x = 3, torch.tensor([1.0, 2.0, 4.0])

    class Learner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(1.0))

        def forward(self, batch, start, stop, state):
            return (self.scale * batch.x[start:stop]).sum() / batch.steps, state

    vector = WeightVector(Learner())
    assert evaluate(torch.tensor([[3.0], [6.0]]), learner_loss(vector, Sums()), vector=vector).tolist() == [7.0, 14.0]


def test_fitness_of_errors() -> None:
    errors = torch.tensor([0.25, 0.0, float("nan")])
    assert fitness_of(errors)[:2].tolist() == [4.0, pytest.approx(1e12)] and bool(fitness_of(errors)[2].isnan())
    assert fitness_of(errors, "-mse")[0] == -0.25
    with pytest.raises(
        UsageError, match="'1/mae' is not a fitness. Needed: one of 1/mse, -mse. Cure: did you mean '1/mse'"
    ):
        fitness_of(errors, "1/mae")


def progress(**facts: float) -> Progress:
    return Progress(
        **{"generation": 5, "evaluations": 50, "stale": 2, "fitness": 1.0, "mse": 0.2, "learned": 0.5, **facts}
    )


@pytest.mark.parametrize(
    ("stop", "met", "reason"),
    [
        (LearnedFraction(0.95), {"learned": 0.95}, "95% of the examples are learned"),
        (MinMSE(1e-4), {"mse": 1e-4}, "the mean squared error is 0.0001"),
        (MaxGenerations(6), {"generation": 6}, "6 generations"),
        (MaxEvaluations(51), {"evaluations": 60}, "60 evaluations"),
        (Stagnation(3), {"stale": 3}, "no better network for 3 generations"),
        (MinFitness(2.0), {"fitness": 2.0}, "the fitness is 2"),
    ],
)
def test_criteria(stop, met: dict, reason: str) -> None:
    assert stop.why(progress()) is None
    assert stop.why(progress(**met)) == reason


def test_criteria_combine() -> None:
    either = LearnedFraction(0.95) | MinMSE(1e-4) | MaxGenerations(500)
    assert len(either.criteria) == 3 and either.why(progress()) is None
    assert either.why(progress(mse=0.0)) == "the mean squared error is 0"
    assert either.why(progress(generation=500)) == "500 generations"
    both = MinMSE(0.1) & Stagnation(4)
    assert both.why(progress(mse=0.05)) is None and both.why(progress(stale=9)) is None
    assert (
        both.why(progress(mse=0.05, stale=4))
        == "the mean squared error is 0.05 and no better network for 4 generations"
    )
    mixed = both | MaxGenerations(9)
    assert mixed.why(progress(generation=9)) == "9 generations" and len(mixed.criteria) == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LearnedFraction(95), "LearnedFraction: share is 95. Needed: a number above 0, at most 1"),
        (lambda: MinMSE(-1.0), "MinMSE: error is -1.0. Needed: a number, at least 0"),
        (lambda: MaxGenerations(0), "MaxGenerations: generations is 0"),
        (lambda: MaxGenerations(3) | 5, "a criterion was combined with 5. Needed: another criterion"),
        (
            lambda: MinMSE(0.1).why(Progress(1, 1, 0, 1.0)),
            "MinMSE: progress has no mse.*Cure: give run_search a `measure`",
        ),
        (
            lambda: (MaxGenerations(1) | LearnedFraction(0.5)).why(Progress(1, 1, 0, 1.0)),
            "LearnedFraction: progress has no learned",
        ),
        (lambda: run_search(GA(2), lambda rows: rows.sum(1), 500), "run_search: stop is 500"),
    ],
)
def test_criteria_used_wrongly(make, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()


def test_the_loop_measures_new_bests_only_and_reports_every_generation() -> None:
    measured, reported = [], []

    def measure(best: Tensor) -> dict[str, float]:
        measured.append(best.clone())
        return {"mse": float(best.square().sum()), "learned": 0.0}

    search = RandomGuess(3, population=8, seed=0)
    stop = MaxGenerations(30) | LearnedFraction(1.0)
    outcome = run_search(search, lambda rows: -rows.square().sum(1), stop, measure=measure, report=reported.append)
    assert outcome.reason == "30 generations" and [p.generation for p in reported] == list(range(1, 31))
    assert len(measured) == sum(p.stale == 0 for p in reported) < 30
    assert outcome.best.fitness == pytest.approx(-reported[-1].mse)
    assert all(a.mse >= b.mse for a, b in zip(reported, reported[1:], strict=False))
    assert run_search(search, lambda rows: rows.sum(1), MaxGenerations(31)).progress.generation == 31  # it goes on
