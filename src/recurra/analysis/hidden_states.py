"""Hidden states as pictures need them: one sequence's units over time, and several sequences as paths in a plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recurra.errors import ShapeError, UsageError
from recurra.nn.layer import Layer
from recurra.unroll import check_lengths


def hidden_states(
    layer: Layer,
    x: Tensor,
    lengths: Any,
    names: Sequence[str],
    labels: Sequence[str] | None = None,
    sequences: int = 6,
    units: int = 64,
    steps: int = 400,
) -> dict[str, Any]:
    """Collect a layer's hidden outputs: a heat map of one sequence, and paths of several in the two main directions.

    Equations:
        the points of a path are (h_t - mean) . (p_1, p_2), where p_1 and p_2 are the first two principal directions of
        the outputs at all valid steps of all sequences given. Each direction's largest entry is positive, so that the
        same outputs give the same picture.

    Args:
        layer: a recurrent layer; it runs in evaluation mode.
        x: sequences.
        lengths: the steps of each sequence, or None for all of x.
        names: the sequences' names.
        labels: what colours the paths; as many different labels as can be are shown.
        sequences: the most paths.
        units: the most units in the heat map; the ones that vary most are kept, in their own order.
        steps: the most steps a sequence is shown with; of a longer one, the last ones.

    Shapes:
        x (time, batch, features), also where the layer has batch_first; lengths (batch,).

    Returns:
        a dictionary: `sequence` (the name of the one in the heat map, the longest), `states` (a list over time of lists
        over units), `trajectories` (dictionaries of name, label and points [[x, y], ...]) and `explained` (the share of
        the variance in each of the two directions).

    Raises:
        UsageError: there is no step at all.
        ShapeError: there are not as many names or labels as sequences.

    Reference:
        K. Pearson. On lines and planes of closest fit to systems of points in space. Philosophical Magazine 2 (1901)
        559-572.

    Example:
        >>> from recurra.nn import Recurrent
        >>> found = hidden_states(Recurrent("gru", 2, 8), torch.randn(5, 3, 2), [5, 4, 0], ["a", "b", "c"])
        >>> found["sequence"], len(found["states"]), [path["name"] for path in found["trajectories"]]
        ('a', 5, ['a', 'b'])
    """
    batch = x.shape[1]
    for what, given in (("names", names), ("labels", labels)):
        if given is not None and len(given) != batch:
            raise ShapeError(f"{what} has {len(given)} entries", where="hidden_states", need=f"{batch}, one a sequence")
    counts = torch.full((batch,), x.shape[0]) if lengths is None else check_lengths(lengths, x, where="hidden_states")
    sizes = [int(count) for count in counts]
    if not any(sizes):
        raise UsageError("x holds no step", where="hidden_states", need="at least one sequence with at least one step")
    was_training = layer.training
    layer.eval()
    try:
        with torch.no_grad():
            output, _, _ = layer.run_time_first(x, lengths=counts)
    finally:
        layer.train(was_training)
    h = output.float().cpu().numpy().astype(np.float64)

    everything = np.concatenate([h[:size, index] for index, size in enumerate(sizes)])
    centre = everything.mean(axis=0)
    directions, explained = _main_directions(everything - centre)
    shown = max(range(batch), key=lambda index: sizes[index])
    columns = np.sort(np.argsort(-everything.std(axis=0), kind="stable")[:units])
    trajectories = [
        {
            "name": str(names[index]),
            "label": None if labels is None else str(labels[index]),
            "points": _rounded((_last(h, index, sizes[index], steps) - centre) @ directions.T),
        }
        for index in _choose(sizes, labels, sequences)
    ]
    return {
        "sequence": str(names[shown]),
        "states": _rounded(_last(h, shown, sizes[shown], steps)[:, columns]),
        "trajectories": trajectories,
        "explained": explained,
    }


def _last(h: np.ndarray, index: int, size: int, steps: int) -> np.ndarray:
    return h[max(0, size - steps) : size, index]


def _rounded(values: np.ndarray) -> list[list[float]]:
    """Four decimals: finer than a picture, and a small log."""
    return [[round(float(value), 4) for value in row] for row in values]


def _main_directions(centred: np.ndarray) -> tuple[np.ndarray, list[float]]:
    """The first two principal directions (2, features) and their shares of the variance; zeros where there are none."""
    variance, columns = np.linalg.eigh(centred.T @ centred)
    directions, shares, total = np.zeros((2, centred.shape[1])), [0.0, 0.0], float(variance.sum())
    for index in range(min(2, len(variance))):
        row = columns[:, -1 - index]
        directions[index] = row * (1.0 if row[np.argmax(np.abs(row))] > 0 else -1.0)
        shares[index] = max(0.0, float(variance[-1 - index])) / total if total > 0 else 0.0
    return directions, shares


def _choose(sizes: Sequence[int], labels: Sequence[str] | None, sequences: int) -> list[int]:
    """Which sequences to show: in their order, but one of each label before a second of any."""
    seen: dict[Any, int] = {}
    ranked = []
    for index, size in enumerate(sizes):
        if size:
            label = None if labels is None else labels[index]
            seen[label] = seen.get(label, -1) + 1
            ranked.append((seen[label], index))
    return sorted(index for _, index in sorted(ranked)[:sequences])
