"""Small gated cells: what their papers state of gates, fixed points, bounds and dynamics without input."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.func import jacrev

from recurra.cells import GRU, Elman, HiddenState
from recurra.cells.atr import ATR
from recurra.cells.bistable import BRC, NBRC
from recurra.cells.cfn import CFN
from recurra.cells.minimal_rnn import MinimalRNN
from recurra.cells.miru import MiRU
from recurra.cells.sgrn import SGRN
from recurra.cells.sgu import DSGU, SGU
from recurra.cells.star import STAR
from recurra.errors import UsageError
from recurra.unroll import unroll

N, FEATURES = 5, 3


def made(kind: Callable[..., torch.nn.Module], size: float = 1.0, **arguments: object) -> torch.nn.Module:
    """A cell with weights that are `size` times the library's first ones."""
    torch.manual_seed(0)
    cell = kind(FEATURES, N, dtype=torch.float64, **arguments)
    with torch.no_grad():
        for weight in cell.parameters():
            weight.mul_(size)
    return cell


def normal(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_the_atr_gates_are_one_where_a_product_is_zero() -> None:
    """Without q both gates are sigmoid(p); without p they sum to one."""
    cell, h = made(ATR, size=2.0), normal(4, N, seed=2)
    x = normal(4, FEATURES)
    p = x @ cell.weight_ih.T + cell.bias_ih
    y, _ = cell(x, HiddenState(torch.zeros(4, N, dtype=torch.float64)))
    torch.testing.assert_close(y, torch.sigmoid(p) * p)
    q = h @ cell.weight_hh.T
    with torch.no_grad():
        cell.bias_ih.zero_()
    y, _ = cell(torch.zeros_like(x), HiddenState(h))
    torch.testing.assert_close(y, (1.0 - torch.sigmoid(q)) * h)


def test_the_atr_twin_gates_move_against_each_other_along_q() -> None:
    """The subtraction makes the forget gate fall where the addition makes the input gate rise."""
    cell = ATR(1, 2, dtype=torch.float64)
    # The first unit's h makes the second's q; the second is read with h = 0 and with h = 1, to tell its gates apart.
    with torch.no_grad():
        cell.weight_ih.fill_(1.0)
        cell.bias_ih.zero_()
        cell.weight_hh.copy_(torch.tensor([[0.0, 0.0], [1.0, 0.0]]))
    q = torch.linspace(-3.0, 3.0, 9, dtype=torch.float64)
    x = torch.full((9, 1), 0.7, dtype=torch.float64)
    without = cell(x, HiddenState(torch.stack([q, torch.zeros_like(q)], 1)))[0][:, 1]
    along = cell(x, HiddenState(torch.stack([q, torch.ones_like(q)], 1)))[0][:, 1]
    input_gate, forget_gate = without / 0.7, along - without
    assert bool((input_gate.diff() > 0).all()) and bool((forget_gate.diff() < 0).all())
    torch.testing.assert_close(input_gate, forget_gate.flip(0))


def feedback_cell(kind: type[BRC] | type[NBRC], feedback: float) -> BRC | NBRC:
    """One unit that sees nothing and has the feedback a given; c is its first value, a half."""
    cell = kind(1, 1, dtype=torch.float64)
    with torch.no_grad():
        for weight in cell.parameters():
            weight.zero_()
        cell.bias_ih[0] = torch.atanh(torch.tensor(feedback - 1.0, dtype=torch.float64))
    return cell


def settled(cell: torch.nn.Module, h: Tensor, steps: int = 3000) -> Tensor:
    return unroll(cell, torch.zeros(steps, len(h), 1, dtype=torch.float64), HiddenState(h))[1].h


@pytest.mark.parametrize("kind", [BRC, NBRC])
@pytest.mark.parametrize("feedback", [1.05, 1.5, 1.9])
def test_a_unit_with_feedback_above_one_is_bistable(kind: type[BRC] | type[NBRC], feedback: float) -> None:
    cell = feedback_cell(kind, feedback)
    first = torch.tensor([[1e-3], [0.4], [1.0], [-1e-3], [-0.4], [-1.0], [0.0]], dtype=torch.float64)
    with torch.no_grad():
        last = settled(cell, first, 1500)
    # Bisection for the positive root of h = tanh(a h).
    low, high = 1e-6, 1.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if float(torch.tanh(torch.tensor(feedback * middle))) > middle else (low, middle)
    root = last.new_tensor(low)
    torch.testing.assert_close(last[:3], root.expand(3, 1), rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(last[3:6], -root.expand(3, 1), rtol=1e-5, atol=1e-7)
    assert last[6].item() == 0.0

    def slope(at: float) -> float:
        return jacrev(lambda h: cell(h.new_zeros(1, 1), HiddenState(h))[0])(last.new_tensor([[at]])).item()

    assert slope(0.0) > 1.0 and abs(slope(float(root))) < 1.0


@pytest.mark.parametrize("kind", [BRC, NBRC])
def test_a_unit_with_feedback_below_one_forgets(kind: type[BRC] | type[NBRC]) -> None:
    cell = feedback_cell(kind, 0.9)
    with torch.no_grad():
        last = settled(cell, torch.tensor([[1.0], [-0.3]], dtype=torch.float64), 1000)
    assert float(last.abs().max()) < 1e-9


def test_a_bistable_unit_holds_a_pulse_for_ever_and_an_opposite_pulse_flips_it() -> None:
    cell = feedback_cell(BRC, 1.5)
    with torch.no_grad():
        cell.weight_ih[2] = 1.0
        x = torch.zeros(2000, 1, 1, dtype=torch.float64)
        x[0], x[1000:1004] = 2.0, -5.0
        y = unroll(cell, x)[0].flatten()
    assert float(y[999]) > 0.8 and float(y[1999]) < -0.8
    torch.testing.assert_close(y[500:999], y[999].expand(499))


def test_nbrc_with_diagonal_weights_is_brc() -> None:
    single, modulated = made(BRC), made(NBRC)
    with torch.no_grad():
        modulated.weight_ih.copy_(single.weight_ih)
        modulated.bias_ih.copy_(single.bias_ih)
        modulated.weight_hh.copy_(torch.cat([torch.diag(part) for part in single.weight_hh.chunk(2)]))
    x, state = normal(6, 4, FEATURES), HiddenState(normal(4, N, seed=2))
    torch.testing.assert_close(unroll(modulated, x, state)[0], unroll(single, x, state)[0])


def test_a_chaos_free_network_fades_to_zero_without_input_whatever_its_weights() -> None:
    """Every unit's size falls at every step, where a plain network with weights as large never comes to rest."""
    h = 3.0 * normal(4, N, seed=2)
    nothing = torch.zeros(400, 4, FEATURES, dtype=torch.float64)
    with torch.no_grad():
        for size in (1.0, 20.0):
            cell = made(CFN, size=size)
            sizes = torch.cat([h[None], unroll(cell, nothing, HiddenState(h))[0]]).abs()
            assert bool((sizes.diff(dim=0) <= 0).all())
            # The slowest case, tanh with the forget gate open for good, is sqrt(1.5 / t) in the long run.
            assert float(sizes[-1].max()) < 0.07
        elman = made(Elman, size=20.0, bias=False)
        assert float(unroll(elman, nothing, HiddenState(h))[0][-1].abs().max()) > 0.5


def test_a_chaos_free_network_fades_as_fast_as_its_forget_gate_says() -> None:
    cell, h = made(CFN), normal(4, N, seed=2)
    with torch.no_grad():
        cell.weight_hh.zero_()
        cell.bias_ih[:N] = torch.logit(torch.tensor(0.8, dtype=torch.float64))
        y = unroll(cell, torch.zeros(60, 4, FEATURES, dtype=torch.float64), HiddenState(h))[0]
    factors = 0.8 ** torch.arange(1.0, 61.0, dtype=torch.float64)
    assert bool((y.abs() <= factors[:, None, None] * h.abs()).all())
    # Once small, tanh is the identity and the decay is exactly the gate.
    torch.testing.assert_close(y[-1] / y[-2], torch.full_like(h, 0.8), rtol=1e-4, atol=0.0)


def test_a_chaos_free_network_moves_without_the_others_where_its_gates_do_not_see_them() -> None:
    cell = made(CFN)
    with torch.no_grad():
        cell.weight_hh.zero_()
    x = normal(1, FEATURES)
    jacobian = jacrev(lambda h: cell(x, HiddenState(h))[0])(normal(1, N, seed=2)).reshape(N, N)
    assert bool((jacobian - torch.diag(jacobian.diagonal()) == 0).all())


def test_a_chaos_free_network_is_bounded_by_its_gates() -> None:
    """With both gates open for good, |h| = tanh(|h|) + 1 at most, which is 1.9612."""
    cell = made(CFN, size=30.0)
    with torch.no_grad():
        y, _ = unroll(cell, 10.0 * normal(50, 8, FEATURES))
    assert 1.5 < float(y.abs().max()) < 1.9613


@pytest.mark.parametrize("kind", [SGU, DSGU])
def test_the_hard_gate_of_a_simple_gated_unit_shuts_and_opens_wholly(kind: type[SGU] | type[DSGU]) -> None:
    """At 2.5 above or below zero the hard sigmoid is exactly one or zero, unlike a sigmoid."""
    cell, x, h = made(kind), normal(4, FEATURES), normal(4, N, seed=2)
    with torch.no_grad():
        cell.weight_ih[:N].zero_()
        cell.weight_hh[:N].zero_()
        cell.bias_ih[:N] = -2.5
        assert torch.equal(cell(x, HiddenState(h))[0], h)
        cell.bias_ih[:N] = 2.5
        new = cell(x, HiddenState(h))[0]
        cell.bias_ih[:N] = -0.5
        torch.testing.assert_close(cell(x, HiddenState(h))[0], 0.6 * h + 0.4 * new)


def test_the_deep_simple_gated_unit_is_bounded_where_the_simple_one_is_not() -> None:
    x = torch.full((60, 2, FEATURES), 5.0, dtype=torch.float64)
    deep, simple = made(DSGU, size=5.0), made(SGU)
    with torch.no_grad():
        y = unroll(deep, x)[0]
        assert bool(((0.0 <= y) & (y <= 1.0)).all()) and float(y.std()) > 0.0
        # A factor that is large and positive makes softplus(h) of the new value, which is above h: it grows for ever.
        simple.weight_ih.fill_(10.0)
        simple.weight_hh[N:] = torch.eye(N)
        simple.weight_hh[:N] = 0.0
        y = unroll(simple, x)[0]
    assert bool((y.diff(dim=0) > 0).all()) and float(y[-1].min()) > 2.5


def test_the_first_step_of_the_simple_gated_units_does_not_depend_on_the_input_but_by_the_gate() -> None:
    """From h = 0 the multiplied input is zero, so that the new value is softplus(0) = ln 2 or sigmoid(0) = 1/2."""
    x = normal(4, FEATURES)
    for kind, value in ((SGU, 0.6931471805599453), (DSGU, 0.5)):
        cell = made(kind)
        gate = (0.2 * (x @ cell.weight_ih[:N].T + cell.bias_ih[:N]) + 0.5).clamp(0, 1)
        torch.testing.assert_close(cell(x, cell.initial_state(4))[0], gate * value)


def test_the_gate_of_sgrn_goes_from_the_input_to_the_last_state() -> None:
    cell, x, h = made(SGRN), normal(4, FEATURES), normal(4, N, seed=2)
    with torch.no_grad():
        cell.bias_ih.fill_(60.0)
        torch.testing.assert_close(cell(x, HiddenState(h))[0], torch.tanh(h))
        cell.bias_ih.fill_(-60.0)
        torch.testing.assert_close(cell(x, HiddenState(h))[0], torch.tanh(x @ cell.weight_ih.T))


def test_the_bias_of_sgrn_is_seen_by_its_gate_alone() -> None:
    """Without input and state nothing is written, whatever the bias."""
    cell = made(SGRN, size=3.0)
    assert bool(cell.bias_ih.all())
    y, _ = cell(torch.zeros(2, FEATURES, dtype=torch.float64), cell.initial_state(2))
    assert not y.any()


@pytest.mark.parametrize("variant", [1, 2])
def test_a_minion_unit_is_the_gru_with_constant_gates(variant: int) -> None:
    cell = made(MiRU, variant=variant, update_coefficient=0.7, reset_coefficient=0.3)
    gru = GRU(FEATURES, N, reset_after=False, dtype=torch.float64)
    with torch.no_grad():
        for weight in gru.parameters():
            weight.zero_()
        gru.bias_ih[N : 2 * N] = torch.logit(torch.tensor(0.7, dtype=torch.float64))
        gru.bias_ih[:N] = torch.logit(torch.tensor(0.3, dtype=torch.float64))
        for target, source in zip(
            (gru.weight_ih, gru.weight_hh, gru.bias_ih), (cell.weight_ih, cell.weight_hh, cell.bias_ih), strict=True
        ):
            target[2 * N :] = source[-N:]
            if variant == 1:
                target[:N] = source[:N]
    x, state = normal(6, 4, FEATURES), HiddenState(normal(4, N, seed=2))
    torch.testing.assert_close(unroll(cell, x, state)[0], unroll(gru, x, state)[0], rtol=1e-12, atol=1e-14)


def test_a_minion_unit_with_whole_coefficients_is_elmans_network_or_no_network() -> None:
    x, state = normal(6, 4, FEATURES), HiddenState(normal(4, N, seed=2))
    cell, elman = made(MiRU, variant=2, update_coefficient=0, reset_coefficient=1), made(Elman)
    with torch.no_grad():
        elman.bias_hh.zero_()
        elman.load_state_dict(cell.state_dict(), strict=False)
    torch.testing.assert_close(unroll(cell, x, state)[0], unroll(elman, x, state)[0], rtol=1e-12, atol=1e-14)
    frozen = made(MiRU, variant=1, update_coefficient=1.0)
    assert torch.equal(unroll(frozen, x, state)[1].h, state.h)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"variant": 3}, "MiRU: variant is 3. Needed: 1 or 2."),
        ({"update_coefficient": 1.5}, "MiRU: update_coefficient is 1.5. Needed: a number from 0 to 1."),
        ({"reset_coefficient": "x"}, "MiRU: reset_coefficient is 'x'. Needed: a number from 0 to 1."),
        ({"update_coefficient": float("nan")}, "MiRU: update_coefficient is nan. Needed: a number from 0 to 1."),
    ],
)
def test_messages(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        MiRU(2, 2, **arguments)
    assert str(caught.value) == message


def test_what_is_shown() -> None:
    assert repr(MiRU(2, 3)) == "MiRU(2, 3, variant=1, update_coefficient=0.5)"
    assert repr(MiRU(2, 3, variant=2)) == "MiRU(2, 3, variant=2, update_coefficient=0.5, reset_coefficient=0.5)"


def test_the_step_jacobian_of_minimal_rnn_is_the_papers() -> None:
    """dh_t / dh_{t-1} = diag((h_{t-1} - n_t) u_t (1 - u_t)) U_h + diag(u_t)."""
    cell, x, h = made(MinimalRNN, size=2.0), normal(1, FEATURES), normal(1, N, seed=2)
    found = jacrev(lambda h: cell(x, HiddenState(h))[0])(h).reshape(N, N)
    with torch.no_grad():
        new = torch.tanh(x @ cell.weight_ih.T + cell.bias_ih)
        u = torch.sigmoid(h @ cell.weight_hh.T + new @ cell.weight_nh.T + cell.bias_hh)
        wanted = torch.diag(((h - new) * u * (1 - u))[0]) @ cell.weight_hh + torch.diag(u[0])
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-14)


