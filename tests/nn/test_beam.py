"""Beam search, generation and sampling over step functions: against enumeration, against a plain search, messages."""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from recurra.errors import TrainingError, UsageError
from recurra.nn.seq2seq import Sampler, beam_search, coverage_penalty, generate, greedy, length_penalty

END = 2


class Hidden(NamedTuple):
    h: Tensor
    alignment: Tensor


class Model:
    """A small recurrent language model with an alignment, in numpy numbers, for one or many rows."""

    def __init__(self, seed: int, vocabulary: int = 3, memory: int = 4, sharp: float = 2.0):
        chance = np.random.default_rng(seed)
        self.a, self.e = chance.standard_normal((3, 3)), chance.standard_normal((vocabulary, 3))
        self.w, self.p = sharp * chance.standard_normal((vocabulary, 3)), chance.standard_normal((memory, 3))
        self.calls = 0

    def start(self, batch: int) -> Hidden:
        h = torch.linspace(-1, 1, batch * 3, dtype=torch.float64).reshape(batch, 3)
        return Hidden(h, torch.zeros(batch, len(self.p), dtype=torch.float64))

    def step(self, tokens: Tensor, state: Hidden) -> tuple[Tensor, Hidden]:
        self.calls += 1
        a, e, w, p = (torch.from_numpy(each) for each in (self.a, self.e, self.w, self.p))
        h = torch.tanh(state.h @ a.T + e[tokens])
        return torch.log_softmax(h @ w.T, -1), Hidden(h, torch.softmax(h @ p.T, -1))

    def follow(self, h: np.ndarray, tokens: tuple[int, ...], begin: int) -> tuple[list[float], np.ndarray]:
        """Log-probabilities of the tokens of one sequence, and the alignments."""
        gained, alignments = [], []
        for last, token in zip((begin, *tokens), tokens, strict=False):
            h = np.tanh(self.a @ h + self.e[last])
            scores, places = self.w @ h, np.exp(self.p @ h)
            gained.append(scores[token] - np.log(np.exp(scores).sum()))
            alignments.append(places / places.sum())
        return gained, np.array(alignments)


def paper_score(gained: list[float], alignments: np.ndarray, alpha: float, beta: float, within: int) -> float:
    penalty = (5 + len(gained)) ** alpha / 6**alpha
    coverage = sum(math.log(min(alignments[:, i].sum(), 1.0)) for i in range(within))
    return sum(gained) / penalty + beta * coverage


def every_sequence(vocabulary: int, max_steps: int) -> list[tuple[int, ...]]:
    """All that end within max_steps, and all that are cut there."""
    others = [token for token in range(vocabulary) if token != END]
    ended = [(*head, END) for n in range(max_steps) for head in itertools.product(others, repeat=n)]
    return ended + list(itertools.product(others, repeat=max_steps))


def tokens_of(found: Any, b: int, k: int) -> tuple[int, ...]:
    return tuple(found.tokens[b, k, : found.lengths[b, k]].tolist())


