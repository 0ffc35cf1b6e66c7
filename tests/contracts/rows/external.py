"""Cells with an external memory, each one step from its paper in float64 numpy, sample by sample and slot by slot."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from row import CellRow, Parts, Weights, sigmoid

from recurra.cells.state import map_state
from rows.lstm import lstm
from rows.simple import elman


def inside(w: Weights, prefix: str) -> Weights:
    """The weights of a part, by their names within it."""
    return {name.removeprefix(prefix): weight for name, weight in w.items() if name.startswith(prefix)}


def emitted(w: Weights, prefix: str, h: np.ndarray, sizes: list[int]) -> list[np.ndarray]:
    """A linear map of one sample's h, cut into pieces."""
    numbers = w[f"{prefix}.weight"] @ h + w.get(f"{prefix}.bias", 0.0)
    assert len(numbers) == sum(sizes)
    return np.split(numbers, np.cumsum(sizes)[:-1])


def softplus(a: Any) -> Any:
    return np.log1p(np.exp(a))


def softmax(a: np.ndarray) -> np.ndarray:
    return np.exp(a) / np.exp(a).sum()


def by_content(memory: np.ndarray, key: np.ndarray, strength: float, eps: float = 1e-6) -> np.ndarray:
    likeness = [row @ key / (np.sqrt(row @ row + eps) * np.sqrt(key @ key + eps)) for row in memory]
    return softmax(strength * np.array(likeness))


def batched(step: Any, w: Weights, x: np.ndarray, state: Parts, inner: int, controller: Any = None) -> Any:
    """Run the step of each sample by itself; the first `inner` parts of the state are the controller's."""
    found = []
    for b in range(len(x)):
        parts = [part[b] for part in state]
        if controller is None:
            found.append(step(w, x[b], parts))
            continue

        def control(read: np.ndarray, b: int = b) -> tuple[np.ndarray, list[np.ndarray]]:
            h, after = controller(
                inside(w, "controller."), read[None], tuple(part[b : b + 1] for part in state[:inner])
            )
            return h[0], [part[0] for part in after]

        found.append(step(w, x[b], parts[inner:], control))
    return np.stack([y for y, _ in found]), tuple(np.stack(part) for part in zip(*[s for _, s in found], strict=True))


def ntm_sample(w: Weights, x: np.ndarray, state: Any, control: Any, heads: tuple[int, int], reach: int) -> Any:
    memory, write_weights, read_weights, reads = state
    slots, width = memory.shape
    writers, readers = heads
    count, span = writers + readers, 2 * reach + 1
    h, inner = control(np.concatenate([x, *reads]))
    sizes = [count * width, count, count, count * span, count, writers * width, writers * width]
    keys, strength, gate, shift, power, erase, add = emitted(w, "heads.map", h, sizes)

    def address(memory: np.ndarray, last: np.ndarray, head: int) -> np.ndarray:
        content = by_content(memory, keys[head * width : (head + 1) * width], softplus(strength[head]))
        g = sigmoid(gate[head])
        mixed = g * content + (1 - g) * last
        s = softmax(shift[head * span : (head + 1) * span])
        moved = np.array(
            [sum(s[k + reach] * mixed[(i - k) % slots] for k in range(-reach, reach + 1)) for i in range(slots)]
        )
        raised = moved ** (1 + softplus(power[head]))
        return raised / raised.sum()

    writing = [address(memory, write_weights[k], k) for k in range(writers)]
    after = memory.copy()
    for i in range(slots):
        for k in range(writers):
            after[i] = after[i] * (1 - writing[k][i] * sigmoid(erase[k * width : (k + 1) * width]))
        for k in range(writers):
            after[i] = after[i] + writing[k][i] * add[k * width : (k + 1) * width]
    reading = [address(after, read_weights[k], writers + k) for k in range(readers)]
    reads = np.array([sum(each[i] * after[i] for i in range(slots)) for each in reading])
    return np.concatenate([h, *reads]), [*inner, after, np.array(writing), np.array(reading), reads]


def ntm(w: Weights, x: np.ndarray, state: Parts, heads: tuple[int, int] = (1, 1), reach: int = 1) -> Any:
    return batched(partial(ntm_sample, heads=heads, reach=reach), w, x, state, 2, lstm)