def test_minimal_rnn_stays_between_its_first_state_and_what_the_inputs_were_mapped_to() -> None:
    cell, x = made(MinimalRNN, size=3.0), normal(40, 4, FEATURES)
    y, _ = unroll(cell, x)
    new = torch.tanh(x @ cell.weight_ih.T + cell.bias_ih)
    high, low = new.cummax(0).values.clamp(min=0.0), new.cummin(0).values.clamp(max=0.0)
    assert bool(((low <= y) & (y <= high)).all())


def test_the_step_jacobians_of_star_are_the_papers() -> None:
    """With s the sum inside the outer tanh: dh/dh' = diag(1 - h^2) (diag(1 - k) + diag((n - h') k (1 - k)) U_k)."""
    cell, x, last = made(STAR, size=2.0), normal(1, FEATURES), normal(1, N, seed=2)
    found = jacrev(lambda h: cell(x, HiddenState(h))[0])(last).reshape(N, N)
    with torch.no_grad():
        gate, new = (x @ cell.weight_ih.T + cell.bias_ih).chunk(2, -1)
        k, new = torch.sigmoid(gate + last @ cell.weight_hh.T), torch.tanh(new)
        h = torch.tanh((1 - k) * last + k * new)
        inner = torch.diag((1 - k)[0]) + torch.diag(((new - last) * k * (1 - k))[0]) @ cell.weight_hh
        wanted = torch.diag((1 - h.square())[0]) @ inner
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-14)


def test_the_gate_of_star_goes_from_the_last_state_to_the_input() -> None:
    cell, x, h = made(STAR), normal(4, FEATURES), normal(4, N, seed=2)
    with torch.no_grad():
        cell.bias_ih[:N] = -60.0
        torch.testing.assert_close(cell(x, HiddenState(h))[0], torch.tanh(h))
        cell.bias_ih[:N] = 60.0
        new = torch.tanh(x @ cell.weight_ih[N:].T + cell.bias_ih[N:])
        torch.testing.assert_close(cell(x, HiddenState(h))[0], torch.tanh(new))
