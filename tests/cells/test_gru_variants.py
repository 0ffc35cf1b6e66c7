"""The GRU's kin: what becomes of the GRU when weights are dropped, and what the papers state of each cell."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from recurra.cells import GRU, HiddenState
from recurra.cells.gate_variant_gru import GateVariantGRU
from recurra.cells.light_ru import LightRU
from recurra.cells.ligru import LiGRU
from recurra.cells.mgu import MGU
from recurra.cells.mut import MUT
from recurra.errors import UsageError
from recurra.unroll import unroll

N, FEATURES = 5, 3


def made(kind: Callable[..., torch.nn.Module], features: int = FEATURES, **arguments: object) -> torch.nn.Module:
    torch.manual_seed(0)
    return kind(features, N, dtype=torch.float64, **arguments)


def sequence(features: int = FEATURES, steps: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(steps, 4, features, dtype=torch.float64, generator=generator)


def start() -> HiddenState:
    return HiddenState(torch.randn(4, N, dtype=torch.float64, generator=torch.Generator().manual_seed(2)))


def assert_same(a: torch.nn.Module, b: torch.nn.Module, features: int = FEATURES) -> None:
    x = sequence(features)
    torch.testing.assert_close(unroll(a, x, start())[0], unroll(b, x, start())[0], rtol=1e-12, atol=1e-14)


def plain_gru(ih: list[Tensor], hh: list[Tensor], bias: list[Tensor], features: int = FEATURES) -> GRU:
    """The library's GRU, reset before the product, from blocks r, z, n; its z weighs the old value, the papers' the
    new one, hence the sign."""
    gru = GRU(features, N, reset_after=False, dtype=torch.float64)
    with torch.no_grad():
        for target, (r, z, n) in ((gru.weight_ih, ih), (gru.weight_hh, hh), (gru.bias_ih, bias)):
            target.copy_(torch.cat([r, -z, n]))
        gru.bias_hh.zero_()
    return gru


@pytest.mark.parametrize("variant", [1, 2, 3])
def test_a_gate_variant_is_the_gru_with_the_dropped_weights_at_zero(variant: int) -> None:
    cell = made(GateVariantGRU, variant=variant)
    none, nothing, no_bias = torch.zeros(N, FEATURES), torch.zeros(N, N), torch.zeros(N)
    hh = [nothing, nothing, cell.weight_hh] if variant == 3 else list(cell.weight_hh.chunk(3))
    bias = [no_bias, no_bias, cell.bias_ih] if variant == 2 else list(cell.bias_ih.chunk(3))
    assert_same(cell, plain_gru([none, none, cell.weight_ih], hh, bias))


@pytest.mark.parametrize("variant", [1, 2, 3])
def test_a_gate_variant_without_state_or_bias_in_its_gates_is_the_next_one(variant: int) -> None:
    if variant == 1:
        cell, other = made(GateVariantGRU, variant=1, bias=False), made(GateVariantGRU, variant=2, bias=False)
        other.load_state_dict(cell.state_dict())
    else:
        # With U_r = U_z = 0, or b_r = b_z = 0, both gates of the first variant are those of the third or the second.
        cell, other = made(GateVariantGRU, variant=1), made(GateVariantGRU, variant=variant)
        with torch.no_grad():
            if variant == 2:
                cell.bias_ih[: 2 * N] = 0.0
            else:
                cell.weight_hh[: 2 * N] = 0.0
            other.weight_ih.copy_(cell.weight_ih)
            other.weight_hh.copy_(cell.weight_hh[-len(other.weight_hh) :])
            other.bias_ih.copy_(cell.bias_ih[-len(other.bias_ih) :])
    assert_same(cell, other)


def test_parameters_saved_are_those_the_papers_count() -> None:
    """With n units and m features a gate loses n m, n m + n and n m + n^2; the GRU has two gates, the MGU one."""

    def count(cell: torch.nn.Module) -> int:
        return sum(weight.numel() for weight in cell.parameters())

    gru, mgu = 3 * (N * N + N * FEATURES + N), 2 * (N * N + N * FEATURES + N)
    less = [N * FEATURES, N * FEATURES + N, N * FEATURES + N * N]
    assert [gru - count(made(GateVariantGRU, variant=v)) for v in (1, 2, 3)] == [2 * one for one in less]
    assert [mgu - count(made(MGU, variant=v)) for v in (0, 1, 2, 3)] == [0, *less]


@pytest.mark.parametrize("variant", [0, 1, 2, 3])
def test_mgu_is_the_gru_whose_two_gates_are_one(variant: int) -> None:
    cell = made(MGU, variant=variant)
    w, u, b = cell.weight_ih, cell.weight_hh, cell.bias_ih
    gate_ih = w[:N] if variant == 0 else torch.zeros(N, FEATURES)
    gate_hh = torch.zeros(N, N) if variant == 3 else u[:N]
    gate_bias = torch.zeros(N) if variant == 2 else b[:N]
    gru = plain_gru([gate_ih, gate_ih, w[-N:]], [gate_hh, gate_hh, u[-N:]], [gate_bias, gate_bias, b[-N:]])
    assert_same(cell, gru)


def test_reset_before_and_after_are_the_same_where_the_recurrent_product_is_diagonal() -> None:
    after, before = made(GRU), made(GRU, reset_after=False)
    with torch.no_grad():
        after.weight_hh[2 * N :] = torch.diag(torch.linspace(-1.0, 1.5, N, dtype=torch.float64))
        after.bias_hh[2 * N :] = 0.0
    before.load_state_dict(after.state_dict())
    assert_same(after, before)
    with torch.no_grad():
        after.weight_hh[2 * N, 1] = 0.5
    before.load_state_dict(after.state_dict())
    x = sequence()
    assert not torch.allclose(unroll(after, x, start())[0], unroll(before, x, start())[0], atol=1e-3)


def test_mut2_is_the_gru() -> None:
    cell = made(MUT, variant=2)

    def in_order(weight: Tensor) -> list[Tensor]:
        z, r, n = weight.chunk(3)
        return [r, z, n]

    assert_same(cell, plain_gru(in_order(cell.weight_ih), in_order(cell.weight_hh), in_order(cell.bias_ih)))


@pytest.mark.parametrize("variant", [1, 2])
def test_mut_takes_x_as_it_is_where_its_matrix_is_the_identity(variant: int) -> None:
    """The paper's equations as printed, which need as many features as hidden units."""
    cell = made(MUT, features=N, variant=variant)
    block = slice(2 * N, 3 * N) if variant == 1 else slice(N, 2 * N)
    with torch.no_grad():
        cell.weight_ih[block] = torch.eye(N)
    x, h = sequence(N)[0], start().h
    w_z, w_r, w_n = cell.weight_ih.chunk(3)
    b_z, b_r, b_n = cell.bias_ih.chunk(3)
    if variant == 1:
        u_r, u_n = cell.weight_hh.chunk(2)
        z = torch.sigmoid(x @ w_z.T + b_z)
        r = torch.sigmoid(x @ w_r.T + h @ u_r.T + b_r)
        new = torch.tanh((r * h) @ u_n.T + torch.tanh(x) + b_n)
    else:
        u_z, u_r, u_n = cell.weight_hh.chunk(3)
        z = torch.sigmoid(x @ w_z.T + h @ u_z.T + b_z)
        r = torch.sigmoid(x + h @ u_r.T + b_r)
        new = torch.tanh((r * h) @ u_n.T + x @ w_n.T + b_n)
    torch.testing.assert_close(cell(x, start())[0], new * z + h * (1 - z), rtol=1e-12, atol=1e-14)