@pytest.mark.parametrize(("alpha", "beta"), [(0.0, 0.0), (0.7, 0.0), (0.4, 0.3), (1.5, 0.0)])
def test_a_beam_as_wide_as_all_prefixes_is_exhaustive(alpha: float, beta: float) -> None:
    model, steps, within = Model(0), 4, [4, 2]
    width = len(every_sequence(3, steps))
    options: dict[str, Any] = {"begin": 0, "end": END, "max_steps": steps, "alpha": alpha, "beta": beta}
    options["within"] = torch.arange(4) < torch.tensor(within).unsqueeze(1)
    start = model.start(2)
    found = beam_search(
        model.step, start, width=width, n_best=width, alignment=lambda state: state.alignment, **options
    )
    for b in range(2):
        rows = []
        for tokens in every_sequence(3, steps):
            gained, alignments = model.follow(start.h[b].numpy(), tokens, 0)
            score = paper_score(gained, alignments, alpha, beta, within[b])
            rows.append((tokens[-1] == END, score, tokens, sum(gained), alignments))
        rows.sort(key=lambda row: row[:2], reverse=True)
        assert [tokens_of(found, b, k) for k in range(width)] == [row[2] for row in rows]
        np.testing.assert_allclose(found.scores[b], [row[1] for row in rows], rtol=1e-11)
        np.testing.assert_allclose(found.log_probs[b], [row[3] for row in rows], rtol=1e-11)
        assert found.finished[b].tolist() == [row[0] for row in rows]
        for k, row in enumerate(rows):
            n = len(row[2])
            np.testing.assert_allclose(found.alignments[b, k, :n], row[4], rtol=1e-11)
            assert bool((found.alignments[b, k, n:] == 0).all()) and bool((found.tokens[b, k, n:] == END).all())
    # Stopping early loses none of the best ones.
    few = beam_search(model.step, start, width=width, n_best=3, alignment=lambda state: state.alignment, **options)
    torch.testing.assert_close(few.scores, found.scores[:, :3], rtol=1e-12, atol=0)
    assert [tokens_of(few, 1, k) for k in range(3)] == [tokens_of(found, 1, k) for k in range(3)]


def plain_search(model: Model, h: np.ndarray, width: int, steps: int, alpha: float) -> list[tuple[int, ...]]:
    """The rule in lists: the best continuations, as many as places are open; those that end take a place for good."""

    def total(tokens: tuple[int, ...]) -> float:
        return sum(model.follow(h, tokens, 0)[0])

    def score(tokens: tuple[int, ...]) -> float:
        return total(tokens) / ((5 + len(tokens)) / 6) ** alpha

    live: list[tuple[int, ...]] = [()]
    ended: list[tuple[int, ...]] = []
    for _ in range(steps):
        longer = sorted(((*head, token) for head in live for token in range(len(model.w))), key=total, reverse=True)
        kept = longer[: width - len(ended)]
        ended += [tokens for tokens in kept if tokens[-1] == END]
        live = [tokens for tokens in kept if tokens[-1] != END]
        if not live:
            break
    return sorted(ended, key=score, reverse=True) + sorted(live, key=score, reverse=True)


@pytest.mark.parametrize("width", [1, 2, 3, 6])
@pytest.mark.parametrize("alpha", [0.0, 0.8])
def test_a_narrow_beam_is_the_plain_search(width: int, alpha: float) -> None:
    for seed in range(4):
        model = Model(seed, vocabulary=4, sharp=1.0)
        start = model.start(3)
        found = beam_search(
            model.step, start, begin=0, end=END, width=width, max_steps=6, n_best=width, alpha=alpha, padding=1
        )
        for b in range(3):
            wanted = plain_search(model, start.h[b].numpy(), width, 6, alpha)
            assert [tokens_of(found, b, k) for k in range(len(wanted))] == wanted


@pytest.mark.parametrize("alpha", [0.0, 2.0])
def test_a_beam_of_one_is_greedy(alpha: float) -> None:
    for seed in range(10):
        model = Model(seed, vocabulary=5)
        start = model.start(4)
        one = beam_search(model.step, start, begin=1, end=END, width=1, max_steps=7, padding=4, alpha=alpha)
        other = generate(model.step, start, begin=1, end=END, max_steps=7, padding=4)
        assert torch.equal(one.tokens[:, 0], other.tokens) and torch.equal(one.lengths[:, 0], other.lengths)
        torch.testing.assert_close(one.log_probs[:, 0], other.log_probs)


