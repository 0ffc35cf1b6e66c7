"""What the instruments show of a trained classifier: gradients through time, and hidden states."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from recurra.analysis.gradient_flow import gradient_flow
from recurra.analysis.hidden_states import hidden_states
from recurra.tasks.classify.network import SequenceNetwork
from recurra.tasks.classify.problem import Inputs, make_batch

SHOWN, STEPS = 64, 400


def look_inside(
    learner: SequenceNetwork, inputs: Inputs, index: np.ndarray, classes: list[str]
) -> dict[str, dict[str, Any]]:
    """The events "gradient_flow" and "hidden_states", from the first 400 steps of 64 of the chosen sequences.

    Args:
        learner: the network; it is left in evaluation mode.
        inputs: labelled sequences.
        index: of the sequences to look at.
        classes: names of the classes, which colour the paths.
    """
    assert inputs.label is not None
    index = index[np.unique(np.linspace(0, len(index) - 1, min(SHOWN, len(index))).astype(np.int64))]
    batch = make_batch(inputs, index, STEPS).to(next(learner.parameters()).device)
    learner.eval()
    with torch.no_grad():
        x = learner.inputs(batch.values, batch.codes, batch.lengths)
    names = [inputs.names[i] for i in index]
    labels = [classes[k] for k in inputs.label[index]]
    return {
        "gradient_flow": gradient_flow(learner.recurrent, x, batch.lengths),
        "hidden_states": hidden_states(learner.recurrent, x, batch.lengths, names, labels=labels),
    }
