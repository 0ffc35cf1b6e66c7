"""Teacher forcing and scheduled sampling: what is fed back while training, and after."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from recurra.cells import GRU, NARX, Elman, Jordan
from recurra.errors import UsageError
from recurra.learn import MSE, RTRL, TBPTT, CrossEntropy, Generator, Network, TeacherForcing, fit
from recurra.nn import Recurrent
from recurra.nn.seq2seq.schedules import linear_decay
from recurra.unroll import unroll

pytestmark = pytest.mark.usefixtures("double")
QUIET: dict[str, Any] = {"progress": False, "optimiser": functools.partial(torch.optim.SGD, lr=0.0), "clip": None}


def arrays(cell: Any) -> dict[str, np.ndarray]:
    return {name: weight.detach().numpy() for name, weight in cell.named_parameters()}


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def jordan(cell: Jordan, x: np.ndarray, d: np.ndarray, forced: np.ndarray) -> np.ndarray:
    """Outputs with d in the place of y where `forced` (time, batch) says so."""
    w = arrays(cell)
    c, outputs = np.zeros((x.shape[1], d.shape[2])), []
    for t in range(len(x)):
        h = sigmoid(x[t] @ w["weight_ih"].T + w["bias_ih"] + c @ w["weight_hh"].T)
        y = sigmoid(h @ w["weight_out"].T + w["bias_out"])
        c = cell.mu * c + np.where(forced[t][:, None] & ~np.isnan(d[t]), d[t], y)
        outputs.append(y)
    return np.stack(outputs)


def narx(cell: NARX, x: np.ndarray, d: np.ndarray, forced: np.ndarray) -> np.ndarray:
    w = arrays(cell)
    size, out = x.shape[1], d.shape[2]
    back = [np.zeros((size, out))] * cell.output_delays
    seen = [np.zeros((size, x.shape[2]))] * cell.input_delays
    outputs = []
    for t in range(len(x)):
        total = x[t] @ w["weight_ih"].T + w["bias_ih"] + np.concatenate(back, 1) @ w["weight_hh"].T
        total = total + np.concatenate(seen, 1) @ w["weight_taps"].T
        y = np.tanh(total) @ w["weight_out"].T + w["bias_out"]
        kept = np.where(forced[t][:, None] & ~np.isnan(d[t]), d[t], y)
        back, seen = [kept, *back[:-1]], [x[t], *seen[:-1]]
        outputs.append(y)
    return np.stack(outputs)


def generator(cell: Generator, x: np.ndarray, d: np.ndarray, forced: np.ndarray) -> np.ndarray:
    """A generator on an Elman cell with one external input."""
    w = arrays(cell)
    size = x.shape[1]
    h, z, outputs = np.zeros((size, cell.hidden_size)), np.zeros((size, d.shape[2])), []
    for t in range(len(x)):
        u = np.concatenate([x[t], z], 1)
        h = np.tanh(u @ w["cell.weight_ih"].T + w["cell.bias_ih"] + h @ w["cell.weight_hh"].T + w["cell.bias_hh"])
        y = h @ w["read_out.weight"].T + w["read_out.bias"]
        z = np.where(forced[t][:, None] & ~np.isnan(d[t]), d[t], y)
        outputs.append(y)
    return np.stack(outputs)


CASES = {
    "jordan": (lambda: Jordan(2, 3, output_size=2, mu=0.4), jordan),
    "narx": (lambda: NARX(2, 3, input_delays=2, output_delays=3, output_size=2), narx),
    "generator": (lambda: Generator(Elman(4, 3), outputs=2), generator),
}


def mean_error(outputs: np.ndarray, d: np.ndarray) -> float:
    return float(np.nanmean((outputs - d) ** 2))


def data() -> tuple[Tensor, Tensor]:
    x, d = torch.randn(6, 4, 2), torch.randn(6, 4, 2)
    d[2, 1], d[3, :, 0] = float("nan"), float("nan")
    return x, d


@pytest.mark.parametrize("name", CASES)
def test_the_teacher_stands_in_for_the_output_and_not_in_validation(name: str) -> None:
    make, written = CASES[name]
    cell, (x, d) = make(), data()
    everywhere, nowhere = np.ones((6, 4), bool), np.zeros((6, 4), bool)
    found = fit(cell, (x, d), TeacherForcing(MSE()), steps=1, valid=(x, d), **QUIET)
    assert found.losses[0] == pytest.approx(mean_error(written(cell, x.numpy(), d.numpy(), everywhere), d.numpy()))
    free = mean_error(written(cell, x.numpy(), d.numpy(), nowhere), d.numpy())
    assert found.validation[0][1] == pytest.approx(free) and abs(free - found.losses[0]) > 1e-6
    assert mean_error(unroll(cell, x)[0].detach().numpy(), d.numpy()) == pytest.approx(free), "the cell stays its own"


def test_coins_fall_with_the_schedule() -> None:
    cell, (x, d) = CASES["jordan"][0](), data()
    schedule = functools.partial(linear_decay, slope=0.25)
    found = fit(cell, (x, d), TeacherForcing(MSE(), schedule), steps=6, seed=4, **QUIET)
    coins = torch.Generator().manual_seed(5)
    for step, loss in enumerate(found.losses):
        forced = (torch.rand(6, 4, 1, generator=coins) < max(0.0, 1 - 0.25 * step))[..., 0].numpy()
        assert forced.all() == (step == 0) and (not forced.any()) == (step >= 4)
        assert loss == pytest.approx(mean_error(jordan(cell, x.numpy(), d.numpy(), forced), d.numpy()))


@pytest.mark.parametrize("rule", [RTRL(), TBPTT(2, 6)])
def test_every_rule_goes_with_it(rule: Any) -> None:
    trained = []
    for each in (None, rule):
        torch.manual_seed(1)
        cell, (x, d) = Jordan(2, 3, output_size=2, mu=0.4), data()
        more = {**QUIET, "optimiser": functools.partial(torch.optim.SGD, lr=0.5)}
        fit(layer_of(cell), (x, d), TeacherForcing(MSE(), 0.5), rule=each, steps=3, **more)
        trained.append(arrays(cell))
    for name, value in trained[0].items():
        np.testing.assert_allclose(value, trained[1][name], rtol=1e-8, atol=1e-12)


def layer_of(cell: Any) -> Network:
    return Network(cell)


def test_a_layer_of_one_cell_serves_too() -> None:
    layer = Recurrent("jordan", 2, 3, output_size=2, dtype=torch.float64)
    found = fit(layer, data(), TeacherForcing(MSE()), steps=2, progress=False)
    assert found.network is layer and found.losses[1] < found.losses[0]


def test_a_generator_learns_to_write_by_itself() -> None:
    wave = torch.sin(0.8 * torch.arange(16.0)).reshape(-1, 1, 1)
    net = Generator(GRU(1, 8), outputs=1)
    before = mean_error(unroll(net, torch.zeros(16, 1, 1))[0].detach().numpy(), wave.numpy())
    data = (torch.zeros(16, 1, 1), wave)
    fit(net, data, TeacherForcing(MSE(), functools.partial(linear_decay, slope=0.01)), steps=100, learning_rate=0.05,
        progress=False)  # fmt: skip
    after = mean_error(unroll(net, torch.zeros(16, 1, 1))[0].detach().numpy(), wave.numpy())
    assert after < 0.5 * before


REFUSED: dict[str, tuple[Any, tuple[str, ...]]] = {
    "no feedback": (
        lambda x, d: fit(Elman(2, 2), (x, d), TeacherForcing(MSE())),
        ("Elman does not feed its output back", "recurra.learn.Generator"),
    ),
    "something above": (
        lambda x, d: fit(Network(Jordan(2, 3), outputs=2), (x, d), TeacherForcing(MSE())),
        ("more than one cell", "nothing above it"),
    ),
    "no time": (
        lambda x, d: fit(Jordan(2, 2), (x, d[0]), TeacherForcing(MSE("end"))),
        ("numbers for each step",),
    ),
    "classes": (
        lambda x, d: fit(Jordan(2, 2), (x, d[..., 0].isnan().long()), TeacherForcing(CrossEntropy())),
        ("the target is torch.int64", "numbers for each step"),
    ),
    "a share": (lambda x, d: TeacherForcing(MSE(), 1.5), ("share is 1.5", "a probability")),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused(case: str) -> None:
    call, parts = REFUSED[case]
    with pytest.raises(UsageError) as caught:
        call(*data())
    for part in parts:
        assert part in str(caught.value)