def test_neighbours_in_the_batch_do_not_matter() -> None:
    model = Model(5, vocabulary=4)
    start = model.start(4)
    options: dict[str, Any] = {"begin": 0, "end": END, "width": 3, "max_steps": 5, "n_best": 3, "alpha": 0.6}
    found = beam_search(model.step, start, **options)
    for b in range(4):
        alone = beam_search(model.step, Hidden(*(part[b : b + 1] for part in start)), **options)
        torch.testing.assert_close(alone.scores[0], found.scores[b], rtol=1e-12, atol=0)
        assert [tokens_of(alone, 0, k) for k in range(3)] == [tokens_of(found, b, k) for k in range(3)]


def test_it_stops_when_nothing_better_can_come() -> None:
    model = Model(0)
    model.w = np.array([[0.0, 0, 0], [0, 0, 0], [0, 0, 0]])
    base = model.step

    def step(tokens: Tensor, state: Hidden) -> tuple[Tensor, Hidden]:
        _, state = base(tokens, state)
        return torch.log(torch.tensor([0.05, 0.05, 0.9], dtype=torch.float64)).expand(len(tokens), 3), state

    found = beam_search(step, model.start(2), begin=0, end=END, width=8, max_steps=1000, n_best=1)
    assert model.calls == 1 and found.tokens.tolist() == [[[END]], [[END]]]
    model.calls = 0
    # The second best is [0, end] with 0.05 * 0.9, which no beginning of two tokens (0.0025) can beat.
    found = beam_search(step, model.start(2), begin=0, end=END, width=8, max_steps=1000, n_best=2)
    assert model.calls == 2
    np.testing.assert_allclose(found.log_probs[0].exp(), [0.9, 0.045])


def test_fewer_hypotheses_than_wanted_and_cut_ones() -> None:
    def always(log_probs: list[float]) -> Any:
        return lambda tokens, state: (torch.tensor(log_probs).expand(len(tokens), 3), state)

    only = beam_search(
        always([-torch.inf, -torch.inf, 0.0]), (), begin=torch.tensor([0]), end=END, width=3, max_steps=4, n_best=3
    )
    assert only.lengths.tolist() == [[1, 0, 0]] and only.finished.tolist() == [[True, False, False]]
    assert only.scores.tolist() == [[0, -math.inf, -math.inf]]
    never = beam_search(
        always([math.log(0.7), math.log(0.3), -torch.inf]), (), begin=torch.tensor([0, 0]), end=END, width=2,
        max_steps=3, n_best=2,
    )  # fmt: skip
    assert never.tokens[1, 0].tolist() == [0, 0, 0] and not bool(never.finished.any())
    np.testing.assert_allclose(never.log_probs[0].exp(), [0.343, 0.147], rtol=1e-5)


def test_generate_gives_what_its_steps_give() -> None:
    model = Model(3, vocabulary=5)
    start = model.start(3)
    found = generate(
        model.step, start, begin=0, end=END, max_steps=6, padding=4, alignment=lambda state: state.alignment
    )
    for b in range(3):
        tokens = tuple(found.tokens[b, : found.lengths[b]].tolist())
        gained, alignments = model.follow(start.h[b].numpy(), tokens, 0)
        assert float(found.log_probs[b]) == pytest.approx(sum(gained))
        np.testing.assert_allclose(found.alignments[b, : len(tokens)], alignments, rtol=1e-11)
        assert bool((found.tokens[b, len(tokens) :] == 4).all()) and END not in tokens[:-1]
        for n in range(len(tokens)):
            scores = [sum(model.follow(start.h[b].numpy(), (*tokens[:n], token), 0)[0]) for token in range(5)]
            assert tokens[n] == int(np.argmax(scores))