def test_mut1_updates_where_the_input_alone_says_so() -> None:
    """Of two states, the update gate of MUT1 makes the same share: with the candidate cut off it is seen directly."""
    cell = made(MUT, variant=1)
    with torch.no_grad():
        cell.weight_hh.zero_()
    x, h = sequence()[0], start().h
    small, large = cell(x, HiddenState(h))[0], cell(x, HiddenState(h + 7.0))[0]
    kept = (large - small) / 7.0
    torch.testing.assert_close(kept, 1 - torch.sigmoid(x @ cell.weight_ih[:N].T + cell.bias_ih[:N]))


def test_mut3_gate_cannot_be_driven_by_a_large_state() -> None:
    """The update gate sees tanh(h), so that it is the same for all large h; in MUT2 it is not."""
    shares = []
    for variant in (2, 3):
        cell = made(MUT, variant=variant)
        with torch.no_grad():
            cell.weight_hh[N:] = 0.0
        # With no recurrent part in the candidate, h' = z n + (1 - z) h with the same n for both states.
        x, n = sequence()[0], N
        candidate = torch.tanh(x @ cell.weight_ih[2 * n :].T + cell.bias_ih[2 * n :])
        for size in (30.0, 60.0):
            h = torch.full((4, N), size, dtype=torch.float64)
            shares.append((cell(x, HiddenState(h))[0] - h) / (candidate - h))
    assert not torch.allclose(shares[0], shares[1], atol=1e-3)
    torch.testing.assert_close(shares[2], shares[3], rtol=1e-9, atol=1e-12)


