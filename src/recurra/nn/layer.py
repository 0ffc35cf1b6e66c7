"""What all recurrent layers share: argument checks, layouts (batch first, unbatched, packed) and streaming."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from recurra.cells.base import Cell, check_continuous, check_dt, check_input, check_number_format, check_size
from recurra.cells.state import map_state
from recurra.errors import UsageError
from recurra.nn.noise import Noise, check_share
from recurra.nn.stack import Stack, run_stack, step_stack
from recurra.nn.state_forms import StateForm
from recurra.nn.stream import Stream
from recurra.types import State
from recurra.unroll import bounds_of, check_flags, check_lengths, in_transform

BACKENDS = ("auto", "fused", "reference")
"""How a layer may be computed."""


class Layer(nn.Module):
    """Abstract base of the recurrent layers: cells stacked in layers, in one or both directions.

    A layer defines `stack_cells`, and gives the form in which its callers hold the state.

    Attributes:
        backend: "fused" runs the loop compiled for this processor; "reference" runs the plain loop always; "auto"
            chooses: the compiled loop for large calls, else torch.nn's kernels or a parallel scan where they compute
            the same.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        form: StateForm,
        backend: str = "auto",
    ):
        super().__init__()
        if backend not in BACKENDS:
            raise UsageError(
                f"backend is {backend!r}", where=type(self).__name__, need="'auto', 'fused' or 'reference'"
            )
        where = type(self).__name__
        self.input_size = check_size(input_size, "input_size", where)
        self.hidden_size = check_size(hidden_size, "hidden_size", where)
        self.num_layers = check_size(num_layers, "num_layers", where)
        self.dropout = check_share(dropout, "dropout", where)
        self.batch_first, self.bidirectional = bool(batch_first), bool(bidirectional)
        self.backend, self._form = backend, form

    @property
    def directions(self) -> int:
        """2 where bidirectional, else 1."""
        return 2 if self.bidirectional else 1

    def stack_cells(self) -> Sequence[Cell]:
        """The cells, layer by layer, the forward direction before the reverse one."""
        raise NotImplementedError

    def stack(self) -> Stack:
        """The cells with all that goes with them, as the weights are now."""
        return Stack(
            self.stack_cells(),
            self.directions,
            noise=Noise(self.dropout),
            training=self.training,
            backend=self.backend,
            where=type(self).__name__,
        )

    @property
    def output_size(self) -> int:
        """Features of the output: those of both directions together."""
        return self.directions * self.stack_cells()[-1].output_size

    @property
    def all_weights(self) -> list[list[nn.Parameter]]:
        """The weights, one list a layer and direction."""
        return [list(cell.parameters()) for cell in self.stack_cells()]

    def reset_parameters(self) -> None:
        """Draw all weights anew, as at the start."""
        for cell in self.stack_cells():
            cell.reset_parameters()

    def flatten_parameters(self) -> None:
        """Does nothing; it is here because code written for torch.nn calls it."""

    def extra_repr(self) -> str:
        return (
            f"{self.input_size}, {self.hidden_size}, num_layers={self.num_layers}, batch_first={self.batch_first}, "
            f"dropout={self.dropout}, bidirectional={self.bidirectional}"
        )

    def run(
        self,
        x: Any,
        state: Any,
        lengths: Any,
        mask: Tensor | None,
        reset: Tensor | None,
        dt: Any = None,
        all_states: bool = False,
    ) -> Any:
        """The body of every layer's `forward`: any layout in, the same layout out."""
        if isinstance(x, PackedSequence):
            return self._run_packed(x, state, lengths, mask, reset, dt, all_states)
        where = type(self).__name__
        batched = not (isinstance(x, Tensor) and x.dim() == 2)
        names = ("batch", "time") if self.batch_first else ("time", "batch")
        check_input(x, names if batched else ("time",), self.input_size, where=where)
        check_number_format(x, self, where=where)
        along = [x, mask, reset, dt]
        if not batched:
            along = [part.unsqueeze(1) if isinstance(part, Tensor) else part for part in along]
            lengths = None if lengths is None else torch.as_tensor(lengths).reshape(-1)
        elif self.batch_first:
            along = [part.transpose(0, 1) if isinstance(part, Tensor) and part.dim() > 1 else part for part in along]
        x, mask, reset, dt = along
        y, final, every = self.run_time_first(x, state, lengths, mask, reset, batched, dt, all_states)
        if not batched:
            y, every = y.squeeze(1), tuple(map_state(lambda part: part.squeeze(1), each) for each in every)
        elif self.batch_first:
            y, every = y.transpose(0, 1), tuple(map_state(lambda part: part.transpose(0, 1), each) for each in every)
        final = self._form.leave(final, batched)
        return (y, final, every) if all_states else (y, final)

    def run_time_first(
        self,
        x: Tensor,
        state: Any = None,
        lengths: Any = None,
        mask: Tensor | None = None,
        reset: Tensor | None = None,
        batched: bool = True,
        dt: Any = None,
        all_states: bool = False,
    ) -> tuple[Tensor, tuple[State, ...], tuple[State, ...]]:
        """x (time, batch, features), whatever `batch_first` says, to the output, one state a cell, and all states."""
        where, stack = type(self).__name__, self.stack()
        mask = None if mask is None else check_flags(mask, x, "mask", where=where)
        reset = None if reset is None else check_flags(reset, x, "reset", where=where)
        if dt is not None:
            if not any(cell.continuous_time for cell in stack.cells):
                check_continuous(stack.cells[0], where)
            dt = check_dt(dt, x, x.shape[:2], where=where)
        if lengths is not None:
            lengths = check_lengths(lengths, x, where=where)
            seen = not in_transform() and not torch.compiler.is_compiling()
            if x.shape[1] and seen and bounds_of(lengths)[0] == x.shape[0]:
                lengths = None  # all are as long as x
        states = None if state is None else self._form.enter(state, stack.cells, x.shape[1], batched, where)
        return run_stack(stack, x, states, lengths=lengths, mask=mask, reset=reset, dt=dt, all_states=all_states)

    def _run_packed(
        self, packed: PackedSequence, state: Any, lengths: Any, mask: Any, reset: Any, dt: Any, all_states: bool
    ) -> tuple[Any, Any]:
        where = type(self).__name__
        if any(part is not None for part in (lengths, mask, reset, dt)) or all_states:
            raise UsageError(
                "lengths, mask, reset, dt or return_states came with a PackedSequence",
                where=where,
                need="a padded tensor for these, as a PackedSequence has lengths of its own",
                cure="torch.nn.utils.rnn.pad_packed_sequence",
            )
        check_input(packed.data, ("steps",), self.input_size, where=where, name="x.data")
        x, lengths = pad_packed_sequence(packed)
        y, final, _ = self.run_time_first(x, state, lengths)
        if packed.sorted_indices is not None:
            y, lengths = y.index_select(1, packed.sorted_indices), lengths[packed.sorted_indices.cpu()]
        # Packed data are the valid steps, time by time, of the sequences from the longest to the shortest.
        valid = torch.arange(y.shape[0]).unsqueeze(1) < lengths
        packed_y = PackedSequence(
            y[valid.to(y.device)], packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices
        )
        return packed_y, self._form.leave(final, True)

    @property
    def state_form(self) -> StateForm:
        """How callers hold the state."""
        return self._form

    def stream(self, batch_size: int = 1, state: Any = None) -> Stream:
        """The layer made ready to read one time step a call; see `recurra.nn.Stream`."""
        return Stream(self, batch_size, state)

    def step(self, x: Tensor, state: Any = None, dt: Any = None) -> tuple[Tensor, Any]:
        """One time step of a stream: `(y, state)`; pass the state back in with the next step.

        Step by step this gives what the whole sequence gives at once (without dropout, which is drawn anew each step).

        Args:
            x: (batch, input_size), whatever `batch_first` says.
            state: what the last step or a call over a sequence gave; the initial state when absent.
            dt: the time since the last step, a number or (batch,), for cells in continuous time.

        Raises:
            UsageError: the layer is bidirectional.
            ShapeError: x or the state does not fit.

        Example:
            >>> from recurra.nn import Recurrent
            >>> layer, state = Recurrent("gru", 3, 4), None
            >>> for x in torch.zeros(5, 1, 3):
            ...     y, state = layer.step(x, state)
            >>> y.shape
            torch.Size([1, 4])
        """
        where = f"{type(self).__name__}.step"
        if self.bidirectional:
            raise UsageError(
                "the layer is bidirectional",
                where=where,
                need="one direction, since the reverse direction begins at the end of a sequence",
                cure="build with bidirectional=False, or give whole sequences",
            )
        check_input(x, ("batch",), self.input_size, where=where)
        check_number_format(x, self, where=where)
        stack = self.stack()
        states = (
            [None] * len(stack.cells) if state is None else self._form.enter(state, stack.cells, len(x), True, where)
        )
        if dt is not None and not any(cell.continuous_time for cell in stack.cells):
            check_continuous(stack.cells[0], where)
        y, finals = step_stack(stack, x, states, dt)
        return y, self._form.leave(finals, True)