def test_the_sampler_cuts_and_sharpens() -> None:
    log_probs = torch.log(torch.tensor([[0.1, 0.4, 0.2, 0.3]], dtype=torch.float64))
    for sampler, wanted in [
        (Sampler(), [0.1, 0.4, 0.2, 0.3]),
        (Sampler(top_k=2), [0, 4 / 7, 0, 3 / 7]),
        (Sampler(top_p=0.39), [0, 1, 0, 0]),
        (Sampler(top_p=0.65), [0, 4 / 7, 0, 3 / 7]),
        (Sampler(top_p=0.75), [0, 4 / 9, 2 / 9, 3 / 9]),
        (Sampler(temperature=0.5), [0.01 / 0.3, 0.16 / 0.3, 0.04 / 0.3, 0.09 / 0.3]),
        (Sampler(temperature=0.5, top_k=3, top_p=0.6), [0, 0.16 / 0.25, 0, 0.09 / 0.25]),
        (Sampler(top_k=9, top_p=1.0), [0.1, 0.4, 0.2, 0.3]),
    ]:
        np.testing.assert_allclose(sampler.probabilities(log_probs)[0], wanted, atol=1e-12)
    sampler = Sampler(generator=torch.Generator().manual_seed(0))
    counts = torch.bincount(sampler(log_probs.expand(20000, 4)), minlength=4) / 20000
    torch.testing.assert_close(counts, torch.tensor([0.1, 0.4, 0.2, 0.3]), atol=0.015, rtol=0)
    assert greedy(log_probs).tolist() == [1]


def test_the_penalties_are_the_papers() -> None:
    assert length_penalty(3, 0.0) == 1.0
    assert length_penalty(13, 0.5) == pytest.approx(math.sqrt(18 / 6))
    attended = torch.tensor([[0.25, 3.0, 0.5], [0.0, 1.0, 1.0]], dtype=torch.float64)
    within = torch.tensor([[True, True, False], [True, True, True]])
    found = coverage_penalty(attended, within, 2.0)
    assert float(found[0]) == pytest.approx(2 * math.log(0.25))
    assert math.isfinite(float(found[1])) and float(found[1]) < -1000


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 0}, "beam_search: width is 0. Needed: a positive whole number"),
        ({"max_steps": 0}, "beam_search: max_steps is 0. Needed: a positive whole number"),
        ({"n_best": 3}, "beam_search: n_best is 3. Needed: at most 2, the width"),
        ({"alpha": -1.0}, "beam_search: alpha is -1.0. Needed: a number from 0 on"),
        ({"beta": -0.1}, "beam_search: beta is -0.1. Needed: a number from 0 on"),
        ({"beta": 0.2}, "beta is 0.2 and alignment is None. Needed: `alignment`"),
        ({"state": ()}, r"begin is 0. Needed: a tensor \(batch,\) of tokens, since a state without tensors"),
    ],
)
def test_messages_of_the_search(changes: dict[str, Any], message: str) -> None:
    model = Model(0)
    arguments = {"state": model.start(2), "begin": 0, "end": END, "width": 2, "max_steps": 3, **changes}
    with pytest.raises(UsageError, match=message):
        beam_search(model.step, arguments.pop("state"), **arguments)


def test_messages_of_generation() -> None:
    model = Model(0)
    with pytest.raises(UsageError, match="generate: max_steps is 0. Needed: a positive whole number"):
        generate(model.step, model.start(1), begin=0, end=END, max_steps=0)
    for arguments, message in [
        ({"temperature": 0.0}, "temperature is 0.0. Needed: a positive number. Cure: `greedy` for the limit of 0"),
        ({"top_k": 0}, "Sampler: top_k is 0. Needed: a positive whole number"),
        ({"top_p": 1.5}, "top_p is 1.5. Needed: a number above 0, at most 1"),
    ]:
        with pytest.raises(UsageError, match=message):
            Sampler(**arguments)  # type: ignore[arg-type]
    model.w[0, 0] = math.nan
    with pytest.raises(TrainingError, match="generate: the step gave NaN instead of log-probabilities"):
        generate(model.step, model.start(1), begin=0, end=END, max_steps=3)
    with pytest.raises(TrainingError, match="beam_search: the step gave NaN instead of log-probabilities"):
        beam_search(model.step, model.start(1), begin=0, end=END, width=2, max_steps=3)
