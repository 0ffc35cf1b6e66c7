"""First values of weights, for any cell: orthogonal or identity recurrent weights, and biases of the forget gate."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recurra.cells.base import Cell, Gate
from recurra.cells.variant import weight_named
from recurra.errors import UsageError

RECURRENT = ("orthogonal", "identity")


def check_start_values(recurrent: str | None, forget_bias: float | None, chrono: int | None, where: str) -> None:
    """Refuse arguments out of range.

    Raises:
        UsageError: naming the argument.
    """
    if recurrent not in (None, *RECURRENT):
        raise UsageError(f"recurrent_init is {recurrent!r}", where=where, need="None, 'orthogonal' or 'identity'")
    if forget_bias is not None and (isinstance(forget_bias, bool) or not isinstance(forget_bias, int | float)):
        raise UsageError(f"forget_bias is {forget_bias!r}", where=where, need="a number, 1.0 say")
    if chrono is not None and (isinstance(chrono, bool) or not isinstance(chrono, int) or chrono < 3):
        raise UsageError(
            f"chrono is {chrono!r}",
            where=where,
            need="the longest time to remember, a whole number of at least 3 steps",
        )
    if chrono is not None and forget_bias is not None:
        raise UsageError("chrono and forget_bias came together", where=where, need="one of them: both set one bias")


def set_start_values(
    cell: Cell, recurrent: str | None, forget_bias: float | None, chrono: int | None, where: str
) -> None:
    """Set the first values of one cell's weights.

    Equations:
        orthogonal: each block of a recurrent matrix (one a gate) is a random orthogonal matrix;
        identity: each block is the identity, and a vector of recurrent weights is 1;
        forget_bias: the bias of the gate that keeps the state is this number;
        chrono: that bias is log(u), u uniform in [1, chrono - 1], and the bias of a separate write gate is -log(u).

    Raises:
        UsageError: the cell has no such weights or no such gate.

    Reference:
        Q. V. Le, N. Jaitly, G. E. Hinton. A simple way to initialize recurrent networks of rectified linear units.
        arXiv:1504.00941 (2015).
        R. Jozefowicz, W. Zaremba, I. Sutskever. An empirical exploration of recurrent network architectures. ICML
        (2015) 2342-2350.
        C. Tallec, Y. Ollivier. Can recurrent neural networks warp time? ICLR (2018).
    """
    kind = type(cell).__name__
    if recurrent is not None:
        if not cell.recurrent_weights:
            raise UsageError(
                f"recurrent_init is {recurrent!r}, and {kind} names no recurrent weights",
                where=where,
                need="a cell whose `recurrent_weights` lists the names of such",
            )
        for name in cell.recurrent_weights:
            _recurrent(weight_named(cell, name), recurrent, cell.hidden_size, f"{where}, {kind}.{name}")
    if forget_bias is None and chrono is None:
        return
    if cell.keep_gate is None or weight_named(cell, cell.keep_gate.bias) is None:
        given = f"forget_bias is {forget_bias}" if chrono is None else f"chrono is {chrono}"
        lacks = "has no gate that keeps its state" if cell.keep_gate is None else "has no biases"
        raise UsageError(
            f"{given}, and {kind} {lacks}", where=where, need="a cell with a forget or update gate, bias=True"
        )
    block = _block(cell, cell.keep_gate)
    with torch.no_grad():
        if chrono is None:
            value = torch.full_like(block, float(forget_bias or 0.0))
        else:
            value = torch.empty_like(block).uniform_(1.0, chrono - 1.0).log()
        _set(cell, cell.keep_gate, value)
        if chrono is not None and cell.write_gate is not None:
            _set(cell, cell.write_gate, -value)


def _recurrent(weight: Tensor, kind: str, hidden: int, where: str) -> None:
    """Fill a recurrent weight block by block."""
    if weight.dim() == 1 and kind == "identity":
        nn.init.ones_(weight)
        return
    if weight.dim() != 2:
        raise UsageError(
            f"the recurrent weights have shape {tuple(weight.shape)}",
            where=where,
            need=f"a matrix, which alone can be {kind}",
            cure="leave recurrent_init=None",
        )
    rows = hidden if weight.shape[0] % hidden == 0 else weight.shape[0]
    with torch.no_grad():
        for block in weight.split(rows):
            nn.init.orthogonal_(block) if kind == "orthogonal" else nn.init.eye_(block)


def _block(cell: Cell, gate: Gate) -> Tensor:
    bias = weight_named(cell, gate.bias)
    size = len(bias) // gate.count
    return bias[gate.index * size : (gate.index + 1) * size]


def _set(cell: Cell, gate: Gate, value: Tensor) -> None:
    """Set a gate's bias; where input and recurrent product have one each, the other one is 0, so that the sum is it."""
    _block(cell, gate).copy_(gate.sign * value)
    partner = {"bias_hh": "bias_ih", "bias_ih": "bias_hh"}.get(gate.bias)
    other = None if partner is None else getattr(cell, partner, None)
    if isinstance(other, Tensor) and partner is not None and len(other) == len(weight_named(cell, gate.bias)):
        _block(cell, Gate(partner, gate.index, gate.count)).zero_()