def dnc_sample(w: Weights, x: np.ndarray, state: Any, control: Any) -> Any:
    memory, usage, link, precedence, write_weights, read_weights, reads = state
    slots, width = memory.shape
    readers = len(read_weights)
    h, inner = control(np.concatenate([x, *reads]))
    sizes = [readers * width, readers, width, 1, width, width, readers, 1, 1, 3 * readers]
    read_key, read_strength, write_key, write_strength, erase, write, free, allocate, gate, mode = emitted(
        w, "interface.map", h, sizes
    )
    oneplus = lambda a: 1 + softplus(a)  # noqa: E731
    kept = np.ones(slots)
    for k in range(readers):
        kept = kept * (1 - sigmoid(free[k]) * read_weights[k])
    usage = (usage + write_weights - usage * write_weights) * kept
    room, full = np.zeros(slots), 1.0
    for i in sorted(range(slots), key=lambda i: usage[i]):
        room[i] = (1 - usage[i]) * full
        full = full * usage[i]
    content = by_content(memory, write_key, oneplus(write_strength[0]))
    g = sigmoid(allocate[0])
    writing = sigmoid(gate[0]) * (g * room + (1 - g) * content)
    memory = np.stack([memory[i] * (1 - writing[i] * sigmoid(erase)) + writing[i] * write for i in range(slots)])
    after = np.zeros_like(link)
    for i in range(slots):
        for j in range(slots):
            if i != j:
                after[i, j] = (1 - writing[i] - writing[j]) * link[i, j] + writing[i] * precedence[j]
    precedence = (1 - writing.sum()) * precedence + writing
    reading = []
    for k in range(readers):
        backward, through, forward = softmax(mode[3 * k : 3 * k + 3])
        content = by_content(memory, read_key[k * width : (k + 1) * width], oneplus(read_strength[k]))
        reading.append(backward * (after.T @ read_weights[k]) + through * content + forward * (after @ read_weights[k]))
    reads = np.array([each @ memory for each in reading])
    state = [*inner, memory, usage, after, precedence, writing, np.array(reading), reads]
    return np.concatenate([h, *reads]), state


def dnc(w: Weights, x: np.ndarray, state: Parts, controller: Any = lstm, inner: int = 2) -> Any:
    return batched(dnc_sample, w, x, state, inner, controller)


def stack_rnn_sample(w: Weights, x: np.ndarray, state: Any, control: Any, depth: int, leave: bool) -> Any:
    (stack,) = state
    stacks, slots, width = stack.shape
    h, inner = control(np.concatenate([x, stack[:, :depth].reshape(-1)]))
    kinds = 3 if leave else 2
    action, value = emitted(w, "actions.map", h, [stacks * kinds, stacks * width])
    after = np.zeros_like(stack)
    for k in range(stacks):
        a = softmax(action[k * kinds : (k + 1) * kinds])
        above = [sigmoid(value[k * width : (k + 1) * width]), *stack[k][:-1]]
        below = [*stack[k][1:], np.full(width, -1.0)]
        for i in range(slots):
            after[k, i] = a[0] * above[i] + a[1] * below[i] + (a[2] * stack[k, i] if leave else 0.0)
    return h, [*inner, after]


def stack_rnn(w: Weights, x: np.ndarray, state: Parts, depth: int = 1, leave: bool = True) -> Any:
    return batched(partial(stack_rnn_sample, depth=depth, leave=leave), w, x, state, 1, elman)


def rest(strengths: list[float], amount: float) -> list[float]:
    """What is left when an amount is taken from the end of a list."""
    left = []
    for i in range(len(strengths)):
        left.append(max(0.0, strengths[i] - max(0.0, amount - sum(strengths[i + 1 :]))))
    return left


def top(strengths: list[float], rows: list[np.ndarray]) -> np.ndarray:
    """What is read at the end of a list."""
    return sum(min(s, max(0.0, 1.0 - sum(strengths[i + 1 :]))) * rows[i] for i, s in enumerate(strengths))


def neural_stack_sample(w: Weights, x: np.ndarray, state: Any, control: Any, kind: str) -> Any:
    values, strengths, reads = state
    slots, width = values.shape
    ends = 2 if kind == "deque" else 1
    h, inner = control(np.concatenate([x, reads]))
    push, pop, value = emitted(w, "memory.map", h, [ends, ends, ends * width])
    push, pop, value = sigmoid(push), sigmoid(pop), np.tanh(value)
    # As in the paper: row 1 is the first one pushed; of a deque the bottom.
    s, rows = list(strengths[::-1]), list(values[::-1])
    if kind == "stack":
        s, rows = [*rest(s, pop[0]), push[0]][1:], [*rows, value][1:]
        reads = top(s, rows)
    elif kind == "queue":
        s, rows = [*rest(s[::-1], pop[0])[::-1], push[0]][1:], [*rows, value][1:]
        reads = top(s[::-1], rows[::-1])
    else:
        s = rest(rest(s, pop[0])[::-1], pop[1])[::-1]
        half = slots // 2
        s = [push[1], *s[: half - 1], *s[half + 1 :], push[0]]
        rows = [value[width:], *rows[: half - 1], *rows[half + 1 :], value[:width]]
        reads = np.concatenate([top(s, rows), top(s[::-1], rows[::-1])])
    y = np.tanh(w["output.weight"] @ h + w.get("output.bias", 0.0))
    return y, [*inner, np.array(rows[::-1]), np.array(s[::-1]), reads]


def neural_stack(w: Weights, x: np.ndarray, state: Parts, kind: str = "stack") -> Any:
    return batched(partial(neural_stack_sample, kind=kind), w, x, state, 2, lstm)


