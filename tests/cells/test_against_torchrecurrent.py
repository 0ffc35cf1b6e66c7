"""Our cells beside those of torchrecurrent, which others wrote from the same papers: an outside check of ours.

Their package is a yardstick and not the truth: where the two differ, `DIFFERENT` says in what, and a test shows that
this and nothing else is the difference.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
import torch
from torch import Tensor
from torchrecurrent_pairs import EQUAL, Pair, Weights, dsgu, lem, nas, none_of, pick, scaled, scrn, sgu, summed, tau_gru

from recurra.cells import Cell, cell_class, map_state
from recurra.cells.state import state_tensors

torchrecurrent = pytest.importorskip("torchrecurrent")

DIFFERENT = {
    "DSGU": "their hard sigmoid has the slope 1/6 and not 0.2, and the products of g have biases",
    "FastGRNN": "equal with nonlinearity='sigmoid'; their default for the gate is tanh, the paper's the sigmoid",
    "LEM": "their hidden units read the memory of the last step and not the new one",
    "MCLSTM": "a namesake: memory-controller LSTM, where ours is the mass-conserving one",
    "NAS": "all eight pairs of products are added there; in the authors' program the fourth pair is multiplied",
    "OriginalLSTM": "they squash by tanh; the paper by 4 sigmoid - 2 and by 2 sigmoid - 1, which are scaled tanh",
    "SCRN": "they feed a squashed output back and not the hidden units",
    "SGU": "their hard sigmoid has the slope 1/6 and not 0.2, and the products of g have biases",
}
"""Where the two differ, and in what; the tests below show it."""
APART = {"tauGRU": "their cell is handed its delayed state at each call"}
"""Cells that are equal, but need a test of their own."""


def numbers(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def made(pair: Pair, hidden: int = 4) -> tuple[Any, Cell]:
    """Both cells, theirs with random weights (also where they begin at zero), ours with the same."""
    torch.manual_seed(0)
    their_cell = getattr(torchrecurrent, pair.theirs + "Cell")(pair.features, hidden, **pair.their_arguments).double()
    # What is one number for the whole cell is learned there and a constant here.
    weights = {name: weight for name, weight in their_cell.named_parameters() if weight.dim()}
    with torch.no_grad():
        for seed, weight in enumerate(weights.values()):
            weight.copy_(0.7 * numbers(*weight.shape, seed=seed))
        pair.clear(weights)
    kind, arguments = cell_class(pair.ours)
    our_cell = kind(pair.features, hidden, **{**arguments, **pair.our_arguments}, dtype=torch.float64)
    ours = pair.weights({name: weight.detach() for name, weight in weights.items()})
    left = our_cell.load_state_dict(ours, strict=False)
    assert not left.unexpected_keys and not set(left.missing_keys) & {name for name, _ in our_cell.named_parameters()}
    return their_cell, our_cell


def their_step(cell: Any, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Their step with a state of one tensor or two: the output and the state."""
    name = type(cell).__name__.removesuffix("Cell")
    if name == "JANET":
        h, _ = cell(x, (state[0], state[0]))
        return h, (h,)
    if len(state) == 1 and not isinstance(cell, torchrecurrent.base.DecoupledSingleStateCellBase):
        h = cell(x, state[0])
        return h, (h,)
    first, rest = cell(x, state[0] if len(state) == 1 else state)
    if len(state) == 1:
        return first, (rest,)
    return first, rest if isinstance(rest, tuple) else (first, rest)


@pytest.mark.parametrize("pair", EQUAL, ids=lambda pair: f"{pair.theirs}-{pair.ours}")
def test_the_numbers_are_theirs(pair: Pair) -> None:
    theirs, ours = made(pair)
    seeds = count(10)
    state: Any = map_state(lambda part: numbers(*part.shape, seed=next(seeds)), ours.initial_state(2))
    their_state = tuple(state_tensors(state))
    for x in numbers(5, 2, pair.features):
        y, state = ours(x, state)
        their_y, their_state = their_step(theirs, x, their_state)
        torch.testing.assert_close(y, their_y, rtol=1e-12, atol=1e-12)
        for ours_part, their_part in zip(state_tensors(state), their_state, strict=True):
            torch.testing.assert_close(ours_part, their_part, rtol=1e-12, atol=1e-12)


def test_every_cell_of_theirs_is_compared() -> None:
    known = {name.removesuffix("Cell") for name in torchrecurrent.__all__ if name.endswith("Cell")}
    assert known == {pair.theirs for pair in EQUAL} | set(DIFFERENT) | set(APART)


def test_tau_gru_is_equal_when_it_is_handed_the_delayed_state() -> None:
    theirs, ours = made(Pair("tauGRU", "tau_gru", tau_gru, our_arguments={"delay": 2}))
    state = ours.initial_state(2)
    past = [torch.zeros(2, 4, dtype=torch.float64)] * 3
    for x in numbers(6, 2, 3):
        y, state = ours(x, state)
        past.append(theirs(x, past[-1], past[-3]))
        torch.testing.assert_close(y, past[-1], rtol=1e-12, atol=1e-12)


