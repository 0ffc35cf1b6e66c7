"""A network of memristors as a recurrent cell."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell, check_size
from recurra.cells.circuits.circuit import Circuit
from recurra.cells.circuits.graphs import random_circuit
from recurra.cells.integrate import integrate
from recurra.cells.state import HiddenState
from recurra.cells.time_step import check_choice, check_fraction, check_not_negative, check_positive, step_size
from recurra.errors import UsageError

MEMORIES = ("off", "on")
"""The state of a memristor that a memory of 1 stands for."""


class MemristiveReservoir(Cell):
    """Memristive circuit as a cell: inputs are voltages in series with memristors, whose memory is the hidden state.

    Equations:
        S = W_ih x + b_ih, held for the time dt, on a circuit with one memristor a branch:
        memory="on":  dh/dt = -alpha h + (R_off / beta) i,  R = R_off (1 - h) + R_on h,
        memory="off": dh/dt =  alpha h - (R_on / beta) i,   R = R_on (1 - h) + R_off h,
        R_on i = (I + xi Omega H)^-1 Omega S, which Kirchhoff's laws give with as many unknowns as nodes:
        i = G (S + A p), (A^T G A) p = -A^T G S, G = 1 / R.
        `substeps` steps of Euler's method or of the Runge-Kutta method; then h is held within 0 and 1. y = h or i.

    Frozen, the cell is a reservoir; it can as well be trained. The circuit is not learned; it is saved with the
    weights.

    Args:
        input_size: features of x.
        hidden_size: memristors.
        bias: whether b_ih exists.
        nodes: of the circuit that is drawn, `random_circuit(nodes, hidden_size, circuit_seed)`; at most as many as
            memristors, and half as many when absent.
        circuit_seed: of that circuit; cells of the same sizes and seed have the same one.
        circuit: another circuit to use instead, with hidden_size branches.
        on_resistance, off_resistance: R_on < R_off, in ohms.
        decay: alpha, per second.
        scale: beta, in volt seconds.
        memory: "on" or "off": the state that a memory of 1 stands for.
        output: "memory", or "current": R_off i (with memory "off" R_on i), in volts, at the end of the step.
        start: the memory before the first step.
        dt: the time between steps where none is given, in seconds.
        method: "euler", "rk2" or "rk4".
        substeps: equal steps that are taken for each dt.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h and y (batch, hidden_size); weight_ih (hidden_size, input_size) and bias_ih
        (hidden_size,), in volts, drawn uniform in +-1; incidence (hidden_size, nodes - 1), A without the grounded node.

    Raises:
        UsageError: a size or a number is out of its range, or a word is none of those named.
        ShapeError: x or the state does not fit.

    Differs from the paper: inputs reach the branches through weights, and the memory is held between walls at the end
    of each substep. The nodes' equations are solved densely, which suits some hundreds of memristors in batches; for
    one circuit of thousands, `MemristiveNetwork` solves them sparsely.

    Reference:
        F. Caravelli, F. L. Traversa, M. Di Ventra. Complex dynamics of memristive circuits: analytical results and
        universal slow relaxation. Physical Review E 95 (2017) 022140.
        M. S. Kulkarni, C. Teuscher. Memristor-based reservoir computing. IEEE/ACM International Symposium on Nanoscale
        Architectures (2012) 226-232.

    Example:
        >>> import torch
        >>> cell = MemristiveReservoir(2, 6)
        >>> y, state = cell(torch.zeros(3, 2), cell.initial_state(3))
        >>> y.shape, bool((y >= 0).all() and (y <= 1).all())
        (torch.Size([3, 6]), True)
    """

    continuous_time: ClassVar[bool] = True
    recurrent_weights: ClassVar[tuple[str, ...]] = ()
    weight_ih: Tensor
    bias_ih: Tensor | None
    incidence: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nodes: int | None = None,
        circuit_seed: int = 0,
        circuit: Circuit | None = None,
        on_resistance: float = 1.0,
        off_resistance: float = 10.0,
        decay: float = 0.5,
        scale: float = 1.0,
        memory: str = "on",
        output: str = "memory",
        start: float = 0.5,
        dt: float = 0.1,
        method: str = "euler",
        substeps: int = 1,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        where = "MemristiveReservoir"
        if circuit is None:
            half = min(hidden_size, max(2, hidden_size // 2))
            nodes = half if nodes is None else check_size(nodes, "nodes", where)
            if nodes > hidden_size:
                need = f"at most {hidden_size}, the number of memristors"
                raise UsageError(f"nodes is {nodes}", where=where, need=need)
            circuit = random_circuit(nodes, hidden_size, circuit_seed)
        elif circuit.branches != hidden_size:
            need = f"{hidden_size}, as hidden_size says"
            raise UsageError(f"circuit has {circuit.branches} branches", where=where, need=need)
        self.nodes = circuit.nodes
        self.on_resistance = check_positive(on_resistance, "on_resistance", where)
        self.off_resistance = check_positive(off_resistance, "off_resistance", where)
        if on_resistance >= off_resistance:
            raise UsageError(
                f"on_resistance is {on_resistance} and off_resistance {off_resistance}",
                where=where,
                need="R_on < R_off",
            )
        self.decay = check_not_negative(decay, "decay", where)
        self.scale = check_positive(scale, "scale", where)
        self.memory = check_choice(memory, "memory", MEMORIES, where)
        self.output = check_choice(output, "output", ("memory", "current"), where)
        self.start = check_fraction(start, "start", where)
        self.dt = check_positive(dt, "dt", where)
        self.method = check_choice(method, "method", ("euler", "rk2", "rk4"), where)
        self.substeps = check_size(substeps, "substeps", where)
        incidence = torch.from_numpy(np.ascontiguousarray(circuit.incidence.toarray()[:, circuit.free_nodes]))
        self.register_buffer("incidence", incidence.to(device=device, dtype=dtype or torch.get_default_dtype()))
        self._weights(bias, device, dtype, weight_ih=(hidden_size, input_size), bias_ih=(hidden_size,))

    def reset_parameters(self) -> None:
        """Draw the weights anew, uniform in +-1 volt."""
        with torch.no_grad():
            for weight in self._parameters.values():
                if weight is not None:
                    weight.uniform_(-1.0, 1.0)

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        """Every memory at `start`."""
        return HiddenState(self._zeros(batch_size, self.hidden_size, dtype, device) + self.start)

    def project(self, x: Tensor) -> Tensor:
        """The voltages W_ih x + b_ih."""
        return F.linear(x, self.weight_ih, self.bias_ih)

    def drops(self, memory: Tensor, voltages: Tensor) -> Tensor:
        """R_off i, or R_on i where a memory of 1 is the off state, in volts, (batch, hidden_size)."""
        on, off = self.on_resistance, self.off_resistance
        one, zero = (off, on) if self.memory == "off" else (on, off)
        # Conductances are taken relative to the state that a memory of 0 stands for, so that they are of order one.
        conductance = 1.0 / (1.0 + (one / zero - 1.0) * memory)
        driven = conductance * voltages
        laplacian = self.incidence.T @ (conductance.unsqueeze(-1) * self.incidence)
        potentials = torch.linalg.solve(laplacian, -(driven @ self.incidence).unsqueeze(-1)).squeeze(-1)
        return driven + conductance * (potentials @ self.incidence.T)

    def advance(self, projected: Tensor, state: HiddenState, dt: Tensor | None = None) -> tuple[Tensor, HiddenState]:
        """The step from the voltages on."""
        time, sign = step_size(dt, self.dt), 1.0 if self.memory == "on" else -1.0

        def rate(memory: Tensor) -> Tensor:
            return sign * (self.drops(memory, projected) / self.scale - self.decay * memory)

        h = state.h
        for _ in range(self.substeps):
            h = integrate(rate, h, time / self.substeps, self.method).clamp(0.0, 1.0)
        return (h if self.output == "memory" else self.drops(h, projected)), HiddenState(h)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, nodes={self.nodes}, memory={self.memory!r}, dt={self.dt}"
