"""The networks of the study of the first LSTM paper, against the paper's forward traces written out in numpy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from recurra.engine import why_not_compiled

STUDIES = Path(__file__).parent.parent.parent / "studies"


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(STUDIES))
    import _lstm_1997_cases
    import _lstm_1997_rule
    import _lstm_1997_runs
    import _many_networks
    import _memory_blocks

    parts = (_lstm_1997_cases, _lstm_1997_rule, _lstm_1997_runs, _many_networks, _memory_blocks)
    return SimpleNamespace(**{name: value for part in parts for name, value in vars(part).items() if name[:2] != "__"})


def sigmoid(a: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-a))


def learned(
    shape: Any, weights: Any, x: np.ndarray, target: np.ndarray, wanted: list[int], rate: float, slope: bool
) -> tuple[list[np.ndarray], np.ndarray]:
    """A network's weights after one sequence, by appendix A.1 block by block, and its outputs at all steps."""
    into, of_input_gates, of_output_gates, read = (np.array(part) for part in weights)
    blocks, size = shape.blocks, shape.size
    cell = [[v * blocks + j for v in range(size)] for j in range(blocks)]
    full = shape.inputs + shape.units + 1
    s, u = np.zeros(shape.cells), np.zeros(shape.units)
    by_cell, by_gate = np.zeros((shape.cells, full)), np.zeros((shape.cells, full))
    change = [np.zeros_like(part) for part in (into, of_input_gates, of_output_gates, read)]
    outputs = np.zeros((len(x), shape.outputs))
    for t, x_t in enumerate(x):
        seen = np.concatenate([x_t, u, [1.0]])
        u = np.zeros(shape.units)
        h, y_out = np.zeros(shape.cells), np.zeros(blocks)
        for j in range(blocks):
            y_in = sigmoid(of_input_gates[j] @ seen[: of_input_gates.shape[1]])
            y_out[j] = sigmoid(of_output_gates[j] @ seen[: of_output_gates.shape[1]])
            u[shape.cells + j], u[shape.cells + blocks + j] = y_in, y_out[j]
            for c in cell[j]:
                squashed = sigmoid(into[c] @ seen[: into.shape[1]])
                by_gate[c] += (4 * squashed - 2) * y_in * (1 - y_in) * seen
                by_cell[c] += y_in * 4 * squashed * (1 - squashed) * seen
                s[c] += y_in * (4 * squashed - 2)
                h[c] = 2 * sigmoid(s[c]) - 1
                u[c] = y_out[j] * h[c]
        sent = np.concatenate([u[: shape.cells], [1.0]])[: read.shape[1]]
        y = outputs[t] = sigmoid(read @ sent)
        if t not in wanted:
            continue
        e = (target[t] - y) * (y * (1 - y) if slope else 1.0)
        back = read.T @ e
        change[3] += np.outer(e, sent)
        for j in range(blocks):
            for c in cell[j]:
                e_s = y_out[j] * 2 * sigmoid(s[c]) * (1 - sigmoid(s[c])) * back[c]
                change[0][c] += e_s * by_cell[c, : into.shape[1]]
                change[1][j] += e_s * by_gate[c, : of_input_gates.shape[1]]
                change[2][j] += h[c] * back[c] * y_out[j] * (1 - y_out[j]) * seen[: of_output_gates.shape[1]]
    before = (into, of_input_gates, of_output_gates, read)
    return [a + rate * b for a, b in zip(before, change, strict=True)], outputs


