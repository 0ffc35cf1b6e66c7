"""Sensitivities inside locally recurrent layers, forward in time, and through them, backward in time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from recurra.cells.base import Cell
from recurra.cells.fir import FIR
from recurra.cells.iir import IIR
from recurra.cells.local_feedback import LocalFeedback
from recurra.learn.rules.cell_calls import CellCall, add_gradient


class LocalLayer(Protocol):
    """A layer y_n = tanh(s_n) whose memory stays inside a synapse or a unit; all that is here is local to one of them.

    Attributes:
        order: how many of the last sensitivities enter the next one.
    """

    order: int

    def sensitivity(self, call: CellCall, past: Sequence[Tensor]) -> Tensor:
        """ds_n(t)/dw for each weight of a unit, from what was fed back at the last steps, newest first."""
        ...

    def fed_back(self, sensitivity: Tensor, slope: Tensor) -> Tensor:
        """What enters the next sensitivities."""
        ...

    def add_gradient(self, delta: Tensor, sensitivity: Tensor) -> None:
        """Add sum over the batch of delta_n(t) ds_n(t)/dw to the weights' `.grad`."""
        ...

    def reach(self, deltas: Sequence[Tensor], slopes: Sequence[Tensor]) -> Tensor:
        """The error at x(t), sum over j and n of delta_n(t+j) ds_n(t+j)/dx(t), from deltas and slopes at t, t+1 ..."""
        ...


class Synapses:
    """A layer of FIR or IIR synapses.

    Equations:
        v(t) = sum_{d=0..J} w_d x(t-d) + sum_{k=1..K} a_k v(t-k) for each synapse, s = sum of v over inputs + b
        dv(t)/dw_d = x(t-d) + sum_r a_r dv(t-r)/dw_d
        dv(t)/da_k = v(t-k) + sum_r a_r dv(t-r)/da_k
        dv(t+j)/dx(t) = h_j = w_j (0 for j > J) + sum_{r=1..min(K,j)} a_r h_{j-r}
    """

    def __init__(self, cell: FIR | IIR):
        self.cell, self.units, self.inputs = cell, cell.hidden_size, cell.input_size
        self.order = cell.feedback_order if isinstance(cell, IIR) else 0
        self.taps = cell.input_order if isinstance(cell, IIR) else cell.order
        size = (self.units, self.inputs)
        moving = [cell.weight_ih.detach()]
        if self.taps:
            moving += cell.weight_taps.detach().unflatten(1, (self.taps, -1)).unbind(1)
        self.moving: Sequence[Tensor] = moving
        self.feedback: Sequence[Tensor] = ()
        if isinstance(cell, IIR):
            self.feedback = cell.weight_feedback.detach().unflatten(0, (self.order, *size)).unbind(0)
        self.responses: list[Tensor] = []

    def sensitivity(self, call: CellCall, past: Sequence[Tensor]) -> Tensor:
        """(batch, units, inputs, taps + 1 + order); one unit where there is no feedback, as all have the same."""
        rows = len(call.x)
        lines = [call.x.detach().unsqueeze(1)]
        if self.taps:
            lines.append(call.before.inputs.unflatten(1, (self.taps, self.inputs)))
        direct = torch.cat(lines, 1).transpose(1, 2).unsqueeze(1)
        if not self.order:
            return direct
        synapses = call.before.synapses.unflatten(1, (self.order, self.units, self.inputs)).movedim(1, -1)
        now = torch.cat([direct.expand(rows, self.units, -1, -1), synapses], -1)
        for a, earlier in zip(self.feedback, past, strict=False):
            now = now + a.unsqueeze(-1) * earlier
        return now

    def fed_back(self, sensitivity: Tensor, slope: Tensor) -> Tensor:
        return sensitivity

    def add_gradient(self, delta: Tensor, sensitivity: Tensor) -> None:
        every = sensitivity.expand(-1, self.units, -1, -1)
        found = torch.einsum("bn,bnmd->dnm", delta, every)
        add_gradient(self.cell.weight_ih, found[0])
        if self.taps:
            add_gradient(self.cell.weight_taps, found[1 : self.taps + 1].transpose(0, 1).flatten(1))
        if isinstance(self.cell, IIR):
            add_gradient(self.cell.weight_feedback, found[self.taps + 1 :].flatten())
        add_gradient(self.cell.bias_ih, delta.sum(0))

    def reach(self, deltas: Sequence[Tensor], slopes: Sequence[Tensor]) -> Tensor:
        if not self.order:  # what is older than the taps has no effect
            deltas = deltas[: self.taps + 1]
        for j in range(len(self.responses), len(deltas)):
            response = self.moving[j] if j <= self.taps else torch.zeros_like(self.moving[0])
            for a, earlier in zip(self.feedback, reversed(self.responses), strict=False):
                response = response + a * earlier
            self.responses.append(response)
        return torch.einsum("jbn,jnm->bm", torch.stack(list(deltas)), torch.stack(self.responses[: len(deltas)]))


