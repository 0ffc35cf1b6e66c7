"""QRNN, SRU, the strongly-typed cells and the minimal ones: what their papers say of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells import LSTM
from recurra.cells.min_gru import MinGRU, MinLSTM
from recurra.cells.qrnn import QRNN
from recurra.cells.sru import SRU
from recurra.cells.strongly_typed import TGRU, TLSTM, TRNN
from recurra.unroll import scan, unroll


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def close(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("window", [1, 2, 4])
def test_the_qrnns_gates_are_a_masked_convolution(window: int) -> None:
    cell, x = QRNN(3, 4, window=window, dtype=torch.float64), noise(9, 2, 3)
    present = cell.weight_ih.unsqueeze(1)
    past = [] if cell.weight_past is None else [cell.weight_past.unflatten(1, (window - 1, 3))]
    filters = torch.cat([*past, present], 1).transpose(1, 2)
    # Padded in front alone, so that no filter sees a later step.
    gates = F.conv1d(F.pad(x.permute(1, 2, 0), (window - 1, 0)), filters, cell.bias_ih).permute(2, 0, 1)
    z, f, o = gates.chunk(3, -1)
    c, outputs = torch.zeros(2, 4, dtype=torch.float64), []
    for t in range(9):
        c = torch.sigmoid(f[t]) * c + (1 - torch.sigmoid(f[t])) * torch.tanh(z[t])
        outputs.append(torch.sigmoid(o[t]) * c)
    close(unroll(cell, x)[0], torch.stack(outputs))
    y, final, states = scan(cell, x, all_states=True)
    close(y, torch.stack(outputs))
    assert states.past.shape == (9, 2, window - 1, 3)
    assert torch.equal(final.past, x[9 - window + 1 :].transpose(0, 1))


def test_a_pooled_unit_stays_between_its_candidates() -> None:
    cell = QRNN(3, 4, pooling="f", dtype=torch.float64)
    assert float(scan(cell, 10.0 * noise(200, 2, 3))[0].detach().abs().max()) <= 1.0


def test_ifo_pooling_of_one_input_is_an_lstm_that_forgets_its_hidden_units() -> None:
    """But for the squashing of the memory cells on their way out, which pooling leaves away."""
    cell, lstm = QRNN(3, 4, window=1, pooling="ifo", dtype=torch.float64), LSTM(3, 4, dtype=torch.float64)
    with torch.no_grad():
        for block, (z, f, o, i) in zip(
            (lstm.weight_ih, lstm.bias_ih), ((cell.weight_ih.chunk(4)), cell.bias_ih.chunk(4)), strict=True
        ):
            block.copy_(torch.cat([i, f, z, o]))
        lstm.weight_hh.zero_()
        lstm.bias_hh.zero_()
    x = noise(9, 2, 3)
    close(scan(cell, x)[1].c, unroll(lstm, x)[1].c)


def test_an_sru_whose_gates_do_not_look_is_the_linear_one() -> None:
    looking, linear = SRU(3, 4, dtype=torch.float64), SRU(3, 4, peephole=False, dtype=torch.float64)
    linear.load_state_dict({name: w for name, w in looking.state_dict().items() if name != "weight_hh"})
    x = noise(9, 2, 3)
    assert not torch.allclose(unroll(looking, x)[0], scan(linear, x)[0])
    torch.nn.init.zeros_(looking.weight_hh)
    close(unroll(looking, x)[0], scan(linear, x)[0])


@pytest.mark.parametrize("bias", [-3.0, 0.0, 1.5])
def test_the_highway_of_an_sru_carries_the_input_scaled_by_alpha(bias: float) -> None:
    cell, x = SRU(4, 4, highway_bias=bias, dtype=torch.float64), noise(9, 2, 4)
    assert float(cell.bias_ih.detach()[4:].min()) == bias
    torch.nn.init.zeros_(cell.bias_ih)
    with torch.no_grad():
        cell.bias_ih[4:] = -60.0
    close(unroll(cell, x)[0], np.sqrt(1.0 + 2.0 * np.exp(bias)) * x)


def test_the_first_weights_of_an_sru_have_the_variances_of_the_paper() -> None:
    torch.manual_seed(0)
    cell = SRU(300, 400)
    new, forget, reset, highway = cell.weight_ih.detach().chunk(4)
    for block, wanted in ((new, 1 / 300), (highway, 1 / 300), (forget, 0.5 / 300), (reset, 0.5 / 300)):
        assert float(block.var()) == pytest.approx(wanted, rel=0.02)
    assert float(cell.weight_hh.detach().var()) == pytest.approx(0.5, rel=0.15)


def in_logarithms(log_keep: np.ndarray, log_added: np.ndarray) -> np.ndarray:
    """The scan of the paper's appendix: h_t = exp(A_t + log sum exp(log b_s - A_s)), A_t the sum of the log factors."""
    total = np.cumsum(log_keep, axis=0)
    return np.exp(total + np.logaddexp.accumulate(log_added - total, axis=0))


