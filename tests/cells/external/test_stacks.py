"""Continuous stacks and queues against Python's own, and the cells made of them."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import pytest
import torch

from recurra.cells.external.neural_stack import NeuralStack
from recurra.cells.external.pushdown import PushdownAutomaton
from recurra.cells.external.stack_rnn import StackRNN
from recurra.cells.external.strengths import before_first, before_last, pushed, read_off, taken
from recurra.cells.state import state_tensors
from recurra.errors import UsageError
from recurra.nn import Recurrent
from recurra.unroll import unroll


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("before", [before_first, before_last])
@pytest.mark.parametrize("seed", range(5))
def test_whole_pushes_and_pops_are_those_of_a_stack_and_of_a_queue(before: Any, seed: int) -> None:
    chance, held = random.Random(seed), deque[int]()
    strengths, values = torch.zeros(1, 40), torch.zeros(1, 40, 40)
    for step in range(40):
        pop, push = chance.random() < 0.45, chance.random() < 0.7
        if pop and held:
            held.pop() if before is before_first else held.popleft()
        if push:
            held.append(step)
        left = taken(strengths, torch.full((1, 1), float(pop)), before(strengths))
        strengths, values = pushed(left, torch.full((1,), float(push))), pushed(values, torch.eye(40)[step : step + 1])
        assert float(strengths.sum()) == len(held)
        first = (held[-1] if before is before_first else held[0]) if held else None
        wanted = torch.zeros(1, 40) if first is None else torch.eye(40)[first : first + 1]
        assert torch.equal(read_off(values, strengths, before(strengths)), wanted)


def drive(cell: NeuralStack, push: list[float], pop: list[float], value: torch.Tensor, state: Any) -> Any:
    """One step in which the memory does as it is told, whatever the controller says."""
    big = 200.0
    with torch.no_grad():
        cell.memory.map.weight.zero_()
        for name, wanted in (("push", push), ("pop", pop)):
            cell.memory.map.bias[cell.memory.block(name)] = torch.tensor([big if each else -big for each in wanted])
        cell.memory.map.bias[cell.memory.block("value")] = torch.atanh(value).flatten()
        return cell(torch.zeros(1, 2), state)[1]


@pytest.mark.parametrize("seed", range(3))
def test_a_deque_of_whole_rows_is_a_deque(seed: int) -> None:
    cell, chance, held = NeuralStack(2, 3, kind="deque", slots=40, width=1), random.Random(seed), deque[float]()
    state = cell.initial_state(1)
    for _ in range(20):
        pop, push = [float(chance.random() < 0.4) for _ in range(2)], [float(chance.random() < 0.6) for _ in range(2)]
        value = torch.tensor([[chance.uniform(-0.9, 0.9)], [chance.uniform(-0.9, 0.9)]])
        state = drive(cell, push, pop, value, state)
        if pop[0] and held:
            held.pop()
        if pop[1] and held:
            held.popleft()
        if push[0]:
            held.append(float(value[0]))
        if push[1]:
            held.appendleft(float(value[1]))
        wanted = [held[-1], held[0]] if held else [0.0, 0.0]
        torch.testing.assert_close(state.reads[0], torch.tensor(wanted), rtol=1e-5, atol=1e-5)
        assert float(state.strengths.sum()) == pytest.approx(len(held), abs=1e-4)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (StackRNN, {"stacks": 2, "depth": 2}),
        (NeuralStack, {"kind": "stack", "width": 3}),
        (NeuralStack, {"kind": "queue", "width": 3}),
        (PushdownAutomaton, {}),
    ],
)
def test_more_slots_change_nothing_until_rows_fall_off(kind: Any, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    cell, x = kind(3, 4, slots=6, dtype=torch.float64, **options), numbers(10, 2, 3)
    shapes = {name: weight.shape for name, weight in cell.state_dict().items()}
    few, _ = unroll(cell, x)
    cell.slots = 30
    many, state = unroll(cell, x)
    assert {name: weight.shape for name, weight in cell.state_dict().items()} == shapes
    assert 30 in state_tensors(state)[-1 if kind is StackRNN else -2].shape
    torch.testing.assert_close(few[:6], many[:6], rtol=1e-12, atol=1e-12)
    with pytest.raises(UsageError, match=f"{kind.__name__}: slots is 0. Needed: a positive whole number"):
        cell.slots = 0


def test_more_slots_of_a_deque_change_nothing_for_half_as_many_steps() -> None:
    torch.manual_seed(0)
    cell, x = NeuralStack(3, 4, kind="deque", slots=8, width=3, dtype=torch.float64), numbers(10, 2, 3)
    few, _ = unroll(cell, x)
    cell.slots = 40
    torch.testing.assert_close(few[:4], unroll(cell, x)[0][:4], rtol=1e-12, atol=1e-12)
    with pytest.raises(UsageError, match="NeuralStack: slots is 5. Needed: an even number, half for each end"):
        cell.slots = 5


def test_a_pushdown_automaton_pushes_and_pops_by_its_action() -> None:
    cell = PushdownAutomaton(2, 3, slots=4, dtype=torch.float64)
    x = torch.eye(2, dtype=torch.float64)
    state = cell.initial_state(1)

    def step(symbol: int, action: float) -> None:
        nonlocal state
        with torch.no_grad():
            cell.weight_hh.zero_()
            cell.bias_ih.zero_()
            cell.bias_ih[-1] = 2 * torch.atanh(torch.tensor(action, dtype=torch.float64))  # 2 g(a) - 1 = tanh(a / 2)
        state = cell(x[symbol : symbol + 1], state)[1]

    step(0, 0.7)
    torch.testing.assert_close(state.reads, torch.tensor([[0.7, 0.0]], dtype=torch.float64))
    step(1, 0.8)  # the top unit: 0.8 of the new symbol, 0.2 of the one below
    torch.testing.assert_close(state.reads, torch.tensor([[0.2, 0.8]], dtype=torch.float64))
    step(0, -0.9)  # pops 0.8 and 0.1
    torch.testing.assert_close(state.reads, torch.tensor([[0.6, 0.0]], dtype=torch.float64))


@pytest.mark.parametrize("kind", [StackRNN, NeuralStack, PushdownAutomaton])
def test_in_a_layer_with_padding(kind: Any) -> None:
    torch.manual_seed(0)
    layer = Recurrent(kind, 3, 4, slots=6, dtype=torch.float64)
    x = numbers(6, 2, 3)
    padded = x.clone()
    padded[4:, 1] = float("nan")
    y, _ = layer(padded, lengths=[6, 4])
    torch.testing.assert_close(y[:4, 1:], layer(x[:4, 1:])[0], rtol=1e-12, atol=1e-12)
    y.square().sum().backward()
    assert all(bool(weight.grad.isfinite().all()) for weight in layer.parameters())


def test_the_bias_of_popping_and_new_weights() -> None:
    cell = NeuralStack(3, 4, pop_bias=-2.5)
    for _ in range(2):
        assert cell.memory.map.bias[cell.memory.block("pop")].tolist() == [-2.5]
        cell.reset_parameters()
    assert NeuralStack(3, 4, bias=False).memory.map.bias is None
    before = StackRNN(3, 4)
    kept = before.actions.map.weight.clone()
    before.reset_parameters()
    assert not torch.equal(kept, before.actions.map.weight)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: NeuralStack(3, 4, kind="heap"),
            "NeuralStack: kind is 'heap'. Needed: one of 'stack', 'queue', 'deque'.",
        ),
        (lambda: StackRNN(3, 4, stacks=0), "StackRNN: stacks is 0. Needed: a positive whole number."),
        (
            lambda: StackRNN(3, 4, slots=2, depth=3),
            "StackRNN: slots is 2. Needed: 3 or more, the rows that are read (depth).",
        ),
        (lambda: PushdownAutomaton(3, 4, slots=-1), "PushdownAutomaton: slots is -1. Needed: a positive whole number."),
        (
            lambda: PushdownAutomaton(3, 4, bias=False, read_empty=False),
            "PushdownAutomaton: bias and read_empty are both False. Needed: one of them, as all products vanish on an "
            "empty stack and nothing would ever be pushed.",
        ),
    ],
)
def test_messages(make: Any, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        make()
    assert str(caught.value) == message
