"""Evolino network by network in plain loops: phase 1, phase 2, and what a search makes of them."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import torch

from recurra.cells import GRU, LSTM, Elman
from recurra.errors import ShapeError, TrainingError, UsageError
from recurra.learn.closed import Evolino, Sequences
from recurra.learn.search import ESP, CoSyNE, MaxGenerations, MinMSE, WeightVector
from recurra.problems.sines import superimposed_sines


class Listed:
    """A search that asks for given populations in turn, and keeps what it is told."""

    def __init__(self, *populations: torch.Tensor):
        self.populations, self.told = list(populations), []

    def ask(self) -> torch.Tensor:
        return self.populations[len(self.told)]

    def tell(self, fitness: torch.Tensor) -> None:
        self.told.append(fitness)


def population(cell: torch.nn.Module, count: int, seed: int = 0) -> torch.Tensor:
    size = sum(weight.numel() for weight in cell.parameters())
    return 0.7 * torch.randn(count, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def lstm_by_hand(vector: np.ndarray, inputs: int, hidden: int) -> tuple:
    """The step of an LSTM whose weights are the vector's parts in torch.nn's order."""
    shapes = [(4 * hidden, inputs), (4 * hidden, hidden), (4 * hidden,), (4 * hidden,)]
    parts, at = [], 0
    for shape in shapes:
        parts.append(vector[at : at + math.prod(shape)].reshape(shape))
        at += math.prod(shape)
    assert at == len(vector)
    w, u, b, d = parts

    def sigmoid(a: np.ndarray) -> np.ndarray:
        return 1.0 / (1.0 + np.exp(-a))

    def step(x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        i, f, g, o = np.split(w @ x + b + u @ h + d, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c

    return step, (np.zeros(hidden), np.zeros(hidden))


@pytest.mark.parametrize("external", [0, 2])
@pytest.mark.parametrize("at_once", [None, 2])
def test_both_phases_with_feedback_equal_plain_loops_and_lstsq(external: int, at_once: int | None) -> None:
    torch.manual_seed(1)
    hidden, outputs, washout, scale = 4, 2, 5, 0.4
    cell = LSTM(external + outputs, hidden, dtype=torch.float64)
    vectors = population(cell, 5)
    d = torch.randn(30, 3, outputs, dtype=torch.float64)
    e = torch.randn(12, 2, outputs, dtype=torch.float64)
    u, v = torch.randn(30, 3, external, dtype=torch.float64), torch.randn(12, 2, external, dtype=torch.float64)
    train, judged = (Sequences(d, u), Sequences(e, v)) if external else (Sequences(d), Sequences(e))
    evolino = Evolino(cell, Listed(), outputs, washout=washout, scale=scale, at_once=at_once)
    found = evolino.evaluate(vectors, train, judged)
    for k, vector in enumerate(vectors.numpy()):
        step, rest = lstm_by_hand(vector, external + outputs, hidden)
        rows, wanted = [], []
        for b in range(3):
            (h, c), back = rest, np.zeros(outputs)
            for t in range(30):
                h, c = step(np.concatenate([u[t, b], scale * back]), h, c)
                back = d[t, b].numpy()
                if t >= washout:
                    rows.append(h)
                    wanted.append(back)
        readout = np.linalg.lstsq(np.array(rows), np.array(wanted), rcond=None)[0].T
        np.testing.assert_allclose(found.readout[k].numpy(), readout, rtol=1e-7, atol=1e-9)
        missed = []
        for b in range(2):
            (h, c), back = rest, np.zeros(outputs)
            for t in range(12):
                h, c = step(np.concatenate([v[t, b], scale * back]), h, c)
                back = e[t, b].numpy() if t < washout else readout @ h
                if t >= washout:
                    missed.append(np.mean((back - e[t, b].numpy()) ** 2))
        np.testing.assert_allclose(found.error[k].item(), np.mean(missed), rtol=1e-6)


def test_without_feedback_and_with_a_mask_only_steps_with_targets_count() -> None:
    torch.manual_seed(2)
    cell = GRU(2, 5, dtype=torch.float64)
    vectors, u = population(cell, 3), torch.randn(20, 4, 2, dtype=torch.float64)
    d, mask = torch.randn(20, 4, 1, dtype=torch.float64), torch.rand(20, 4) < 0.6
    d = torch.where(mask.unsqueeze(-1), d, torch.full_like(d, math.nan))
    evolino = Evolino(cell, Listed(vectors), feedback=False, washout=3, bias=True, penalty=0.1)
    evolino.fit(Sequences(d, u, mask), stop=MaxGenerations(1))
    errors, rows = [], mask[3:].numpy()
    for vector in vectors:
        WeightVector(cell).write(vector)
        state, hidden = cell.initial_state(4), []
        for t in range(20):
            y, state = cell(u[t], state)
            hidden.append(y.detach().numpy())
        x = np.array(hidden)[3:][rows]
        x = np.hstack([x, np.ones((len(x), 1))])
        y = d[3:].numpy()[rows]
        w = np.linalg.solve(x.T @ x + 0.1 * np.eye(6), x.T @ y).T
        errors.append((np.mean((x @ w.T - y) ** 2), w))
    best, readout = min(errors, key=lambda pair: pair[0])
    assert abs(evolino.error / best - 1) < 1e-9
    np.testing.assert_allclose(evolino.readout.numpy(), readout, rtol=1e-8)
    np.testing.assert_allclose(evolino.search.told[0].numpy(), [1.0 / e for e, _ in errors], rtol=1e-8)
    # The cell was written over above: fitting again brings the best network back into it.
    WeightVector(cell).write(vectors[int(np.argmin([e for e, _ in errors]))])
    said = evolino.predict(u)[3:].numpy()[rows]
    assert abs(np.mean((said - d[3:].numpy()[rows]) ** 2) / best - 1) < 1e-9


def test_the_best_network_of_all_generations_is_kept_and_generates() -> None:
    cell = Elman(1, 6, dtype=torch.float64)
    good, bad = population(cell, 4, seed=3), 5 * population(cell, 4, seed=4)
    wave = superimposed_sines(90, 1)
    evolino = Evolino(cell, Listed(good, bad), washout=20, scale=0.1, fitness=lambda error: -torch.log(error))
    said = []
    evolino.fit(Sequences(wave), stop=MaxGenerations(2), report=said.append)
    errors = evolino.evaluate(torch.cat([good, bad]), Sequences(wave)).error
    assert evolino.error == errors.min() and int(errors.argmin()) < 4
    torch.testing.assert_close(WeightVector(cell).flatten(), good[int(errors.argmin())])
    torch.testing.assert_close(torch.cat(evolino.search.told), -torch.log(errors))
    assert [(p.generation, p.evaluations, p.stale) for p in said] == [(1, 4, 0), (2, 8, 1)]
    assert evolino.reason == "2 generations" and said[-1].mse == evolino.error
    free = evolino.generate(wave[:20], 70)
    assert abs(float((free - wave[20:]).square().mean()) / evolino.error - 1) < 1e-6
    assert evolino.generate(wave[:0], 3).shape == (3, 1, 1)


def test_networks_that_blow_up_do_no_harm() -> None:
    cell = Elman(1, 3, nonlinearity="relu", dtype=torch.float64)
    vectors = torch.cat([population(cell, 3), torch.full((1, 18), 1e3, dtype=torch.float64)])
    evolino = Evolino(cell, Listed(vectors, vectors[3:]), washout=5, scale=0.1)
    found = evolino.evaluate(vectors, Sequences(superimposed_sines(400, 1)))
    assert torch.isinf(found.error[3]) and torch.isfinite(found.error[:3]).all()
    evolino.fit(Sequences(superimposed_sines(400, 1)), stop=MaxGenerations(1))
    assert math.isfinite(evolino.error) and evolino.search.told[0][3] == 0.0
    lost = Evolino(cell, Listed(vectors[3:]), washout=5)
    with pytest.raises(TrainingError, match="no network gave a finite error. Cure: a smaller spread"):
        lost.fit(Sequences(superimposed_sines(400, 1)), stop=MaxGenerations(1))


@pytest.mark.parametrize("kind", ["esp", "cosyne"])
def test_searches_get_better_than_their_first_guess_and_stop(kind: str) -> None:
    cell = LSTM(1, 6, dtype=torch.float64)
    vector = WeightVector(cell)
    units = vector.neurons(6)
    search = (
        ESP(vector.dimension, 8, 2, spread=0.5, neurons=units, mutation_scale=0.05, seed=2)
        if kind == "esp"
        else CoSyNE(vector.dimension, 16, spread=0.5, segments=units, mutation_scale=0.05, seed=2)
    )
    wave, said = superimposed_sines(160, 2), []
    evolino = Evolino(cell, search, washout=60, scale=0.01)
    evolino.fit(Sequences(wave), stop=MinMSE(1e-9) | MaxGenerations(12), report=said.append)
    assert evolino.error < 0.5 * said[0].mse and evolino.error < 0.1
    assert evolino.error == pytest.approx(1.0 / search.best.fitness)
    before = evolino.error
    evolino.fit(Sequences(wave), stop=MaxGenerations(14))  # generations count on
    assert evolino.progress.generation == 14 and evolino.error <= before


def test_going_on_from_a_state_is_the_same_as_never_having_stopped() -> None:
    wave = superimposed_sines(60, 2)

    def made() -> Evolino:
        cell = LSTM(1, 3, dtype=torch.float64)
        vector = WeightVector(cell)
        return Evolino(cell, ESP(vector.dimension, 4, 2, neurons=vector.neurons(3), seed=5), washout=20, scale=0.01)

    whole = made().fit(Sequences(wave), stop=MaxGenerations(5))
    half = made().fit(Sequences(wave), stop=MaxGenerations(2))
    resumed = made()
    resumed.load_state_dict(half.state_dict())
    torch.testing.assert_close(resumed.generate(wave[:20], 5), half.generate(wave[:20], 5))
    resumed.fit(Sequences(wave), stop=MaxGenerations(5))
    assert resumed.error == whole.error and resumed.progress == whole.progress
    assert torch.equal(resumed.readout, whole.readout)
    assert torch.equal(resumed.vector.flatten(), whole.vector.flatten())


def test_messages() -> None:
    cell, wave = LSTM(1, 2, dtype=torch.float64), superimposed_sines(50, 1)
    evolino = Evolino(cell, Listed(torch.zeros(2, 5, dtype=torch.float64)), washout=10)
    with pytest.raises(ShapeError, match=re.escape("population has shape (2, 5). Needed: (P, 40)")):
        evolino.fit(Sequences(wave))
    with pytest.raises(ShapeError, match="Evolino, train: targets has 10 steps. Needed: more than the washout of 10"):
        evolino.fit(Sequences(wave[:10]))
    with pytest.raises(ShapeError, match="Evolino, judged: targets is torch.float32"):
        evolino.fit(Sequences(wave), Sequences(wave.float()))
    with pytest.raises(UsageError, match="Evolino.network: no network was found yet. Cure: call fit first"):
        evolino.generate(wave, 3)
    with pytest.raises(UsageError, match="the network reads its own outputs. Cure: use generate"):
        evolino.predict(wave)
    with pytest.raises(UsageError, match="the cell has 1 inputs for 2 outputs"):
        Evolino(cell, Listed(), outputs=2)
    with pytest.raises(UsageError, match="washout is -1"):
        Evolino(cell, Listed(), washout=-1)
    with pytest.raises(UsageError, match="'mse' is not a fitness"):
        Evolino(cell, Listed(), fitness="mse")
    outer = Evolino(LSTM(3, 2, dtype=torch.float64), Listed(), washout=10)
    with pytest.raises(ShapeError, match=re.escape("inputs is absent. Needed: (time, batch, 2)")):
        outer.fit(Sequences(wave))
    with pytest.raises(ShapeError, match=re.escape("inputs has shape (40, 1, 2). Needed: (50, 1) in front")):
        outer.fit(Sequences(wave, wave.new_zeros(40, 1, 2)))
    with pytest.raises(
        ShapeError, match=re.escape("mask is torch.bool of shape (50,). Needed: booleans of shape (50, 1)")
    ):
        evolino.fit(Sequences(wave, None, torch.ones(50, dtype=torch.bool)))
