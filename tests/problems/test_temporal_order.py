"""The temporal order problem: symbols at their places, and the class they make."""

from __future__ import annotations

import pytest
import torch

from recurra.errors import UsageError
from recurra.problems.temporal_order import SYMBOLS, temporal_order

CLASSES = {2: ["XX", "XY", "YX", "YY"], 3: ["XXX", "XXY", "XYX", "XYY", "YXX", "YXY", "YYX", "YYY"]}
PLACES = {2: [range(10, 21), range(50, 61)], 3: [range(10, 21), range(33, 44), range(66, 77)]}


@pytest.mark.parametrize("relevant", [2, 3])
def test_sequences_are_as_described(relevant: int) -> None:
    x, target, lengths = temporal_order(relevant, 800, torch.Generator().manual_seed(relevant))
    seen: list[set[int]] = [set() for _ in range(relevant)]
    for number, length in enumerate(lengths.tolist()):
        assert not x[length:, number].any() and (x[:length, number].sum(-1) == 1).all()
        text = "".join(SYMBOLS[k] for k in x[:length, number].argmax(-1))
        assert text[0] == "E" and text[-1] == "B" and "E" not in text[1:] and "B" not in text[:-1]
        at = [t for t, symbol in enumerate(text) if symbol in "XY"]
        assert len(at) == relevant and all(t in places for t, places in zip(at, PLACES[relevant], strict=True))
        assert "".join(text[t] for t in at) == CLASSES[relevant][int(target[number])]
        for place, t in zip(seen, at, strict=True):
            place.add(t)
    assert [sorted(places) for places in seen] == [list(places) for places in PLACES[relevant]]
    assert set(lengths.tolist()) == set(range(100, 111))
    counts = torch.bincount(target, minlength=2**relevant)
    assert ((counts - 800 / 2**relevant).abs() < 60).all()


@pytest.mark.parametrize(("relevant", "batch"), [(1, 3), (4, 3), (2, -1)])
def test_bad_arguments(relevant: int, batch: int) -> None:
    with pytest.raises(UsageError, match=f"relevant is {relevant} and batch is {batch}.*2 or 3 relevant symbols"):
        temporal_order(relevant, batch)