def both(pair: Pair, state: tuple[Tensor, ...], their_state: tuple[Tensor, ...]) -> Any:
    """One step of each: (our y, our state), (their y, their state)."""
    theirs, ours = made(pair)
    x = numbers(2, pair.features, seed=3)
    return ours(x, state), their_step(theirs, x, their_state)


def equal(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=1e-12, atol=1e-12)


def test_lem_is_equal_when_theirs_is_given_the_new_memory() -> None:
    pair = Pair("LEM", "lem", lem, none_of(), {"dt": 0.8}, {"dt": 0.8})
    h, z = numbers(2, 2, 4)
    (y, state), (their_y, their_state) = both(pair, (h, z), (h, z))
    assert equal(state.z, their_state[1]) and not equal(y, their_y)
    _, (their_y, _) = both(pair, (h, z), (h, state.z))
    assert equal(y, their_y)


@pytest.mark.parametrize(("name", "weights"), [("SGU", sgu), ("DSGU", dsgu)])
def test_the_simple_gated_units_are_equal_when_the_gate_is_scaled(
    name: str, weights: Callable[[Weights], Weights]
) -> None:
    h = numbers(2, 4)
    clear = none_of(("bias_hh", 0, 2))
    (y, _), (their_y, _) = both(Pair(name, name.lower(), weights, clear), (h,), (h,))
    assert equal(y, their_y)

    def unscaled(w: Weights) -> Weights:
        ours = weights(w)
        return {**ours, **scaled({"bias_ih": ours["bias_ih"]}, 1.2, 1.0)}

    (y, _), (their_y, _) = both(Pair(name, name.lower(), unscaled, clear), (h,), (h,))
    assert not equal(y, their_y)


def test_the_default_gate_of_their_fast_grnn_is_not_the_papers() -> None:
    weights = next(pair for pair in EQUAL if pair.theirs == "FastGRNN").weights
    h = numbers(2, 4)
    (y, _), (their_y, _) = both(Pair("FastGRNN", "fast_grnn", weights), (h,), (h,))
    assert not equal(y, their_y)


def test_nas_is_equal_where_the_fourth_pair_of_products_is_zero() -> None:
    h, c = numbers(2, 2, 4)
    (y, _), (their_y, _) = both(Pair("NAS", "nas", nas), (h, c), (h, c))
    assert not equal(y, their_y)
    clear = none_of(("weight_ih", 3, 8), ("weight_hh", 3, 8), ("bias_ih", 3, 8), ("bias_hh", 3, 8))
    (y, state), (their_y, their_state) = both(Pair("NAS", "nas", nas, clear), (h, c), (h, c))
    assert equal(y, their_y) and equal(state.c, their_state[1])


def test_lstm_1997_is_theirs_with_a_memory_in_halves() -> None:
    def doubled(w: Weights) -> Weights:
        return scaled(summed(w), 1.0, 2.0, 1.0)

    h, c = numbers(2, 2, 4)
    (y, state), (their_y, their_state) = both(Pair("OriginalLSTM", "lstm_1997", doubled), (h, 2.0 * c), (h, c))
    assert equal(y, their_y) and equal(state.c, 2.0 * their_state[1])
    (y, _), (their_y, _) = both(Pair("OriginalLSTM", "lstm_1997"), (h, c), (h, c))
    assert not equal(y, their_y)


def test_scrn_is_theirs_before_their_output_layer() -> None:
    pair = Pair("SCRN", "scrn", scrn, none_of(("bias_ih", 0, 2)), {"alpha": 0.75}, {"decay": 0.75})
    h, s = numbers(2, 2, 4)
    theirs, ours = made(pair)
    x = numbers(2, 3, seed=3)
    _, state = ours(x, (h, s))
    their_y, their_s = theirs(x, (h, s))
    assert equal(state.s, their_s) and not equal(state.h, their_y)
    bias = pick(theirs.bias_hh + theirs.bias_ch, 2, 1)
    total = state.h @ pick(theirs.weight_hh, 2, 1).T + state.s @ pick(theirs.weight_ch, 2, 1).T + bias
    assert equal(torch.tanh(total), their_y)


def test_their_mc_lstm_is_an_lstm_whose_output_is_gated_apart() -> None:
    """Their control vector is the hidden state of a plain LSTM; no mass is conserved."""

    def as_lstm(w: Weights) -> Weights:
        return {name: pick(weight, 5, 1, 0, 4, 3) for name, weight in w.items()}

    v, c = numbers(2, 2, 4)
    (y, state), (their_y, their_state) = both(Pair("MCLSTM", "lstm", as_lstm), (v, c), (v, c))
    assert equal(y, their_state[0]) and equal(state.c, their_state[1]) and not equal(y, their_y)
