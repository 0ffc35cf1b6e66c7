"""The networks of the study of the first LSTM paper, against the paper's forward traces written out in numpy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

STUDIES = Path(__file__).parent.parent.parent / "studies"


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(STUDIES))
    import lstm_1997

    return lstm_1997


def sigmoid(a: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-a))


def traces(shape: Any, weights: dict[str, np.ndarray], x: np.ndarray, target: np.ndarray) -> dict[str, np.ndarray]:
    """Half the squared error's truncated gradient at the last step, by appendix A.1, block by block."""
    blocks, size = shape.blocks, shape.size
    cell = [[v * blocks + j for v in range(size)] for j in range(blocks)]
    into = [shape.cells + j for j in range(blocks)]
    out = [shape.cells + blocks + j for j in range(blocks)]
    w = np.concatenate([weights["ih"], weights["hh"], weights["bias"][:, None]], 1)
    s = np.zeros(shape.cells)
    by_cell, by_gate = np.zeros((shape.cells, w.shape[1])), np.zeros((shape.cells, w.shape[1]))
    u = np.zeros(shape.units)
    for x_t in x:
        seen = np.concatenate([x_t, u, [1.0]])
        net = w @ seen
        u = np.zeros(shape.units)
        h, y_out = np.zeros(shape.cells), np.zeros(blocks)
        for j in range(blocks):
            y_in, y_out[j] = sigmoid(net[into[j]]), sigmoid(net[out[j]])
            u[into[j]], u[out[j]] = y_in, y_out[j]
            for c in cell[j]:
                squashed = sigmoid(net[c])
                by_gate[c] += (4 * squashed - 2) * y_in * (1 - y_in) * seen
                by_cell[c] += y_in * 4 * squashed * (1 - squashed) * seen
                s[c] += y_in * (4 * squashed - 2)
                h[c] = 2 * sigmoid(s[c]) - 1
                u[c] = y_out[j] * h[c]
    y = sigmoid(weights["read"] @ u[: shape.cells] + weights["out"])
    e = (y - target) * y * (1 - y)
    back = weights["read"].T @ e
    gradient = np.zeros_like(w)
    for j in range(blocks):
        for c in cell[j]:
            e_s = y_out[j] * 2 * sigmoid(s[c]) * (1 - sigmoid(s[c])) * back[c]
            gradient[c] += e_s * by_cell[c]
            gradient[into[j]] += e_s * by_gate[c]
            gradient[out[j]] += h[c] * back[c] * y_out[j] * (1 - y_out[j]) * seen
    n = shape.inputs
    return {
        "ih": gradient[:, :n],
        "hh": gradient[:, n:-1],
        "bias": gradient[:, -1],
        "read": np.outer(e, u[: shape.cells]),
        "out": e,
    }


@pytest.mark.parametrize(("blocks", "size"), [(1, 1), (3, 2), (2, 3)])
def test_one_learning_step_is_that_of_the_paper(study: Any, blocks: int, size: int) -> None:
    shape = study.Shape(3, blocks, size, 2, "all", 0.7)
    networks = study.ManyNetworks(shape, [5])
    cell = networks.cell
    parts = {"ih": cell.weight_ih, "hh": cell.weight_hh, "bias": cell.bias_ih, "read": networks.read}
    parts["out"] = networks.bias
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(9, 1, 3, dtype=torch.float64, generator=generator)
    target = torch.rand(1, 2, dtype=torch.float64, generator=generator)
    before = {name: part.detach().clone() for name, part in parts.items()}
    flat = {name: part.numpy().squeeze(0) if name in ("read", "out") else part.numpy() for name, part in before.items()}
    expected = traces(shape, flat, x[:, 0].numpy(), target[0].numpy())
    case = study.Case("", shape, 0.3, 1)
    study.learn(networks, case, study.run(networks, x)[-1, 0], target)
    for name, part in parts.items():
        moved = ((before[name] - part.detach()) / 0.3).numpy().reshape(expected[name].shape)
        np.testing.assert_allclose(moved, expected[name], rtol=1e-8, atol=1e-12, err_msg=name)
        assert np.abs(moved).max() > 1e-6