def pushdown_sample(w: Weights, x: np.ndarray, state: Any, read_empty: bool) -> Any:
    h, values, strengths, reads = state
    symbols, units = len(x), len(h)
    read = np.append(reads, 1.0 - reads.sum()) if read_empty else reads
    total = np.zeros(units + 1)
    for i in range(units + 1):
        for j in range(units):
            for k in range(len(read)):
                for m in range(symbols):
                    weight = w["weight_hh"][(m * len(read) + k) * (units + 1) + i, j]
                    total[i] += weight * h[j] * read[k] * x[m]
    total = sigmoid(total + w.get("bias_ih", 0.0))
    action = 2 * total[units] - 1
    s, rows = list(strengths[::-1]), list(values[::-1])
    s = [*rest(s, max(0.0, -action)), max(0.0, action)][1:]
    rows = [*rows, x][1:]
    return total[:units], [total[:units], np.array(rows[::-1]), np.array(s[::-1]), top(s, rows)]


def pushdown(w: Weights, x: np.ndarray, state: Parts, read_empty: bool = True) -> Any:
    return batched(partial(pushdown_sample, read_empty=read_empty), w, x, state, 0)


SHARES = {"write_weights", "read_weights", "usage", "link", "precedence", "strengths"}


def within(cell: Any, batch: int, generator: torch.Generator) -> Any:
    """A random state whose weights, usage and strengths lie between 0 and 1, as they do in any run."""
    start = cell.initial_state(batch)

    def draw(part: torch.Tensor) -> torch.Tensor:
        return torch.randn(part.shape, dtype=part.dtype, generator=generator)

    parts = []
    for name, part in zip(start._fields, start, strict=True):
        drawn = map_state(draw, part)
        if name in SHARES:
            drawn = torch.sigmoid(drawn) / (1 if name == "strengths" else part.shape[-1])
        if name == "link":
            drawn = drawn * (1 - torch.eye(part.shape[-1], dtype=part.dtype))
        if name == "reads" and "strengths" in start._fields:
            drawn = torch.sigmoid(drawn) / part.shape[-1]
        parts.append(drawn)
    return type(start)(*parts)


def ntm_widths(hidden: int, heads: tuple[int, int] = (1, 1)) -> tuple[Any, ...]:
    return hidden, hidden, (5, 3), (heads[0], 5), (heads[1], 5), (heads[1], 3)


def dnc_widths(hidden: int, readers: int = 1, inner: int = 2) -> tuple[Any, ...]:
    return *(hidden,) * inner, (5, 3), 5, (5, 5), 5, 5, (readers, 5), (readers, 3)


def rows_of_stack(kind: str) -> tuple[CellRow, ...]:
    """The row of one of the three, with and without biases."""
    ends, made = (2 if kind == "deque" else 1), {"slots": 6, "width": 2}

    def widths(hidden: int) -> tuple[Any, ...]:
        return hidden, hidden, (6, 2), 6, 2 * ends

    step = partial(neural_stack, kind=kind)
    return tuple(CellRow(f"neural_{kind}", step, widths, made | extra, state=within) for extra in ({}, {"bias": False}))


SMALL = {"slots": 5, "width": 3}
TWO = {"read_heads": 2, "write_heads": 2, "max_shift": 2}
ROWS = (
    CellRow("ntm", ntm, ntm_widths, SMALL, state=within, zero_start=False),
    CellRow(
        "ntm",
        partial(ntm, heads=(2, 2), reach=2),
        partial(ntm_widths, heads=(2, 2)),
        {**SMALL, **TWO, "bias": False},
        state=within,
        zero_start=False,
    ),
    CellRow("dnc", dnc, dnc_widths, SMALL, state=within),
    CellRow(
        "dnc",
        partial(dnc, controller=elman, inner=1),
        partial(dnc_widths, readers=2, inner=1),
        {**SMALL, "read_heads": 2, "controller": "elman", "bias": False},
        state=within,
    ),
    CellRow("stack_rnn", stack_rnn, lambda hidden: (hidden, (1, 5, 1)), {"slots": 5}, state=within, zero_start=False),
    CellRow(
        "stack_rnn",
        partial(stack_rnn, depth=2, leave=False),
        lambda hidden: (hidden, (2, 5, 3)),
        {"slots": 5, "stacks": 2, "width": 3, "depth": 2, "no_operation": False, "bias": False},
        state=within,
        zero_start=False,
    ),
    *rows_of_stack("stack"),
    *rows_of_stack("queue"),
    *rows_of_stack("deque"),
    CellRow(
        "pushdown_automaton",
        pushdown,
        lambda hidden: (hidden, (5, 3), 5, 3),
        {"slots": 5},
        state=within,
        zero_start=False,
    ),
    CellRow(
        "pushdown_automaton",
        partial(pushdown, read_empty=False),
        lambda hidden: (hidden, (5, 3), 5, 3),
        {"slots": 5, "read_empty": False},
        state=within,
        zero_start=False,
    ),
    CellRow(
        "pushdown_automaton",
        pushdown,
        lambda hidden: (hidden, (5, 3), 5, 3),
        {"slots": 5, "bias": False},
        state=within,
        zero_start=False,
    ),
)
