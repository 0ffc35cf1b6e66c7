"""Weights laid out by the compiled copies: the same numbers as torch's views, whatever the strides."""

from __future__ import annotations

import gc
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recurra.cells import GRU
from recurra.cells import LSTM as LSTMCell
from recurra.engine import run_fused
from recurra.engine.kernel import Kernel
from recurra.engine.memory import LARGE, PAGE, Spare
from recurra.engine.prepare import Prepare, View, panel_moves, panel_size, view_of
from recurra.engine.strides import Move
from recurra.engine.survey import survey
from recurra.engine.tiles import Layout, Panel, Tile
from recurra.nn import LSTM


def copied(moves: list[Move], sources: list[torch.Tensor], size: int) -> torch.Tensor:
    prepare = Prepare(sources[0].dtype)
    prepare.room("all", size)
    prepare.moves = moves
    memory = torch.full((prepare.size,), float("nan"), dtype=sources[0].dtype)
    places = prepare.finish().run(sources, memory)
    assert places["all"] == memory.data_ptr()
    return memory


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([torch.float32, torch.float64]),
    st.lists(st.integers(1, 5), min_size=1, max_size=4),
    st.permutations(range(4)),
    st.booleans(),
)
def test_a_view_is_copied_as_torch_sees_it(dtype: torch.dtype, sizes: list[int], order: list[int], twice: bool) -> None:
    whole = torch.randn(*sizes, dtype=dtype)
    part = whole.permute([each for each in order if each < len(sizes)])
    part = part[..., 1:] if part.shape[-1] > 1 else part
    view = view_of(part, 0, whole)
    assert view is not None
    moves = view.moves(3)
    if twice:
        moves += [Move(**{**vars(move), "adds": True}) for move in moves]
    found = copied(moves, [whole], part.numel() + 3)[3 : 3 + part.numel()]
    assert torch.equal(found, part.reshape(-1) * (1 + twice))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 37), st.integers(1, 70), st.integers(1, 3), st.booleans(), st.sampled_from([4, 16]))