@pytest.mark.parametrize(
    ("blocks", "size", "biases", "every_step", "slope"),
    [
        (1, 1, "all", False, True),
        (2, 1, "gates", True, True),
        pytest.param(2, 2, "hidden", True, True, marks=pytest.mark.slow),
        pytest.param(2, 3, "gates", True, False, marks=pytest.mark.slow),
        pytest.param(4, 1, "gates", True, True, marks=pytest.mark.slow),
        (2, 2, "all", False, False),
        (2, 1, "none", False, True),
    ],
)
def test_networks_learn_as_in_the_paper(
    study: Any, blocks: int, size: int, biases: str, every_step: bool, slope: bool
) -> None:
    """Nineteen networks, each with sequences of its own of different lengths, two of them one after the other."""
    shape, rate = study.Shape(3, blocks, size, 2, biases, 0.7), 0.6
    networks = study.ManyNetworks.of_seeds(shape, range(19), every_step, slope, torch.float64)
    assert why_not_compiled(networks.cell) is None
    wanted = [[part[n].numpy() for part in networks.weights] for n in range(19)]
    chance = np.random.default_rng(0)
    streams, outputs = [], []
    for n in range(19):
        lengths = chance.integers(1, 8, size=2)
        x, target = chance.normal(size=(8, 2, 3)), chance.random((8, 2, 2))
        given = torch.from_numpy(target) if every_step else torch.from_numpy(target[lengths - 1, [0, 1]])
        streams.append(study.stream_of(torch.from_numpy(x), given, torch.from_numpy(lengths), rate, every_step))
        said = []
        for k, length in enumerate(lengths):
            steps = list(range(length)) if every_step else [length - 1]
            wanted[n], y = learned(shape, wanted[n], x[:length, k], target[:, k], steps, rate, slope)
            said.append(y)
        outputs.append(np.concatenate(said))
    stream = study.together(streams)
    # In two pieces, so that the state is carried in the midst of sequences.
    y = torch.cat([networks.run(stream[:5]), networks.run(stream[5:])])
    for n in range(19):
        np.testing.assert_allclose(y[: len(outputs[n]), :, n].numpy(), outputs[n], rtol=1e-10, atol=1e-12)
        for a, b in zip(networks.weights, wanted[n], strict=True):
            np.testing.assert_allclose(a[n].numpy(), b, rtol=1e-10, atol=1e-12)
    first = study.ManyNetworks.of_seeds(shape, range(19), every_step).weights
    assert all(float((a - b).abs().amax()) > 1e-3 for a, b in zip(networks.weights, first, strict=True))


def test_the_rule_gives_the_same_update(study: Any) -> None:
    assert study.difference_from_rule(study.CASES["adding"][0].shape) < 1e-10


def test_first_values_and_numbers_of_weights_are_the_papers(study: Any) -> None:
    counts = {case.title: case.shape.weights for cases in study.CASES.values() for case in cases if case.share}
    assert list(counts.values()) == [264, 276, 364, 93, 93, 156]
    for cases in study.CASES.values():
        for case in cases:
            made = study.first_weights(case.shape, 3)
            assert sum(part.numel() for part in made) == case.shape.weights
            assert max(float(part[:, : case.shape.cells].abs().max()) for part in made) <= case.shape.scale
    _, opened, closed, _ = study.first_weights(study.CASES["order"][0].shape, 1)
    assert opened[:, -1].tolist() == [-2.0, -4.0] and bool((closed[:, -1].abs() < 0.1).all())
    assert study.first_weights(study.CASES["reber"][0].shape, 0)[2][:, -1].tolist() == [-1.0, -2.0, -3.0, -4.0]


def test_networks_that_stay_and_copies_are_the_same_networks(study: Any) -> None:
    """A network goes on as if no other had left; a copy with a rate of 0 keeps its weights."""
    shape = study.Shape(2, 1, 1, 1, "all", 0.5)
    stream = torch.rand(12, 6, 20, generator=torch.Generator().manual_seed(0))
    stream[:, 3], stream[:, 4] = 1.0, (torch.arange(12) % 4 != 3).float().unsqueeze(1)
    networks, others = (study.ManyNetworks.of_seeds(shape, range(20), True) for _ in range(2))
    y = networks.run(stream)
    first = others.run(stream[:6])
    others.keep([17, 2])
    stayed = others.run(stream[6:, :, [17, 2]])
    assert torch.equal(torch.cat([first[..., [17, 2]], stayed]), y[..., [17, 2]])
    assert all(torch.equal(a[[17, 2]], b) for a, b in zip(networks.weights, others.weights, strict=True))
    held = stream[..., :3].clone()
    held[:, 5] = 0.0
    copies = others.copies([1, 0, 1])
    said = copies.run(held[..., [0, 0, 0]])
    assert torch.equal(said[..., 0], said[..., 2]) and not torch.equal(said[..., 0], said[..., 1])
    assert all(torch.equal(a, b[[1, 0, 1]]) for a, b in zip(copies.weights, others.weights, strict=True))