def test_light_ru_is_the_gru_whose_candidate_does_not_see_the_state() -> None:
    cell = made(LightRU)
    gate, new = cell.weight_ih.chunk(2)
    zeros = torch.zeros(N, N)
    gru = plain_gru(
        [torch.zeros(N, FEATURES), gate, new], [zeros, cell.weight_hh, zeros], [torch.zeros(N), cell.bias_ih, zeros[0]]
    )
    assert_same(cell, gru)


def test_light_ru_stays_between_its_first_state_and_its_candidates() -> None:
    cell, x = made(LightRU), 3.0 * sequence(steps=40)
    y, _ = unroll(cell, x)
    candidates = torch.tanh(x @ cell.weight_ih[N:].T)
    high, low = candidates.cummax(0).values.clamp(min=0.0), candidates.cummin(0).values.clamp(max=0.0)
    assert bool(((low <= y) & (y <= high)).all())


def test_ligru_starts_with_orthogonal_recurrent_weights() -> None:
    cell = made(LiGRU)
    for block in cell.weight_hh.chunk(2):
        torch.testing.assert_close(block @ block.T, torch.eye(N, dtype=torch.float64), rtol=1e-12, atol=1e-12)
    assert not cell.bias_ih.any()
    assert LiGRU(FEATURES, N, dtype=torch.bfloat16).weight_hh.dtype == torch.bfloat16
    assert LiGRU(FEATURES, N, device="meta").weight_hh.is_meta


def test_ligru_is_the_gru_without_reset_where_rectification_does_not_bend() -> None:
    """With all candidates positive the ReLU is the identity, and h moves by (1 - z) (candidate - h)."""
    cell = made(LiGRU)
    with torch.no_grad():
        cell.bias_ih[N:] = 50.0
    x, h = sequence()[0], start().h
    z, candidate = (x @ cell.weight_ih.T + h @ cell.weight_hh.T + cell.bias_ih).chunk(2, -1)
    assert bool((candidate > 0).all())
    keep = torch.sigmoid(z)
    torch.testing.assert_close(cell(x, HiddenState(h))[0], keep * h + (1 - keep) * candidate, rtol=1e-12, atol=1e-13)
    with torch.no_grad():
        cell.bias_ih[N:] = -50.0
    torch.testing.assert_close(cell(x, HiddenState(h))[0], keep * h, rtol=1e-12, atol=1e-13)


def test_layer_normalised_ligru_does_not_see_the_scale_of_the_input() -> None:
    cell, x = made(LiGRU, layer_norm=True), 1e4 * sequence()
    y = unroll(cell, x)[0]
    torch.testing.assert_close(unroll(cell, 1e3 * x)[0], y, rtol=1e-6, atol=1e-8)
    alone = unroll(cell, x[:, :1])[0]
    torch.testing.assert_close(alone, y[:, :1], rtol=1e-12, atol=1e-12)
    plain = made(LiGRU)
    assert not torch.allclose(unroll(plain, 1e3 * x)[0], unroll(plain, x)[0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GateVariantGRU(2, 2, variant=4), "GateVariantGRU: variant is 4. Needed: 1, 2 or 3."),
        (lambda: MUT(2, 2, variant=0), "MUT: variant is 0. Needed: 1, 2 or 3."),
        (lambda: MGU(2, 2, variant=True), "MGU: variant is True. Needed: 0, 1, 2 or 3."),
        (
            lambda: MGU(2, 2, variant=3, bias=False),
            "MGU: bias is False. Needed: True, as the gate of variant 3 is a bias alone.",
        ),
        (
            lambda: GateVariantGRU(2, 2, variant=3, bias=False),
            "GateVariantGRU: bias is False. Needed: True, as the gates of variant 3 are made of biases alone.",
        ),
    ],
)
def test_messages(make: Callable[[], object], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        make()
    assert str(caught.value) == message


def test_what_is_shown() -> None:
    assert repr(GateVariantGRU(2, 3, variant=2)) == "GateVariantGRU(2, 3, variant=2)"
    assert (repr(MGU(2, 3)), repr(MGU(2, 3, variant=1))) == ("MGU(2, 3)", "MGU(2, 3, variant=1)")
    assert repr(MUT(2, 3, variant=3)) == "MUT(2, 3, variant=3)"
    assert (repr(LiGRU(2, 3)), repr(LiGRU(2, 3, layer_norm=True))) == ("LiGRU(2, 3)", "LiGRU(2, 3, layer_norm=True)")


def test_gates_without_bias_are_not_offered_to_initialisers() -> None:
    assert GateVariantGRU(2, 3, variant=2).keep_gate is None
    assert MGU(2, 3, variant=2).keep_gate is None
    assert GateVariantGRU(2, 3, variant=1).keep_gate is GateVariantGRU.keep_gate is not None
    assert MGU(2, 3).keep_gate is MGU.keep_gate is not None