def test_panels_hold_tile_by_tile_row_by_row_piece_by_piece(
    rows: int, width: int, pieces: int, across: bool, lanes: int
) -> None:
    whole = torch.randn(rows, width * pieces) if not across else torch.randn(width * pieces, rows)
    weight = whole.t() if across else whole
    wide = max(1, min(2, width // lanes))
    tiles, start = [], 0
    for vectors in dict.fromkeys((wide, 1)):
        if count := (width - start) // (vectors * lanes):
            tiles.append(Tile(start, count, vectors, lanes))
            start += count * vectors * lanes
    if start < width:
        tiles.append(Tile(start, 1, 1, width - start))
    columns = tuple(reversed(range(0, width * pieces, width)))
    panel, layout = Panel("p", 0, columns), Layout(tuple(tiles), (), 1)
    view = view_of(weight, 0, whole)
    assert view is not None
    found = copied(panel_moves(view, panel, layout, width, lanes, 0), [whole], panel_size(panel, rows, layout, lanes))
    wanted = []
    for tile in tiles:
        for number in range(tile.count):
            for row in range(rows):
                for column in columns:
                    for lane in range(tile.vectors * lanes):
                        inside = lane < tile.lanes or tile.lanes == lanes
                        at = tile.start + number * tile.vectors * lanes + lane
                        wanted.append(float(weight[row, column + at]) if inside else 0.0)
    assert found[: len(wanted)].tolist() == wanted


def test_columns_of_a_view_are_counted_as_in_one_row() -> None:
    assert View(0, 5, (3, 4), (4, 1)).columns(2, 6) == View(0, 7, (6,), (1,))
    assert View(0, 5, (1, 4), (9, 2)).columns(1, 2) == View(0, 7, (2,), (2,))
    assert View(0, 5, (3, 4), (5, 1)).columns(2, 6) is None


def test_all_of_an_lstm_is_views_and_tied_weights_are_not_mixed_up() -> None:
    kernel = Kernel(LSTMCell(3, 5), torch.float32, False)
    assert kernel.parameters.computed == []
    # A layer whose two matrices are one tensor, compiled first, must not make every other layer read it so.
    tied, free = LSTM(6, 6), LSTM(6, 6)
    tied.weight_hh_l0 = tied.weight_ih_l0
    for layer in (tied, free):
        layer.backend = "fused"
        x = torch.randn(4, 2, 6)
        found = layer(x)[0]
        layer.backend = "reference"
        assert torch.allclose(found, layer(x)[0], atol=1e-6)


def test_a_survey_tells_settings_apart_and_names_every_weight() -> None:
    cell = GRU(3, 4)
    key, weights = survey(cell)
    assert list(weights) == list(dict(cell.named_parameters()))
    assert survey(GRU(3, 4))[0] == key and hash(key) == hash(survey(GRU(3, 4))[0])
    assert survey(GRU(3, 5))[0] != key and survey(GRU(3, 4, bias=False))[0] != key
    cell.note = 1
    one = survey(cell)[0]
    cell.note = True
    assert survey(cell)[0] != one
    cell.register_buffer("scale", torch.ones(2))
    cell.double()
    assert list(survey(cell)[1])[-1] == "scale" and survey(cell)[0] != one


def test_memory_comes_back_when_nothing_refers_to_it_and_no_more_is_kept_than_allowed() -> None:
    spare = Spare(limit=3 * PAGE)
    first = spare.take(LARGE + 1)
    np.frombuffer(first, np.uint8)[:] = 7
    address = id(first.block)
    tensor = torch.frombuffer(first, dtype=torch.uint8)
    del first
    gc.collect()
    assert spare.held == 0, "a tensor still reads it"
    assert int(tensor[-1]) == 7 and tensor.data_ptr() % PAGE == 0
    del tensor
    gc.collect()
    assert spare.held == 3 * PAGE
    again = spare.take(LARGE + 2)
    assert id(again.block) == address and spare.held == 0
    other = spare.take(LARGE)
    del again, other
    gc.collect()
    assert list(spare.free) == [LARGE] and spare.held == LARGE, "there is room for one: the one given back last"


def test_sizes_that_are_no_longer_wanted_make_room() -> None:
    spare = Spare(limit=2 * LARGE)
    for step in range(1, 9):
        lease = spare.take(LARGE + step * PAGE if step < 8 else LARGE)
        del lease
        gc.collect()
        assert spare.held <= 2 * LARGE
    assert list(spare.free) == [LARGE], "the sizes wanted before took too much room for both"
    lease = spare.take(4 * LARGE)
    del lease
    gc.collect()
    assert list(spare.free) == [LARGE], "one block beyond the limit is not kept, and drives nothing out"


def test_a_first_states_gradient_is_the_callers_own() -> None:
    cell = LSTMCell(2, 256)
    state = [torch.randn(4096, 256, requires_grad=True) for _ in range(2)]
    y, _ = run_fused(cell, torch.randn(2, 4096, 2), type(cell.initial_state(1))(*state), None, None, False)
    gradient, _ = torch.autograd.grad(y.sum(), state)
    assert gradient.untyped_storage().resizable()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked on this system")
def test_a_forked_process_has_its_own_memory() -> None:
    """In a process of its own, as a fork of one with threads is not safe."""
    code = """
import ctypes, os
from recurra.engine.memory import LARGE, Spare
spare = Spare(4 * LARGE)
for size in (1 << 16, LARGE):
    kept, spared = spare.take(size), spare.take(size)
    ctypes.memset(kept, 1, size)
    ctypes.memset(spared, 1, size)
    block = spared.block
    del spared
    child = os.fork()
    if child == 0:
        ctypes.memset(kept, 2, size)
        ctypes.memset(spare.take(size), 2, size)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    again = spare.take(size)
    assert again.block is block
    assert bytes(kept) == bytes(again) == bytes([1]) * size
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("size", [1 << 16, 3 << 16, LARGE])
def test_blocks_in_use_never_overlap(size: int) -> None:
    spare = Spare(limit=1 << 24)
    for _ in range(3):
        leases = [spare.take(size) for _ in range(4)]
        for number, lease in enumerate(leases):
            np.frombuffer(lease, np.uint8)[:] = number
        assert [int(np.frombuffer(lease, np.uint8).max()) for lease in leases] == [0, 1, 2, 3]
        del leases, lease
