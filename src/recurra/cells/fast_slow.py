"""Fast-slow recurrent network: a cell made of cells."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from recurra.cells.base import Cell, check_size
from recurra.cells.registry import CELLS, cell_class
from recurra.cells.state import state_tensors
from recurra.errors import UsageError
from recurra.types import State


class FastSlowState(NamedTuple):
    """The state of a fast-slow network.

    Attributes:
        fast: the one state that all fast cells work on in turn, as their class has it.
        slow: the slow cell's state, as its class has it.
    """

    fast: State
    slow: State


class FastSlow(Cell):
    """Fast-slow network: several fast cells in a row share one state within a step, and a slow cell steps once beside.

    Equations:
        F^1 = fast_1(F_{t-1}, x_t)
        S_t = slow(S_{t-1}, y(F^1))                       the slow cell reads the first fast cell's output
        F^2 = fast_2(F^1, y(S_t))                         the second fast cell reads the slow cell's output
        F^l = fast_l(F^{l-1}) for l = 3 ... fast_layers    no input
        F_t = F^{fast_layers},  y_t = y(F_t).

    The way from the slow state to the next one passes one cell only, and so stays short over long times; the way from
    input to output passes all fast cells.

    Args:
        input_size: features of x_t.
        hidden_size: hidden units of the fast cells.
        bias: whether the cells' biases exist.
        fast_layers: how many fast cells, at least 2.
        slow_size: hidden units of the slow cell; hidden_size when absent.
        fast, slow: which cells: registered names, or classes that are made as kind(input_size, hidden_size, device=...,
            dtype=...), and with bias=False where that is given. One in continuous time steps by its own default time.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), y (batch, the fast cells' output size); the state's tensors as the cells have them. The
        weights are fast.0.weight_ih, fast.1.weight_ih ..., slow.weight_ih ... under the cells' own names, drawn as each
        cell draws them. A fast cell from the third on has input size 1 and is given 0.

    Raises:
        UsageError: a size is not positive, fast_layers is below 2, `fast` or `slow` is not a cell for sequences, or the
            fast cell's state depends on its input size.
        ShapeError: x or the state does not fit.

    Differs from the paper: the cells are plain LSTMs unless said otherwise ("layer_norm_lstm" is what the paper
    trains), and zoneout and dropout are left to the layers.

    Reference:
        A. Mujika, F. Meier, A. Steger. Fast-slow recurrent neural networks. NIPS (2017) 5915-5924.

    Example:
        >>> import torch
        >>> cell = FastSlow(3, 5, fast="lstm", slow="gru", slow_size=4)
        >>> y, state = cell(torch.zeros(2, 3), cell.initial_state(2))
        >>> y.shape, state.fast.c.shape, state.slow.h.shape
        (torch.Size([2, 5]), torch.Size([2, 5]), torch.Size([2, 4]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        fast_layers: int = 2,
        slow_size: int | None = None,
        fast: str | type[Cell] = "lstm",
        slow: str | type[Cell] = "lstm",
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        if isinstance(fast_layers, bool) or not isinstance(fast_layers, int) or fast_layers < 2:
            raise UsageError(f"fast_layers is {fast_layers!r}", where="FastSlow", need="a whole number of at least 2")
        slow_size = hidden_size if slow_size is None else check_size(slow_size, "slow_size", "FastSlow")
        # A cell whose class knows no biases may stand here too, as long as nobody wants it without them.
        options = {"device": device, "dtype": dtype, **({} if bias else {"bias": False})}
        first = make_cell(fast, "fast", input_size, hidden_size, options)
        self.slow = make_cell(slow, "slow", first.output_size, slow_size, options)
        widths = [self.slow.output_size] + [1] * (fast_layers - 2)
        others = [make_cell(fast, "fast", width, hidden_size, options) for width in widths]
        shapes = [[part.shape for part in state_tensors(cell.initial_state(1))] for cell in (first, *others)]
        if any(shape != shapes[0] for shape in shapes):
            raise UsageError(
                f"fast is {type(first).__name__}, whose state depends on how many features it reads",
                where="FastSlow",
                need="a cell whose state depends on hidden_size alone, as all fast cells share one",
            )
        self.fast = nn.ModuleList([first, *others])
        self.output_size = first.output_size
        self.names = tuple(kind if isinstance(kind, str) else kind.__name__ for kind in (fast, slow))
        parts = {**{f"fast.{i}": cell for i, cell in enumerate([first, *others])}, "slow": self.slow}
        named = tuple(f"{place}.{name}" for place, cell in parts.items() for name in cell.recurrent_weights)
        self.recurrent_weights = named  # type: ignore[misc]

    def reset_parameters(self) -> None:
        """Draw the weights of all cells anew, each as it does."""
        for cell in (*self.fast, self.slow):
            cell.reset_parameters()

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> FastSlowState:
        """Those of the first fast cell and of the slow one."""
        fast: Any = self.fast[0]
        return FastSlowState(
            fast.initial_state(batch_size, dtype=dtype, device=device),
            self.slow.initial_state(batch_size, dtype=dtype, device=device),
        )

    def project(self, x: Tensor) -> Any:
        """That of the first fast cell."""
        first: Any = self.fast[0]
        return first.project(x)

    def advance(self, projected: Any, state: FastSlowState) -> tuple[Tensor, FastSlowState]:
        """The step from what the first fast cell makes of x on."""
        first, second, *others = self.fast
        y, fast = first.advance(projected, state.fast)  # type: ignore[operator]
        slow_y, slow = self.slow.advance(self.slow.project(y), state.slow)
        y, fast = second.advance(second.project(slow_y), fast)  # type: ignore[operator]
        for cell in others:
            y, fast = cell.advance(cell.project(torch.zeros_like(y[..., :1])), fast)  # type: ignore[operator]
        return y, FastSlowState(fast, slow)

    def extra_repr(self) -> str:
        slow = "" if self.slow.hidden_size == self.hidden_size else f", slow_size={self.slow.hidden_size}"
        return f"{super().extra_repr()}, fast_layers={len(self.fast)}{slow}, fast={self.names[0]}, slow={self.names[1]}"


def make_cell(
    kind: str | type[Cell], argument: str, input_size: int, hidden_size: int, options: dict[str, Any]
) -> Cell:
    """A cell from a registered name or a class.

    Raises:
        UsageError: it is neither, or it does not run along time.
    """
    arguments: dict[str, object] = {}
    if isinstance(kind, str):
        made, arguments = cell_class(kind)
        wrong = f"{argument} is {kind!r}, which does not run along time" if CELLS[kind].driver != "unroll" else ""
    else:
        made = kind
        is_cell = isinstance(kind, type) and issubclass(kind, Cell)
        wrong = "" if is_cell else f"{argument} is {getattr(kind, '__name__', type(kind).__name__)}"
    if wrong:
        raise UsageError(wrong, where="FastSlow", need="the name of a cell for sequences, or a class derived from Cell")
    return made(input_size, hidden_size, **{**arguments, **options})
