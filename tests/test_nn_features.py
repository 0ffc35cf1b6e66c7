"""What a recurrent layer adds to its cells, feature by feature, against the equations written out."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells import LSTM, Cell, HiddenState, LSTMState, map_state
from recurra.cells.variant import with_recurrent_dropout
from recurra.cells.zoneout import Zoneout
from recurra.errors import ShapeError, UsageError
from recurra.nn import Recurrent
from recurra.nn.explain import explain
from recurra.unroll import unroll


def data(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def same(a: Any, b: Any) -> None:
    map_state(lambda left, right: torch.testing.assert_close(left, right, rtol=1e-10, atol=1e-12), a, b)


def layer(cell: Any = "lstm", *sizes: int, **options: Any) -> Recurrent:
    torch.manual_seed(0)
    return Recurrent(cell, 3, 4, *sizes, dtype=torch.float64, **options)


class Own(Cell):
    """A user's cell: its weights are torch's own modules, and its product goes past `recur`."""

    recurrent_weights = ("keep.weight",)

    def __init__(self, input_size: int, hidden_size: int, dtype: Any = None):
        super().__init__(input_size, hidden_size)
        self.read = torch.nn.Linear(input_size, hidden_size, dtype=dtype)
        self.keep = torch.nn.Linear(hidden_size, hidden_size, dtype=dtype)

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        return HiddenState(torch.zeros(batch_size, self.hidden_size, dtype=dtype, device=device))

    def project(self, x: Tensor) -> Tensor:
        return self.read(x)

    def advance(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        h = torch.tanh(projected + self.keep(state.h))
        return h, HiddenState(h)


def test_input_dropout_draws_each_step_anew_or_once_for_a_sequence() -> None:
    class Show(Cell):
        def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
            return HiddenState(torch.zeros(batch_size, self.hidden_size, dtype=dtype, device=device))

        def advance(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
            return projected, HiddenState(projected)

    torch.manual_seed(0)
    ones = torch.ones(50, 6, 8)
    each = Recurrent(Show, 8, 8, input_dropout=0.25)(ones)[0]
    assert each.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert 0.2 < float((each == 0).float().mean()) < 0.3
    assert not bool((each == each[:1]).all())
    once = Recurrent(Show, 8, 8, input_dropout=0.25, variational=True)(ones)[0]
    assert bool((once == once[:1]).all()) and bool((once == 0).any())
    assert not bool((once == once[:, :1]).all())
    between = Recurrent(Show, 8, 8, 2, dropout=0.25, variational=True)(ones)[0]
    assert bool((between == between[:1]).all()) and bool((between == 0).any())
    assert torch.equal(Recurrent(Show, 8, 8, input_dropout=0.25).eval()(ones)[0], ones)


def test_recurrent_dropout_is_that_of_the_paper_for_the_lstm() -> None:
    made, x = layer(recurrent_dropout=0.3), data(6, 2, 3)
    torch.manual_seed(5)
    y, _ = made(x)
    torch.manual_seed(5)
    mask = with_recurrent_dropout(made.cells[0], 0.3)[1][0](torch.ones(2, 4, dtype=torch.float64))
    assert set(mask.unique().tolist()) == {0.0, 1 / 0.7}
    cell, h, c = made.cells[0], torch.zeros(2, 4, dtype=torch.float64), torch.zeros(2, 4, dtype=torch.float64)
    for t in range(6):
        gates = x[t] @ cell.weight_ih.T + cell.bias_ih + (h * mask) @ cell.weight_hh.T + cell.bias_hh
        i, f, g, o = gates.chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        same(y[t], h)


def test_recurrent_dropout_that_a_cell_does_not_know_is_refused() -> None:
    made = layer(Own, recurrent_dropout=0.3)
    with pytest.raises(UsageError, match=r"recurrent_dropout was given, and Own makes no recurrent product by `recur`"):
        made(data(4, 2, 3))
    with pytest.raises(UsageError, match="makes no recurrent product"):
        made.step(data(2, 3))
    made.eval()(data(4, 2, 3))


def test_weight_drop_reaches_weights_inside_modules_and_keeps_the_kernels() -> None:
    made, x = layer(Own, weight_drop=0.5), data(5, 2, 3)
    torch.manual_seed(3)
    y, _ = made(x)
    torch.manual_seed(3)
    weight = F.dropout(made.cells[0].keep.weight, 0.5)
    h = torch.zeros(2, 4, dtype=torch.float64)
    for t in range(5):
        h = torch.tanh(made.cells[0].read(x[t]) + h @ weight.T + made.cells[0].keep.bias)
        same(y[t], h)
    kept = layer("lstm", weight_drop=0.5)
    torch.manual_seed(3)
    y, _ = kept(x)
    torch.manual_seed(3)
    weight = F.dropout(kept.cells[0].weight_hh, 0.5)
    plain = layer("lstm")
    with torch.no_grad():
        plain.cells[0].weight_hh.copy_(weight)
    same(y, plain(x)[0])
    y.square().sum().backward()
    gradient = kept.cells[0].weight_hh.grad
    assert gradient is not None and bool((gradient[weight == 0] == 0).all()) and bool(gradient.any())


def test_a_name_that_is_no_weight_is_said() -> None:
    class Wrong(Own):
        recurrent_weights = ("keep.wait",)

    with pytest.raises(UsageError, match=r"Wrong has no weight 'keep.wait', which its `recurrent_weights` names"):
        layer(Wrong, weight_drop=0.5)


def test_zoneout_is_that_of_the_paper_for_the_lstm() -> None:
    made, x = layer(zoneout={"c": 0.5, "h": 0.1}).eval(), data(5, 2, 3)
    y, _ = made(x)
    state = LSTMState(torch.zeros(2, 4, dtype=torch.float64), torch.zeros(2, 4, dtype=torch.float64))
    for t in range(5):
        _, after = made.cells[0](x[t], state)
        state = LSTMState(0.1 * state.h + 0.9 * after.h, 0.5 * state.c + 0.5 * after.c)
        same(y[t], state.h)
    torch.manual_seed(2)
    many = Recurrent("lstm", 3, 64, zoneout={"c": 0.3}, dtype=torch.float64)
    start = (LSTMState(torch.zeros(64, 64, dtype=torch.float64), torch.ones(64, 64, dtype=torch.float64)),)
    _, (after,) = many(data(1, 64, 3), start)
    assert 0.27 < float((after.c == 1).double().mean()) < 0.33
    assert not bool((after.h == 0).any())


@pytest.mark.parametrize("rate", [-0.1, 1.5, True, "some"])
def test_zoneout_out_of_range(rate: Any) -> None:
    with pytest.raises(UsageError, match=re.escape(f"zoneout is {rate!r}. Needed: a number from 0 to 1")):
        layer(zoneout=rate)
    with pytest.raises(UsageError, match=re.escape(f"zoneout is {rate!r}")):
        Zoneout(LSTM(2, 3), {"c": rate})


@pytest.mark.parametrize("connection", ["residual", "highway", "dense"])
def test_connections_are_their_equations(connection: str) -> None:
    made, x = layer("gru", 3, connection=connection), data(5, 2, 3)
    y, _ = made(x)
    reads = x
    for index, cell in enumerate(made.cells):
        gives, _ = unroll(cell, reads)
        last = index == 2
        if connection == "dense":
            reads = gives if last else torch.cat([reads, gives], -1)
        elif index == 0:
            reads = gives  # 3 features read, 4 given: nothing to join
        elif connection == "residual":
            reads = reads + gives
        else:
            gate = made.joints[index].gate
            t = torch.sigmoid(reads @ gate.weight.T + gate.bias)
            reads = t * gives + (1 - t) * reads
    same(y, reads)
    assert made.output_size == y.shape[-1] == 4
    assert [cell.input_size for cell in made.cells] == ([3, 7, 11] if connection == "dense" else [3, 4, 4])


def test_layer_norm_is_its_equation() -> None:
    made, x = layer("gru", 2, layer_norm=True), data(5, 2, 3)
    with torch.no_grad():
        made.norms[0].weight.mul_(2.0)
        made.norms[0].bias.add_(0.3)
    y, _ = made(x)
    below, _ = unroll(made.cells[0], x)
    below = (
        2 * (below - below.mean(-1, keepdim=True)) / (below.var(-1, keepdim=True, unbiased=False) + 1e-5).sqrt() + 0.3
    )
    above, _ = unroll(made.cells[1], below)
    same(y, (above - above.mean(-1, keepdim=True)) / (above.var(-1, keepdim=True, unbiased=False) + 1e-5).sqrt())


def test_identity_start_makes_an_irnn() -> None:
    made = layer("elman_relu", 2, recurrent_init="identity")
    assert all(torch.equal(cell.weight_hh, torch.eye(4, dtype=torch.float64)) for cell in made.cells)
    assert torch.equal(
        layer("indrnn", recurrent_init="identity").cells[0].weight_hh, torch.ones(4, dtype=torch.float64)
    )
    with pytest.raises(UsageError, match=r"the recurrent weights have shape \(4,\). Needed: a matrix"):
        layer("indrnn", recurrent_init="orthogonal")


def test_start_values_come_back_when_drawn_anew() -> None:
    made = layer("lstm", 2, forget_bias=1.0, recurrent_init="orthogonal", connection="highway", layer_norm=True)
    with torch.no_grad():
        for weight in made.parameters():
            weight.fill_(7.0)
    made.reset_parameters()
    for cell in made.cells:
        assert torch.equal(cell.bias_hh[4:8] + cell.bias_ih[4:8], torch.ones(4, dtype=torch.float64))
    assert bool((made.norms[1].weight == 1).all())
    assert bool((made.joints[1].gate.bias == -2).all())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"connection": "skip"}, "connection is 'skip'. Needed: 'plain', 'residual', 'highway' or 'dense'"),
        ({"recurrent_init": "ortho"}, "recurrent_init is 'ortho'. Needed: None, 'orthogonal' or 'identity'"),
        ({"forget_bias": "one"}, "forget_bias is 'one'. Needed: a number"),
        ({"chrono": 2}, "chrono is 2. Needed: the longest time to remember, a whole number of at least 3 steps"),
        ({"chrono": 9, "forget_bias": 1.0}, "chrono and forget_bias came together"),
        ({"checkpoint": -1}, "checkpoint is -1. Needed: False, True"),
        ({"checkpoint": "yes"}, "checkpoint is 'yes'. Needed: False, True"),
        ({"input_dropout": 1.5}, "input_dropout is 1.5. Needed: a number from 0 to 1"),
        ({"recurrent_dropout": -1}, "recurrent_dropout is -1. Needed: a number from 0 to 1"),
        ({"weight_drop": True}, "weight_drop is True. Needed: a number from 0 to 1"),
        ({"bias": False, "forget_bias": 1.0}, "forget_bias is 1.0, and LSTM has no biases"),
    ],
)
def test_arguments_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        layer(**options)


def test_what_goes_with_time_is_checked() -> None:
    made, x = layer(), data(4, 2, 3)
    with pytest.raises(UsageError, match="Recurrent: dt was given, and LSTM does not know the time between steps"):
        made(x, dt=1.0)
    with pytest.raises(UsageError, match="dt was given, and LSTM"):
        made.step(x[0], dt=1.0)
    timed = layer("cornn")
    with pytest.raises(ShapeError, match=r"dt has shape \(2, 4\). Needed: a number, or a tensor \(4, 2\)"):
        timed(x, dt=torch.ones(2, 4))
    with pytest.raises(ShapeError, match=r"dt is str. Needed: a number, or a tensor"):
        timed(x, dt="long")


def test_explain_names_the_scan_and_the_kernels() -> None:
    text = explain(Recurrent("min_gru", 3, 4))
    assert "layer 0, forward: parallel scan over time, with lengths and mask too" in text
    assert "reference loop, because backend='reference' was asked for" in explain(
        Recurrent("min_gru", 3, 4, backend="reference")
    )

    class Changed(type(Recurrent("min_gru", 3, 4).cells[0])):  # type: ignore[misc]
        def advance(self, projected: Any, state: Any) -> Any:
            y, after = super().advance(projected, state)
            return 2 * y, after

    torch.manual_seed(0)
    made, x = Recurrent(Changed, 3, 4), torch.randn(5, 2, 3)
    assert "a step of its own" in explain(made) or "reference loop" in explain(made)
    torch.manual_seed(0)
    assert torch.allclose(made(x)[0], 2 * Recurrent("min_gru", 3, 4)(x)[0])


CODE = """
import re, sys, torch

