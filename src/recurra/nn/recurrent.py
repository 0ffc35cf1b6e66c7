"""The generic recurrent layer: any cell, stacked, in one or both directions, with every feature of a layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from recurra.cells.base import Cell
from recurra.errors import UsageError
from recurra.nn.choose import choose_cell
from recurra.nn.first_state import FirstState
from recurra.nn.joints import CONNECTIONS, Dense, Plain, make_joint
from recurra.nn.layer import Layer
from recurra.nn.noise import Noise, check_noise, check_share
from recurra.nn.stack import Stack
from recurra.nn.start_values import check_start_values, set_start_values
from recurra.nn.state_forms import PerCell
from recurra.types import State
from recurra.unroll.segments import segment_length


class Recurrent(Layer):
    """Any cell as a layer: stacked, in one or both directions, with dropouts, normalisation and all a layer can do.

    Equations:
        layer l reads what layer l - 1 gives; with two directions a second cell reads each sequence from its end, and
        the outputs of both are joined, forward first. What a layer gives is y, its cells' output; normalised,
        gain * (y - mean(y)) / std(y) + bias over the features; then joined with what it read, x: y (plain), x + y
        (residual), t * y + (1 - t) * x with t = sigmoid(W x + b) (highway), or [x; y] (dense). Residual and highway
        connections stand where x and y have one width; with dense ones the last layer gives y alone.

    Args:
        cell: a registered name (`recurra info cells` lists them) or a class derived from `Cell`.
        input_size: features of x.
        hidden_size: hidden units of each cell.
        num_layers: stacked layers.
        bias: whether the cells have biases.
        batch_first: whether x, mask, reset, dt and the output are (batch, time, ...) instead of (time, batch, ...).
        dropout: share of the values dropped between layers while training; with one layer there is no such place.
        bidirectional: whether a second cell a layer reads from the end.
        input_dropout: share dropped of what the first layer reads.
        variational: whether these two dropouts drop the same features at all time steps of a sequence.
        recurrent_dropout: share dropped of the hidden units on their way into the recurrent products, the same units at
            all time steps of a sequence; what a cell carries on by other ways is not touched.
        weight_drop: share dropped of the recurrent weights, drawn once a call.
        zoneout: share of the units that keep their last value for a step, one number, or one for each part of the state
            by name; in evaluation its mean is used.
        connection: "plain", "residual", "highway" or "dense".
        layer_norm: whether what each layer gives is normalised over its features. (Cells with normalisation inside the
            recurrence are cells of their own, `layer_norm_lstm` say.)
        recurrent_init: "orthogonal" or "identity" recurrent weights, a block for each gate, in all layers.
        forget_bias: the bias of the gate that keeps the state, in all layers.
        chrono: the longest time to remember; sets the biases of that gate (and of the input gate) accordingly.
        learn_initial_state: whether the state before the first step, and after a reset, is learned.
        checkpoint: True, or a number of steps: keep the state at the ends of such segments only and compute the rest
            again for the gradient, so that memory grows as the square root of the time.
        backend: "fused" runs the loop compiled from the cell's own definition wherever it can be, "reference" the plain
            loop always; "auto" chooses: the compiled loop for calls of 65,536 numbers of output or more (the first of a
            cell takes about a second to compile), else torch.nn's kernels or a parallel scan where they compute the
            same;
            `recurra.explain(layer)` says which runs. On a GPU the kernels are cuDNN's, which have no second derivative.
        cell_arguments: further arguments of the cell (proj_size, nonlinearity, reset_after, device, dtype ...).

    Shapes:
        x (time, batch, input_size), or (time, input_size) without a batch, or a PackedSequence; output (time, batch,
        output_size), where output_size is the cell's times the directions. The state is a tuple with one entry a layer
        and direction (layer by layer, forward before reverse), each that cell's own state.

    Raises:
        UsageError: an argument is out of range, unknown to the cell, or asks for what the cell has not.
        ShapeError: x, the state, lengths, mask, reset or dt does not fit.

    Reference:
        of the dropouts: Y. Gal, Z. Ghahramani. NIPS (2016) 1019-1027; S. Merity, N. S. Keskar, R. Socher. Regularizing
        and optimizing LSTM language models. ICLR (2018); D. Krueger et al. Zoneout. ICLR (2017).

    Example:
        >>> import torch
        >>> layer = Recurrent("lstm", 3, 8, num_layers=2, bidirectional=True)
        >>> y, state = layer(torch.zeros(5, 2, 3), lengths=torch.tensor([5, 3]))
        >>> y.shape, len(state), state[0].c.shape
        (torch.Size([5, 2, 16]), 4, torch.Size([2, 8]))
        >>> deep = Recurrent("indrnn", 3, 8, 4, connection="residual", layer_norm=True, recurrent_dropout=0.2)
        >>> y, state, states = deep(torch.zeros(5, 2, 3), return_states=True)
        >>> len(states), states[0].h.shape
        (4, torch.Size([5, 2, 8]))
    """

    def __init__(
        self,
        cell: str | type[Cell],
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        input_dropout: float = 0.0,
        variational: bool = False,
        recurrent_dropout: float = 0.0,
        weight_drop: float = 0.0,
        zoneout: float | Mapping[str, float] = 0.0,
        connection: str = "plain",
        layer_norm: bool = False,
        recurrent_init: str | None = None,
        forget_bias: float | None = None,
        chrono: int | None = None,
        learn_initial_state: bool = False,
        checkpoint: bool | int = False,
        backend: str = "auto",
        **cell_arguments: Any,
    ):
        super().__init__(input_size, hidden_size, num_layers, batch_first, dropout, bidirectional, PerCell(), backend)
        if connection not in CONNECTIONS:
            need = ", ".join(map(repr, CONNECTIONS[:-1])) + f" or {CONNECTIONS[-1]!r}"
            raise UsageError(f"connection is {connection!r}", where="Recurrent", need=need)
        check_start_values(recurrent_init, forget_bias, chrono, "Recurrent")
        segment_length(checkpoint, 1, where="Recurrent")
        self.connection, self.checkpoint = connection, checkpoint
        self.noise = Noise(
            self.dropout,
            check_share(input_dropout, "input_dropout", "Recurrent"),
            bool(variational),
            check_share(recurrent_dropout, "recurrent_dropout", "Recurrent"),
            check_share(weight_drop, "weight_drop", "Recurrent"),
            zoneout,
        )
        self._start_values = (recurrent_init, forget_bias, chrono)
        kind, arguments = choose_cell(cell, bias, cell_arguments, "Recurrent", (Cell,), "unroll")
        self.cell = cell if isinstance(cell, str) else kind.__name__
        device, dtype = arguments.get("device"), arguments.get("dtype")
        cells: list[Cell] = []
        joints: list[nn.Module] = []
        norms: list[nn.Module] = []
        features = input_size
        for layer in range(num_layers):
            cells.extend(kind(features, hidden_size, **arguments) for _ in range(self.directions))
            gives = cells[-1].output_size * self.directions
            joint, features = make_joint(connection, features, gives, device, dtype)
            joints.append(Plain() if isinstance(joint, Dense) and layer == num_layers - 1 else joint)
            norms.append(nn.LayerNorm(gives, device=device, dtype=dtype) if layer_norm else nn.Identity())
        self.cells = nn.ModuleList(cells)
        self.joints = nn.ModuleList(joints) if connection != "plain" else None
        self.norms = nn.ModuleList(norms) if layer_norm else None
        self.firsts = nn.ModuleList(FirstState(each) for each in cells) if learn_initial_state else None
        check_noise(self.noise, cells, "Recurrent")
        self._set_start_values()

    def forward(
        self,
        x: Any,
        state: Sequence[State] | None = None,
        *,
        lengths: Any = None,
        mask: Tensor | None = None,
        reset: Tensor | None = None,
        dt: Tensor | float | None = None,
        return_states: bool = False,
    ) -> Any:
        """Run over whole sequences; `lengths`, `mask`, `reset` and `dt` as in `recurra.unroll`.

        Returns:
            `(y, state)`; with `return_states` `(y, state, states)`, where `states` holds for each cell its state after
            every step, with time and batch in front as in y.
        """
        return self.run(x, state, lengths, mask, reset, dt, return_states)

    def stack_cells(self) -> Sequence[Cell]:
        """The cells, layer by layer, the forward direction before the reverse one."""
        return tuple(self.cells)  # type: ignore[arg-type]

    def stack(self) -> Stack:
        """The cells with all that goes with them, as the weights are now."""
        return Stack(
            self.stack_cells(),
            self.directions,
            () if self.norms is None else tuple(self.norms),
            () if self.joints is None else tuple(self.joints),
            () if self.firsts is None else tuple(self.firsts),  # type: ignore[arg-type]
            self.noise,
            self.training,
            self.backend,
            self.checkpoint,
            type(self).__name__,
        )

    def reset_parameters(self) -> None:
        """Draw all weights anew, as at the start."""
        super().reset_parameters()
        for module in [*(self.joints or ()), *(self.norms or ())]:
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
        self._set_start_values()

    def _set_start_values(self) -> None:
        if any(value is not None for value in self._start_values):
            for cell in self.stack_cells():
                set_start_values(cell, *self._start_values, "Recurrent")

    def extra_repr(self) -> str:
        more = [f"backend={self.backend!r}"]
        if self.connection != "plain":
            more.append(f"connection={self.connection!r}")
        noise: dict[str, Any] = {"input_dropout": self.noise.inputs, "recurrent_dropout": self.noise.recurrent}
        noise |= {"weight_drop": self.noise.weights, "zoneout": self.noise.zoneout}
        more += [f"{name}={value}" for name, value in {**noise, "checkpoint": self.checkpoint}.items() if value]
        return f"{self.cell!r}, {super().extra_repr()}, {', '.join(more)}"