def log_of_positive(a: np.ndarray) -> np.ndarray:
    return np.where(a >= 0, np.log(np.maximum(a, 0.0) + 0.5), -np.logaddexp(0.0, -a))


@pytest.mark.parametrize("kind", [MinGRU, MinLSTM])
def test_the_positive_form_is_the_scan_in_logarithms(kind: type[MinGRU] | type[MinLSTM]) -> None:
    cell, x = kind(3, 4, positive=True, dtype=torch.float64), noise(40, 2, 3)
    gates = np.split(F.linear(x, cell.weight_ih, cell.bias_ih).detach().numpy(), 2 if kind is MinGRU else 3, -1)
    if kind is MinGRU:
        log_keep, log_write = -np.logaddexp(0.0, gates[0]), -np.logaddexp(0.0, -gates[0])
    else:
        gap = np.logaddexp(0.0, -gates[0]) - np.logaddexp(0.0, -gates[1])
        log_keep, log_write = -np.logaddexp(0.0, gap), -np.logaddexp(0.0, -gap)
    wanted = in_logarithms(log_keep, log_write + log_of_positive(gates[-1]))
    np.testing.assert_allclose(scan(cell, x)[0].detach(), wanted, rtol=1e-11)
    np.testing.assert_allclose(unroll(cell, x)[0].detach(), wanted, rtol=1e-11)
    assert bool((scan(cell, 5 * x)[0] > 0).all())


@pytest.mark.parametrize("kind", [MinGRU, MinLSTM, TRNN])
def test_the_state_is_a_weighted_average_so_that_constant_candidates_are_reached_and_kept(
    kind: type[MinGRU] | type[MinLSTM] | type[TRNN],
) -> None:
    cell = kind(3, 1, dtype=torch.float64)
    index = 0 if kind is TRNN else -1
    with torch.no_grad():
        cell.weight_ih[index] = torch.tensor([1.0, 0.0, 0.0])
        if kind is not TRNN:
            cell.bias_ih[-1] = 0.0
    x = noise(60, 2, 3)
    x[..., 0] = 0.7
    state = type(cell.initial_state(2))(torch.full((2, 1), 0.7, dtype=torch.float64))
    close(scan(cell, x, state)[0], torch.full((60, 2, 1), 0.7, dtype=torch.float64))


def test_gates_of_a_minimal_lstm_that_are_both_shut_still_sum_to_one() -> None:
    cell = MinLSTM(2, 3)
    with torch.no_grad():
        cell.bias_ih[:6] = -200.0
        cell.weight_ih[:6] = 0.0
    keep, _ = cell.project(torch.ones(1, 2))
    assert torch.equal(keep, torch.full((1, 3), 0.5))


@pytest.mark.parametrize("kind", [TRNN, TLSTM])
def test_strong_typing_a_change_of_units_changes_the_numbers_and_nothing_else(kind: type[TRNN] | type[TLSTM]) -> None:
    """What z is measured in, h is measured in: scaled candidates give scaled states."""
    cell, x = kind(3, 4, bias=False, dtype=torch.float64), noise(20, 2, 3)
    y = scan(cell, x)[0]
    with torch.no_grad():
        for name, weight in cell.named_parameters():
            if name in ("weight_ih", "weight_past"):
                weight[:4] *= 1000.0
    close(scan(cell, x)[0] / 1000.0, y)


def test_the_strongly_typed_gru_is_a_sum_of_features_each_fading_by_the_gates_after_it() -> None:
    cell, x = TGRU(3, 4, dtype=torch.float64), noise(12, 2, 3)
    last = torch.cat([torch.zeros(1, 2, 3, dtype=torch.float64), x[:-1]])
    total = F.linear(x, cell.weight_ih, cell.bias_ih) + F.linear(last, cell.weight_past)
    z, f, o = total.chunk(3, -1)
    features, fading = z * torch.tanh(o), torch.sigmoid(f)
    wanted = sum(features[s] * fading[s + 1 :].prod(0) for s in range(12))
    close(scan(cell, x)[0][-1], wanted)