class Units:
    """A layer of units that feed their own activations s, or their own outputs y, back to themselves.

    Equations:
        s_n(t) = sum_m w_nm x_m(t) + b_n + sum_{k=1..K} u_nk m_n(t-k), with m = s (activation) or m = y (output)
        ds(t)/dw = (x, 1 or m(t-k)) + sum_r u_r dm(t-r)/dw, with dm/dw = ds/dw, or (1 - y^2) ds/dw
        ds(t+j)/ds(t) = g_j = sum_{r=1..min(K,j)} u_r g_{j-r}, g_0 = 1;
        with m = y each term has the slope 1 - y(t+j-r)^2 as a factor
    """

    def __init__(self, cell: LocalFeedback):
        self.cell, self.order = cell, cell.order
        self.outputs = cell.feedback == "output"
        self.feedback = cell.weight_hh.detach().unflatten(0, (self.order, cell.hidden_size)).unbind(0)

    def sensitivity(self, call: CellCall, past: Sequence[Tensor]) -> Tensor:
        """(batch, units, inputs + 1 + order): the weights of the inputs, the bias, and those of the feedback."""
        memory = call.before.memory.unflatten(1, (self.order, self.cell.hidden_size)).transpose(1, 2)
        read = call.x.detach().unsqueeze(1).expand(-1, self.cell.hidden_size, -1)
        now = torch.cat([read, torch.ones_like(memory[..., :1]), memory], -1)
        for u, earlier in zip(self.feedback, past, strict=False):
            now = now + u.unsqueeze(-1) * earlier
        return now

    def fed_back(self, sensitivity: Tensor, slope: Tensor) -> Tensor:
        return slope.unsqueeze(-1) * sensitivity if self.outputs else sensitivity

    def add_gradient(self, delta: Tensor, sensitivity: Tensor) -> None:
        found = torch.einsum("bn,bnw->nw", delta, sensitivity)
        inputs = self.cell.input_size
        add_gradient(self.cell.weight_ih, found[:, :inputs])
        add_gradient(self.cell.bias_ih, found[:, inputs])
        add_gradient(self.cell.weight_hh, found[:, inputs + 1 :].t().flatten())

    def reach(self, deltas: Sequence[Tensor], slopes: Sequence[Tensor]) -> Tensor:
        passed = [torch.ones_like(deltas[0])]
        total = deltas[0]
        for j in range(1, len(deltas)):
            now = torch.zeros_like(total)
            for r, u in enumerate(self.feedback[:j], 1):
                earlier = passed[j - r]
                now = now + u * (slopes[j - r] * earlier if self.outputs else earlier)
            passed.append(now)
            total = total + deltas[j] * now
        return total @ self.cell.weight_ih.detach()


def serves(cell: Cell) -> bool:
    """Whether a cell is one of the locally recurrent layers; a class derived from one may compute something else."""
    return type(cell) in (FIR, IIR, LocalFeedback)


def local_layer(cell: Any) -> LocalLayer:
    """The sensitivities of a cell, with its weights as they are now."""
    return Units(cell) if type(cell) is LocalFeedback else Synapses(cell)
