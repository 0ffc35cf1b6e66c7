"""sLSTM and mLSTM: stabilisers that change no number, memories that mix no heads, and the form without a recurrence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import jacrev

from recurra.cells.mlstm import mLSTM
from recurra.cells.slstm import sLSTM
from recurra.unroll import scan, unroll


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def random_state(cell: Any, batch: int) -> Any:
    start = cell.initial_state(batch)
    parts = [noise(*part.shape, seed=seed) for seed, part in enumerate(start)]
    return type(start)(*parts[:-2], parts[-2].abs() + 0.5, parts[-1].abs() + 2.0)


@pytest.mark.parametrize("forget_gate", ["sigmoid", "exp"])
@pytest.mark.parametrize("recurrent", [True, False])
@pytest.mark.parametrize("shift", [-1.5, 3.0])
def test_the_scale_of_an_slstms_memory_reaches_no_output(forget_gate: str, recurrent: bool, shift: float) -> None:
    cell = sLSTM(3, 4, recurrent=recurrent, forget_gate=forget_gate, dtype=torch.float64)
    state, x = random_state(cell, 2), noise(10, 2, 3)
    scaled = state._replace(c=state.c * np.exp(-shift), n=state.n * np.exp(-shift), m=state.m + shift)
    torch.testing.assert_close(unroll(cell, x, scaled)[0], unroll(cell, x, state)[0], rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("shift", [-1.5, 3.0])
def test_the_scale_of_an_mlstms_memory_reaches_no_output(shift: float) -> None:
    cell = mLSTM(3, 4, num_heads=2, dtype=torch.float64)
    state, x = random_state(cell, 2), noise(10, 2, 3)
    # What random_state says of the last two parts is said of n and m here, where n may have any sign.
    state = state._replace(n=noise(2, 2, 2, seed=9))
    scaled = state._replace(c=state.c * np.exp(-shift), n=state.n * np.exp(-shift), m=state.m + shift)
    torch.testing.assert_close(unroll(cell, x, scaled)[0], unroll(cell, x, state)[0], rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("make", [sLSTM, lambda *sizes: sLSTM(*sizes, recurrent=False), mLSTM], ids=["s", "s-", "m"])
@pytest.mark.parametrize("bias", [-500.0, 500.0])
@pytest.mark.parametrize("run", [unroll, scan])
def test_gates_far_beyond_the_range_of_the_exponential_do_no_harm(make: Any, bias: float, run: Any) -> None:
    torch.manual_seed(0)
    cell = make(3, 4)
    if run is scan and not cell.linear:
        return
    gates = cell.bias_gates if isinstance(cell, mLSTM) else cell.bias_ih
    with torch.no_grad():
        gates[: len(gates) // (2 if isinstance(cell, mLSTM) else 4)] = bias
    y, state = run(cell, torch.randn(30, 2, 3))
    y.square().sum().backward()
    assert all(bool(part.isfinite().all()) for part in (y, *state))
    assert all(bool(weight.grad.isfinite().all()) for weight in cell.parameters())
    if not isinstance(cell, mLSTM):
        assert float(y.detach().abs().max()) > 1e-3


def test_an_slstms_memory_is_a_weighted_mean_so_that_outputs_stay_within_one() -> None:
    torch.manual_seed(0)
    cell = sLSTM(3, 6, num_heads=3, forget_gate="exp", dtype=torch.float64)
    assert float(unroll(cell, 20.0 * noise(200, 2, 3))[0].detach().abs().max()) <= 1.0


def test_the_first_output_of_an_slstm_is_the_first_input_read_whatever_the_input_gate() -> None:
    cell, x = sLSTM(3, 4, dtype=torch.float64), noise(2, 3)
    total = x @ cell.weight_ih.T + cell.bias_ih
    _, _, z, o = total.chunk(4, -1)
    torch.testing.assert_close(cell(x, cell.initial_state(2))[0], torch.sigmoid(o) * torch.tanh(z))


@pytest.mark.parametrize("heads", [1, 2, 3, 6])
def test_units_of_different_heads_do_not_mix(heads: int) -> None:
    torch.manual_seed(0)
    cell = sLSTM(3, 6, num_heads=heads, dtype=torch.float64)
    x, state = noise(1, 3), random_state(cell, 1)
    jacobian = jacrev(lambda h: cell(x, state._replace(h=h))[1].h)(state.h).reshape(6, 6)
    same = torch.eye(heads, dtype=torch.bool).repeat_interleave(6 // heads, 0).repeat_interleave(6 // heads, 1)
    assert bool((jacobian[~same] == 0).all()) and bool((jacobian[same] != 0).all())
    assert cell.weight_hh.numel() == 4 * 6 * 6 // heads


def test_an_slstm_whose_mixing_is_nought_is_the_one_without() -> None:
    mixing, plain = sLSTM(3, 4, dtype=torch.float64), sLSTM(3, 4, recurrent=False, dtype=torch.float64)
    plain.load_state_dict({name: w for name, w in mixing.state_dict().items() if name != "weight_hh"})
    torch.nn.init.zeros_(mixing.weight_hh)
    x = noise(20, 2, 3)
    torch.testing.assert_close(scan(plain, x), unroll(mixing, x), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("forget_gate", ["sigmoid", "exp"])
@pytest.mark.parametrize("heads", [1, 2])
def test_the_mlstm_is_its_parallel_form(forget_gate: str, heads: int) -> None:
    """All steps from queries, keys and values as in attention, quadratic in the time: appendix A of the paper."""
    cell, x = mLSTM(3, 6, num_heads=heads, forget_gate=forget_gate, dtype=torch.float64), noise(25, 2, 3)
    w = {name: weight.detach().numpy() for name, weight in cell.named_parameters()}
    array, width = x.numpy(), 6 // heads
    part_weights, part_biases = np.split(w["weight_ih"], 4), np.split(w["bias_ih"], 4)
    query, key, value, read = (
        (array @ weight.T / divided + bias).reshape(25, 2, heads, width)
        for weight, bias, divided in zip(part_weights, part_biases, (1, np.sqrt(width), 1, 1), strict=True)
    )
    log_write, log_forget = np.split(array @ w["weight_gates"].T + w["bias_gates"], 2, -1)
    if forget_gate == "sigmoid":
        log_forget = -np.logaddexp(0.0, -log_forget)
    outputs = np.zeros((25, 2, heads, width))
    for t in range(25):
        weights = np.stack([log_forget[s + 1 : t + 1].sum(0) + log_write[s] for s in range(t + 1)])
        top = weights.max(0)
        scores = np.einsum("bhk,sbhk->sbh", query[t], key[: t + 1]) * np.exp(weights - top)
        below = np.maximum(np.abs(scores.sum(0)), np.exp(-top))
        outputs[t] = np.einsum("sbh,sbhv->bhv", scores, value[: t + 1]) / below[..., None]
    wanted = (outputs / (1.0 + np.exp(-read))).reshape(25, 2, 6)
    for run in (scan, unroll):
        np.testing.assert_allclose(run(cell, x)[0].detach(), wanted, rtol=1e-9, atol=1e-11)


def test_an_mlstm_finds_again_what_it_stored_under_orthogonal_keys() -> None:
    """As many values as keys have features; the input is key, value, query and a flag that shuts the input gate."""
    d = 5
    cell = mLSTM(3 * d + 1, d, dtype=torch.float64)
    unit, nothing = torch.eye(d, dtype=torch.float64), torch.zeros(d, d, dtype=torch.float64)
    flag = torch.ones(d, 1, dtype=torch.float64)
    with torch.no_grad():
        for weight in cell.parameters():
            weight.zero_()
        key, value, query = torch.eye(3 * d + 1, dtype=torch.float64)[: 3 * d].split(d)
        cell.weight_ih[: 3 * d] = torch.cat([query, d**0.5 * key, value])
        cell.weight_gates[0, -1] = -1000.0
        cell.bias_gates[1] = 60.0
        cell.bias_ih[3 * d :] = 60.0
    values = noise(d, d)
    writing = torch.cat([unit, values, nothing, 0 * flag], 1)
    asking = torch.cat([nothing, nothing, unit.flip(0), flag], 1)
    for run in (scan, unroll):
        y, _ = run(cell, torch.cat([writing, asking]).unsqueeze(1))
        torch.testing.assert_close(y[d:, 0], values.flip(0), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("cell", [sLSTM(3, 5), mLSTM(3, 5, num_heads=5)], ids=["s", "m"])
def test_forget_biases_go_from_three_to_six(cell: Any) -> None:
    bias = cell.bias_gates.detach().chunk(2)[1] if isinstance(cell, mLSTM) else cell.bias_ih.detach().chunk(4)[1]
    assert bias.tolist() == [3.0, 3.75, 4.5, 5.25, 6.0]
