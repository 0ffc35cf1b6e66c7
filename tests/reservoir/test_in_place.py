"""Echo states in memory that is used again, against the numbers of `unroll`."""

from __future__ import annotations

import pytest
import torch

from recurra.cells.base import Cell
from recurra.cells.state import state_tensors
from recurra.errors import ShapeError
from recurra.reservoir import DeepReservoir, EchoState, ParallelReservoir, ReservoirFeatures, run, run_blocks
from recurra.reservoir.in_place import runs_in_place
from recurra.unroll import unroll

DOUBLE = torch.float64


def echo(inputs: int = 2, units: int = 23, **given: object) -> EchoState:
    arguments = {"rate": 0.4, "topology_arguments": {"density": 0.2}, **given}
    return EchoState(inputs, units, generator=torch.Generator().manual_seed(3), dtype=DOUBLE, **arguments)


CELLS = {
    "leaky": echo(),
    "rates": echo(rate=[0.1 + 0.03 * k for k in range(23)]),
    "not leaky": echo(rate=1.0),
    "no bias": echo(bias=False, nonlinearity="sigmoid"),
    "relu": echo(nonlinearity="relu", spectral_radius=0.5),
    "linear": echo(nonlinearity="linear", rate=1.0),
    "dense": echo(topology="orthogonal", topology_arguments=None),
    "features": ReservoirFeatures(echo(), squares="every_second"),
    "deep": DeepReservoir([echo(), echo(25, 9)], inputs_to_all=True),
    "parallel": ReservoirFeatures(ParallelReservoir([echo(), echo(1, 6)], 3, [[0, 2], [1]]), squares="appended"),
}


@pytest.mark.parametrize("name", list(CELLS))
@pytest.mark.parametrize("batch", [1, 5, 67])
def test_the_numbers_of_unroll(name: str, batch: int) -> None:
    cell: Cell = CELLS[name]
    generator = torch.Generator().manual_seed(batch)
    x = torch.randn(13, batch, cell.input_size, generator=generator, dtype=DOUBLE)
    lengths = torch.randint(0, 14, (batch,), generator=generator)
    lengths[0] = 13
    gone = torch.where((torch.arange(13).unsqueeze(1) < lengths).unsqueeze(-1), x, torch.full_like(x, float("nan")))
    _, first = unroll(cell, x[:3])
    kept = [part.clone() for part in state_tensors(first)]
    with torch.no_grad():
        assert runs_in_place(cell, x)
        for read, left in ((x, None), (gone, lengths)):
            y, last = unroll(cell, read, first, lengths=left)
            blocks = list(run_blocks(cell, read, first, lengths=left, numbers=4 * batch * cell.output_size))
            torch.testing.assert_close(torch.cat([block.y for block in blocks]), y, rtol=1e-12, atol=1e-13)
            found, end = run(cell, read, first, lengths=left)
            torch.testing.assert_close(found, y, rtol=1e-12, atol=1e-13)
            for after in (end, blocks[-1].state):
                for part, other in zip(state_tensors(after), state_tensors(last), strict=True):
                    torch.testing.assert_close(part, other, rtol=1e-12, atol=1e-13)
    for part, before in zip(state_tensors(first), kept, strict=True):
        assert torch.equal(part, before)


def test_what_it_does_not_know_is_left_to_unroll() -> None:
    x = torch.zeros(2, 3, 2, dtype=DOUBLE)
    assert not runs_in_place(echo(), x)  # a gradient may be asked for

    class Own(EchoState):
        pass

    dropped = echo()
    dropped.dropped = torch.zeros_like
    with torch.no_grad():
        assert not runs_in_place(Own(2, 5, dtype=DOUBLE), x)
        assert not runs_in_place(dropped, x)
        assert not runs_in_place(ReservoirFeatures(dropped), x)
    y, _ = run(dropped, x + 1.0)
    torch.testing.assert_close(y, unroll(dropped, x + 1.0)[0])


def test_wrong_arguments() -> None:
    with pytest.raises(ShapeError, match="float32"):
        run(echo(), torch.zeros(3, 2, 2))
    with pytest.raises(ShapeError, match="state"):
        run(echo(), torch.zeros(3, 2, 2, dtype=DOUBLE), echo().initial_state(3))


def test_a_state_given_back_is_no_part_of_the_outputs() -> None:
    y, state = run(echo(), torch.ones(4, 1, 2, dtype=DOUBLE))
    y.zero_()
    assert float(state.h.abs().max()) > 0
