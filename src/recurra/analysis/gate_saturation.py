"""Gate saturation: how often each gate of a cell stands open or shut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from recurra.analysis.systems import CellMap
from recurra.cells.base import Cell, Gate
from recurra.errors import UsageError
from recurra.types import State
from recurra.unroll import check_lengths

SQUASHING = ("sigmoid", "hardsigmoid")
"""Operations whose results are gates: between 0 and 1."""


@dataclass(frozen=True)
class GateSaturation:
    """Shares of time in which gates are shut or open, unit by unit.

    Attributes:
        shut: for each gate by name the share of the steps at which each unit is below `low`, (units,).
        open: the same for above `high`.
        mean: the mean of each unit, (units,).
        low, high: the bounds.
    """

    shut: dict[str, Tensor]
    open: dict[str, Tensor]
    mean: dict[str, Tensor]
    low: float
    high: float

    @property
    def text(self) -> str:
        """One plain sentence a gate."""
        return " ".join(
            f"{name}: {100 * float(self.shut[name].mean()):.0f} % of the time below {self.low:g}, "
            f"{100 * float(self.open[name].mean()):.0f} % above {self.high:g}."
            for name in self.mean
        )

    def draw(self, axes: Any) -> None:
        """Draw each unit as a point: its share of time shut across, open up; on the line it is always one of them."""
        axes.plot([0, 1], [1, 0], linewidth=0.8, color="grey")
        for name in self.mean:
            axes.plot(self.shut[name].tolist(), self.open[name].tolist(), "o", markersize=4, alpha=0.6, label=name)
        axes.set_xlabel(f"share of time below {self.low:g}")
        axes.set_ylabel(f"share of time above {self.high:g}")
        axes.legend(fontsize="small")


def gate_saturation(cell: Cell, x: Tensor, lengths: Any = None, low: float = 0.1, high: float = 0.9) -> GateSaturation:
    """Measure how often each unit of each gate is shut or open along sequences.

    A gate is what a logistic function gives within the cell's step. Those that the cell declares are named `keep` and
    `write`: they are found as the first such values that move with the gate's bias. Where a large bias shuts what a
    gate is named for, its complement is measured. The others are named `gate 1`, `gate 2` ... in the order in which
    the step computes them. Gates of other forms (exponential ones) are not seen.

    Args:
        cell: any cell with gates; it is copied.
        x: sequences.
        lengths: the steps of each; all when absent.
        low, high: below and above which a gate counts as shut and as open.

    Shapes:
        x (time, batch, input_size).

    Raises:
        UsageError: x holds no step, the cell's step has no logistic function, or low is not below high.

    Reference:
        A. Karpathy, J. Johnson, L. Fei-Fei. Visualizing and understanding recurrent networks. ICLR workshop (2016).

    Example:
        >>> import torch
        >>> from recurra.cells import LSTM
        >>> cell = LSTM(2, 3)
        >>> _ = cell.bias_hh.data[3:6].fill_(9.0)  # the forget gate
        >>> found = gate_saturation(cell, torch.randn(10, 4, 2))
        >>> list(found.open), found.open["keep"].tolist()
        (['keep', 'write', 'gate 1'], [1.0, 1.0, 1.0])
    """
    where = "gate_saturation"
    if not 0 <= low < high <= 1:
        raise UsageError(f"low is {low}, and high is {high}", where=where, need="numbers from 0 to 1, low below high")
    step = CellMap(cell)
    x = step.check_x(x, ("time", "batch"), where)
    sizes = torch.full((x.shape[1],), len(x)) if lengths is None else check_lengths(lengths, x, where=where).cpu()
    if not int(sizes.sum()):
        raise UsageError("x holds no step", where=where, need="at least one sequence with at least one step")
    state = step.cell.initial_state(x.shape[1], dtype=torch.float64)
    places = _places(step.cell, x[0], state)
    if not places:
        raise UsageError(f"the step of {type(cell).__name__} has no gate", where=where, need="a cell with gates")
    sums = {
        name: [torch.zeros(len(columns), dtype=torch.float64) for _ in range(3)] for name, columns in places.items()
    }
    for t in range(int(sizes.max())):
        values, state = _gates(step.cell, x[t], state)
        valid = (t < sizes).to(torch.float64).unsqueeze(-1)
        for name, columns in places.items():
            gate = values[:, columns]
            gate = 1 - gate if _shuts(step.cell, name) else gate
            for total, part in zip(sums[name], (gate < low, gate > high, gate), strict=True):
                total.add_((part * valid).sum(0))
    count = float(sizes.sum())
    shut, opened, mean = ({name: each[k] / count for name, each in sums.items()} for k in range(3))
    return GateSaturation(shut, opened, mean, low, high)


class _Recorder(TorchDispatchMode):
    """Keeps what the logistic functions give."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Tensor] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket.__name__ in SQUASHING:
            self.found.append(result)
        return result


def _gates(cell: Cell, x: Tensor, state: State) -> tuple[Tensor, State]:
    """All gates of a step side by side, (batch, columns), and the next state."""
    with torch.no_grad(), _Recorder() as recorder:
        _, after = cell.advance(cell.project(x), state)
    rows = [found.reshape(len(x), -1) for found in recorder.found if found.dim() and len(found) == len(x)]
    return torch.cat(rows, -1) if rows else x.new_zeros(len(x), 0), after


def _declared(cell: Cell) -> dict[str, Gate]:
    gates = {"keep": cell.keep_gate, "write": cell.write_gate}
    return {name: gate for name, gate in gates.items() if gate is not None}


def _shuts(cell: Cell, name: str) -> bool:
    return name in ("keep", "write") and _declared(cell)[name].sign < 0


def _places(cell: Cell, x: Tensor, state: State) -> dict[str, list[int]]:
    """The columns of each gate among all that a step's logistic functions give."""
    values, _ = _gates(cell, x, state)
    left = list(range(values.shape[1]))
    found: dict[str, list[int]] = {}
    for name, gate in _declared(cell).items():
        bias = getattr(cell, gate.bias, None)
        if not isinstance(bias, Tensor) or not left:
            continue
        size = len(bias) // gate.count
        block = slice(gate.index * size, (gate.index + 1) * size)
        # Gates that are computed later may move with an earlier one: the gate itself is the first that does. One that
        # is saturated by its bias moves only when that is set to quite another value.
        kept, moves = bias.clone(), torch.zeros(values.shape[1], dtype=torch.bool)
        try:
            for value in (0.0, 5.0, -5.0, 20.0, -20.0):
                with torch.no_grad():
                    bias[block] = value
                moves = moves | ((_gates(cell, x, state)[0] - values).abs() > 1e-12).any(0)
        finally:
            with torch.no_grad():
                bias.copy_(kept)
        columns = moves.nonzero().flatten().tolist()[:size]
        found[name] = [column for column in columns if column in left]
        left = [column for column in left if column not in found[name]]
    width = cell.hidden_size if left and not len(left) % cell.hidden_size else len(left)
    for number in range(len(left) // width if width else 0):
        found[f"gate {number + 1}"] = left[number * width : (number + 1) * width]
    return {name: columns for name, columns in found.items() if columns}