@pytest.mark.parametrize("biases", ["none", "gates", "hidden", "all"])
def test_a_network_among_others_learns_as_alone(study: Any, biases: str) -> None:
    shape = study.Shape(2, 2, 2, 3, biases, 0.5, (-1.0, -2.0) if biases != "none" else ())
    x = torch.randn(7, 1, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    case = study.Case("", shape, 0.5, 1)

    def learned(seeds: list[int], at: list[int]) -> Any:
        networks = study.ManyNetworks(shape, seeds)
        own = x[:, :, at].flatten(2)
        for _ in range(3):
            study.learn(networks, case, study.run(networks, own)[:, 0], torch.zeros(7, len(seeds), 3).double())
        return networks

    together = learned([3, 4, 8], [0, 1, 2])
    for place, seed in enumerate([3, 4, 8]):
        alone, taken = learned([seed], [place]), together.alone(place)
        for (name, a), b in zip(alone.named_parameters(), taken.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12, msg=name)
        assert int((alone.cell.bias_ih != 0).sum()) == {"none": 0, "gates": 4}.get(biases, 8)
        assert bool(alone.bias.any()) == (biases == "all")


def test_first_values_and_numbers_of_weights_are_the_papers(study: Any) -> None:
    counts = {case.title: case.shape.weights for cases in study.CASES.values() for case in cases if case.share}
    assert list(counts.values()) == [264, 276, 364, 93, 93, 156]
    networks = study.ManyNetworks(study.CASES["order"][0].shape, [0, 1])
    for place in range(2):
        bias = networks.alone(place).cell.bias_ih
        assert bias[4:6].tolist() == [-2.0, -4.0] and bool((bias[[0, 1, 2, 3, 6, 7]].abs() < 0.1).all())
    bias = study.ManyNetworks(study.CASES["reber"][0].shape, [0]).cell.bias_ih
    assert bias[8:].tolist() == [-1.0, -2.0, -3.0, -4.0] and not bias[:4].any() and bool(bias[4:8].all())


def test_the_rule_gives_the_same_gradient(study: Any) -> None:
    assert study.difference_from_rule() < 1e-10


def test_a_wrong_prediction_of_the_next_symbol_is_seen(study: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs that know what may come next pass; with one of them below another, or equal to it, they do not."""
    training, others = study.reber_sets(0)
    assert not set(training) & set(others) and len(training) == len(others) == 256
    data = study.next_symbol_data(others)
    possible, last = data[2], int(data[3][7]) - 1
    known = 0.2 + 0.1 * possible
    monkeypatch.setattr(study, "run", lambda networks, x: known.unsqueeze(2))
    networks = study.ManyNetworks(study.CASES["reber"][0].shape, [0])
    assert study.predicted(networks, data)
    known = known.clone()
    known[last, 7, 6] = 0.2  # The last symbol, E, as active as all others.
    assert not study.predicted(networks, data)


def test_an_easy_case_is_solved(study: Any) -> None:
    """With the class in the last symbol but one, two networks learn within a few hundred sequences."""

    def draw(batch: int, generator: torch.Generator) -> Any:
        target = torch.randint(0, 2, (batch, 1), generator=generator)
        return (2.0 * target - 1).unsqueeze(0).repeat(2, 1, 1), target, torch.full((batch,), 2)

    case = study.Case("", study.Shape(1, 1, 1, 1, "all", 0.5), 2.0, 3000, draw, 0.3, mean=0.2, window=100, held=50)
    outcomes = study.last_step_task(case, range(2), 20.0)
    assert all(outcome.solved is not None and outcome.wrong == 0 for outcome in outcomes)
    hopeless = study.last_step_task(study.replace(case, most=150, rate=0.0), range(2), 20.0)
    assert all(outcome.solved is None and outcome.read == 150 for outcome in hopeless)
