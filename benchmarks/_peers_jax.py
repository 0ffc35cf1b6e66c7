"""JAX: each cell in a few lines, along time by lax.scan, the whole compiled; with the same weights.

The product with x is made before the scan, for all steps at once. Weights are held as (inputs, outputs), so that none
is transposed at run time. At batch 1 the scan is timed as it is and with four steps a turn of its loop, and the quicker
one is taken; at larger batches four steps a turn were slower wherever tried.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from _cells_cases import Contender, Missing, Problem
from torch import Tensor

NAME = "jax"


def jax_scan(problem: Problem) -> Contender | Missing:
    """The cell by lax.scan."""
    try:
        import jax
        import jax.numpy as jnp
    except ImportError:
        return Missing(NAME, "jax is not installed")
    cell = CELLS[problem.cell]
    weights = {name: jnp.asarray(_turned(weight).numpy()) for name, weight in problem.weights.items()}
    x, gy = (jnp.asarray(part.detach().numpy()) for part in (problem.x, problem.gy))
    hidden = problem.shape.hidden

    def make(unroll: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
        def run(x: Any, w: Mapping[str, Any]) -> Any:
            projected, states, step = cell(x, w)
            first = (jnp.zeros((x.shape[1], hidden), x.dtype),) * states

            def body(state: Any, piece: Any) -> Any:
                state = step(state, piece)
                return state, state[0]

            return jax.lax.scan(body, first, projected, unroll=unroll)[1]

        def step_of_training(x: Any, w: Mapping[str, Any], gy: Any) -> Any:
            y, pull = jax.vjp(run, x, w)
            return y, pull(gy)

        return jax.jit(run), jax.jit(step_of_training)

    forward = _quickest([_call(jax, make(u)[0], x, weights) for u in _turns(problem)])
    train = _quickest([_call(jax, make(u)[1], x, weights, gy) for u in _turns(problem)])

    def read(found: Any) -> dict[str, Tensor]:
        y, (of_x, of_weights) = found
        return {"y": _tensor(y), "x": _tensor(of_x), **{name: _turned(_tensor(g)) for name, g in of_weights.items()}}

    return Contender(NAME, forward, train, read, _tensor)


def _turns(problem: Problem) -> tuple[int, ...]:
    return (1, 4) if problem.shape.batch == 1 else (1,)


def _call(jax: Any, function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
    return lambda: jax.block_until_ready(function(*arguments))


def _quickest(calls: list[Callable[[], Any]]) -> Callable[[], Any]:
    if len(calls) == 1:
        return calls[0]
    times = []
    for call in calls:
        call()
        samples = []
        for _ in range(5):
            started = time.perf_counter()
            call()
            samples.append(time.perf_counter() - started)
        times.append(min(samples))
    return calls[times.index(min(times))]


def _turned(weight: Tensor) -> Tensor:
    return weight.detach().t().contiguous() if weight.dim() == 2 else weight.detach()


def _tensor(value: Any) -> Tensor:
    return torch.from_numpy(np.array(value))


# Each cell: x and the weights -> what goes in at each step, the number of state tensors (the output first), the step.


def _lstm(x: Any, w: Mapping[str, Any]) -> Any:
    return (
        x @ w["weight_ih"] + w["bias_ih"] + w["bias_hh"],
        2,
        lambda s, p: _lstm_units(p + s[0] @ w["weight_hh"], s[1]),
    )


def _lstm_units(gates: Any, c: Any) -> Any:
    import jax.numpy as jnp
    from jax.nn import sigmoid

    i, f, g, o = jnp.split(gates, 4, -1)
    c = sigmoid(f) * c + sigmoid(i) * jnp.tanh(g)
    return sigmoid(o) * jnp.tanh(c), c


def _gru(x: Any, w: Mapping[str, Any]) -> Any:
    import jax.numpy as jnp
    from jax.nn import sigmoid

    def step(state: Any, piece: Any) -> Any:
        (h,) = state
        for_r, for_z, for_n = jnp.split(piece, 3, -1)
        of_r, of_z, of_n = jnp.split(h @ w["weight_hh"] + w["bias_hh"], 3, -1)
        n = jnp.tanh(for_n + sigmoid(for_r + of_r) * of_n)
        return (n + sigmoid(for_z + of_z) * (h - n),)

    return x @ w["weight_ih"] + w["bias_ih"], 1, step


def _elman(x: Any, w: Mapping[str, Any]) -> Any:
    import jax.numpy as jnp

    projected = x @ w["weight_ih"] + w["bias_ih"] + w["bias_hh"]
    return projected, 1, lambda s, p: (jnp.tanh(p + s[0] @ w["weight_hh"]),)


def _peephole_lstm(x: Any, w: Mapping[str, Any]) -> Any:
    import jax.numpy as jnp
    from jax.nn import sigmoid

    def step(state: Any, piece: Any) -> Any:
        h, c = state
        i, f, g, o = jnp.split(piece + h @ w["weight_hh"], 4, -1)
        to_i, to_f, to_o = jnp.split(w["peephole"], 3)
        c = sigmoid(f + to_f * c) * c + sigmoid(i + to_i * c) * jnp.tanh(g)
        return sigmoid(o + to_o * c) * jnp.tanh(c), c

    return x @ w["weight_ih"] + w["bias_ih"], 2, step


def _mgu(x: Any, w: Mapping[str, Any]) -> Any:
    import jax.numpy as jnp
    from jax.nn import sigmoid

    # Cut before the scan: inside it, the cutting would be done at each step.
    to_f, to_n = jnp.split(w["weight_hh"], 2, -1)

    def step(state: Any, piece: Any) -> Any:
        (h,) = state
        for_f, for_n = jnp.split(piece, 2, -1)
        f = sigmoid(for_f + h @ to_f)
        return (h + f * (jnp.tanh(for_n + (f * h) @ to_n) - h),)

    return x @ w["weight_ih"] + w["bias_ih"], 1, step


def _janet(x: Any, w: Mapping[str, Any]) -> Any:
    import jax.numpy as jnp
    from jax.nn import sigmoid

    def step(state: Any, piece: Any) -> Any:
        (h,) = state
        s, g = jnp.split(piece + h @ w["weight_hh"], 2, -1)
        return (sigmoid(s) * h + (1.0 - sigmoid(s - 1.0)) * jnp.tanh(g),)

    return x @ w["weight_ih"] + w["bias_ih"], 1, step


def _lem(x: Any, w: Mapping[str, Any]) -> Any:
    import jax.numpy as jnp
    from jax.nn import sigmoid

    def step(state: Any, piece: Any) -> Any:
        h, z = state
        for_memory, for_hidden, for_z, for_h = jnp.split(piece, 4, -1)
        of_memory, of_hidden, of_z = jnp.split(h @ w["weight_hh"], 3, -1)
        z = z + sigmoid(for_memory + of_memory) * (jnp.tanh(for_z + of_z) - z)
        target = jnp.tanh(for_h + z @ w["weight_memory"])
        return h + sigmoid(for_hidden + of_hidden) * (target - h), z

    return x @ w["weight_ih"] + w["bias_ih"], 2, step


def _indrnn(x: Any, w: Mapping[str, Any]) -> Any:
    import jax.numpy as jnp

    projected = x @ w["weight_ih"] + w["bias_ih"]
    return projected, 1, lambda s, p: (jnp.maximum(p + w["weight_hh"] * s[0], 0.0),)


def _multiplicative_lstm(x: Any, w: Mapping[str, Any]) -> Any:
    def step(state: Any, piece: Any) -> Any:
        h, c = state
        for_gates, for_m = piece
        m = for_m * (h @ w["weight_mh"])
        return _lstm_units(for_gates + m @ w["weight_hh"], c)

    return (x @ w["weight_ih"] + w["bias_ih"], x @ w["weight_mx"]), 2, step


CELLS: dict[str, Callable[[Any, Mapping[str, Any]], Any]] = {
    "lstm": _lstm,
    "gru": _gru,
    "elman": _elman,
    "peephole_lstm": _peephole_lstm,
    "mgu": _mgu,
    "janet": _janet,
    "lem": _lem,
    "indrnn": _indrnn,
    "multiplicative_lstm": _multiplicative_lstm,
}