def test_a_wrong_prediction_of_the_next_symbol_is_seen(study: Any) -> None:
    """Outputs that know what may come next pass; with one of them below another, or equal to it, they do not."""
    training, others = study.reber_sets(0)
    assert not set(training) & set(others) and len(training) == len(others) == 256
    x, _, possible, lengths = study.next_symbol_data(others)
    stream = study.stream_of(x, possible, lengths, 0.0, True).unsqueeze(2).repeat(1, 1, 2)
    assert len(stream) == int(lengths.sum())
    y = 0.2 + 0.1 * stream[:, 7:14]
    assert study.predicted(stream, y).tolist() == [True, True]
    y[int(lengths[:8].sum()) - 1, 6, 1] = 0.2  # The last symbol of a string, E, as active as all others.
    assert study.predicted(stream, y).tolist() == [True, False]


def test_the_window_of_recent_answers(study: Any) -> None:
    """Sums over the last answers, against a plain loop, where networks answer at different steps."""
    chance = np.random.default_rng(1)
    recent, found = study.Recent(30, 2), []
    wrongs, errors, times = chance.random((700, 2)) < 0.1, chance.random((700, 2)), chance.random((700, 2)) < 0.6
    for start in range(0, 700, 70):
        part = slice(start, start + 70)
        recent.add(*(torch.from_numpy(each[part]) for each in (wrongs, errors, times)))
        found += list(recent.blocks())
    for n in range(2):
        wrong, error = wrongs[times[:, n], n], errors[times[:, n], n]
        count = np.concatenate([sums[n] for sums, _ in found])
        means = np.concatenate([each[n] for _, each in found])
        assert len(count) >= 250 and bool((count[:29] > 30).all())
        for k in range(29, len(count)):
            assert count[k] == wrong[k - 29 : k + 1].sum()
            np.testing.assert_allclose(means[k], error[k - 29 : k + 1].mean(), rtol=1e-9)


def test_an_easy_case_is_solved(study: Any) -> None:
    """With the class in the last symbol but one, networks learn within a few hundred sequences."""

    def draw(batch: int, generator: torch.Generator) -> Any:
        target = torch.randint(0, 2, (batch, 1), generator=generator)
        return (2.0 * target - 1).unsqueeze(0).repeat(2, 1, 1), target, torch.full((batch,), 2)

    case = study.Case("", study.Shape(1, 1, 1, 1, "all", 0.5), 2.0, 9000, draw, 0.3, mean=0.2, window=100, held=50)
    outcomes = study.last_step_task(case, range(2), 20.0)
    assert all(outcome.solved is not None and 100 < outcome.solved < 3000 for outcome in outcomes)
    assert [outcome.wrong for outcome in outcomes] == [0, 0]
    hopeless = study.last_step_task(replace(case, most=3000, rate=0.0), range(2), 20.0)
    assert all(outcome.solved is None and outcome.read == 3000 for outcome in hopeless)


def test_learning_one_string_after_another(study: Any) -> None:
    """Where a string is all there is to know, its prediction is learnt; the count is of whole strings."""
    case = replace(study.CASES["reber"][0], shape=study.Shape(7, 1, 1, 7, "all", 0.2), most=600)
    outcomes = study.reber_task(case, range(2), 20.0)
    assert all(outcome.solved is None and 600 <= outcome.read < 900 for outcome in outcomes)