def peak():
    # Not getrusage: what it says begins at the size of the process that started this one.
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read()).group(1)) / 1024

from recurra.nn import Recurrent, drive
steps, checkpoint = int(sys.argv[1]), sys.argv[2] == "True"
if not {compiled}:
    drive.ENOUGH = steps**3
torch.manual_seed(0)
layer = Recurrent({cell!r}, 1, 32, backend={backend!r}, checkpoint=checkpoint)
# Long enough for the path of the long call, so that what is loaded and compiled once is not counted.
layer(torch.randn(600, 4, 1))[0].sum().backward()
layer.zero_grad()
x = torch.randn(steps, 4, 1)
before = peak()
y, _ = layer(x)
y[-1].sum().backward()
print(peak() - before, float(layer.cells[0].weight_hh.grad.norm()))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="reads the peak memory where Linux keeps it")
@pytest.mark.parametrize(
    ("cell", "backend", "compiled"), [("gru", "auto", False), ("gru", "auto", True), ("lstm", "reference", False)]
)
def test_memory_stays_small_with_checkpoints(cell: str, backend: str, compiled: bool) -> None:
    found = []
    for checkpoint in (False, True):
        # The compiled loop keeps so little that it is held against what torch.nn's kernel takes without checkpoints.
        code = CODE.format(cell=cell, backend=backend, compiled=compiled and checkpoint)
        command = [sys.executable, "-c", code, "10000", str(checkpoint)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found.append([float(number) for number in done.stdout.split()])
    (whole, gradient), (bounded, again) = found
    assert bounded < whole / 4, f"{bounded:.0f} MiB with checkpoints, {whole:.0f} MiB without"
    assert again == pytest.approx(gradient, rel=1e-4)


def test_noise_is_the_same_when_computed_again() -> None:
    x = data(9, 2, 3).requires_grad_()
    results = []
    for checkpoint in (False, 3):
        made = layer("gru", 2, recurrent_dropout=0.4, zoneout=0.3, weight_drop=0.2, dropout=0.2, checkpoint=checkpoint)
        torch.manual_seed(4)
        y, _ = made(x)
        results.append((y, torch.autograd.grad(y.square().sum(), [x, *made.parameters()])))
    same(results[1], results[0])


def test_second_derivatives_through_checkpoints() -> None:
    made = layer("lstm", checkpoint=2, backend="reference")
    assert torch.autograd.gradgradcheck(lambda x: made(x, lengths=[5, 3])[0], (data(5, 2, 3).requires_grad_(),))
