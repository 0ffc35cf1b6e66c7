"""The training problem as the loop sees it: batches of padded sequences, and a validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from recurra.tasks.classify.calibration import probabilities
from recurra.tasks.classify.metrics import measure
from recurra.tasks.classify.network import SequenceBatch, SequenceNetwork
from recurra.tasks.classify.plan import bucketed, by_size


@dataclass
class Inputs:
    """Sequences ready for the network, flat: sequence i holds rows offsets[i] .. offsets[i + 1] - 1.

    Attributes:
        values: (rows, channels) float32. codes: (rows, categories) int64.
        offsets: (n + 1,) int64. label: (n,) int64 or None. names: of the sequences.
        channel_names: of the channels.
    """

    values: np.ndarray
    codes: np.ndarray
    offsets: np.ndarray
    label: np.ndarray | None
    names: list[str]
    channel_names: list[str]

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.offsets)


def make_batch(inputs: Inputs, index: np.ndarray, most: int | None = None) -> SequenceBatch:
    """The chosen sequences, time first, padded with zeros; of each, at most the first `most` steps."""
    lengths = inputs.lengths[index]
    if most is not None:
        lengths = np.minimum(lengths, most)
    steps = int(lengths.max()) if len(index) else 0
    time = np.arange(steps)[:, None]
    valid = time < lengths
    rows = np.where(valid, inputs.offsets[index] + time, 0)
    if len(inputs.values):
        values = np.where(valid[..., None], inputs.values[rows], np.float32(0))
        codes = np.where(valid[..., None], inputs.codes[rows], 0)
    else:
        values = np.zeros((steps, len(index), inputs.values.shape[1]), np.float32)
        codes = np.zeros((steps, len(index), inputs.codes.shape[1]), np.int64)
    label = np.zeros(len(index), np.int64) if inputs.label is None else np.maximum(inputs.label[index], 0)
    return SequenceBatch(
        torch.from_numpy(values),
        torch.from_numpy(codes),
        torch.from_numpy(lengths.astype(np.int64)),
        torch.from_numpy(label.astype(np.int64)),
        index,
    )


def read_logits(
    network: SequenceNetwork, inputs: Inputs, index: np.ndarray | None = None, batch_size: int | None = None
) -> np.ndarray:
    """Logits (len(index), C) float64 of the chosen sequences, in their order.

    Batches are made by length and undone afterwards. The numbers do not depend on batch size, padding or order beyond
    the rounding of float32 matrix products (relative differences below 1e-5 in a logit).
    """
    index = np.arange(len(inputs.names)) if index is None else index
    device = next(network.parameters()).device
    result: np.ndarray | None = None
    training = network.training
    network.eval()
    try:
        with torch.no_grad():
            for place in by_size(inputs.lengths[index], batch_size or 256):
                batch = make_batch(inputs, index[place]).to(device)
                logits = network.logits(batch.values, batch.codes, batch.lengths).double().cpu().numpy()
                if result is None:
                    result = np.zeros((len(index), logits.shape[1]))
                result[place] = logits
    finally:
        network.train(training)
    return np.zeros((0, 0)) if result is None else result


class ClassifyProblem:
    """Batches that follow from (seed, epoch) alone, and a validation by the same loss.

    Args:
        learner: the network.
        inputs: all sequences, labelled.
        train, valid: indices of the two parts.
        batch_size: sequences a step.
        seed: of the order of the batches.
    """

    def __init__(
        self,
        learner: SequenceNetwork,
        inputs: Inputs,
        train: np.ndarray,
        valid: np.ndarray,
        batch_size: int,
        seed: int,
    ):
        self.learner, self.inputs = learner, inputs
        self.train, self.valid = train, valid
        self.batch_size, self.seed = batch_size, seed

    def plans(self, epoch: int) -> Sequence[np.ndarray]:
        """The epoch's batches as arrays of sequence numbers."""
        rng = np.random.default_rng([self.seed, epoch])
        return [self.train[b] for b in bucketed(self.inputs.lengths[self.train], self.batch_size, rng)]

    def batch(self, plan: np.ndarray) -> SequenceBatch:
        return make_batch(self.inputs, plan)

    def validate(self, learner: SequenceNetwork) -> dict[str, float]:
        """The weighted cross-entropy (`loss`), accuracy and balanced accuracy on the validation part."""
        assert self.inputs.label is not None
        logits = read_logits(learner, self.inputs, self.valid)
        label = self.inputs.label[self.valid]
        weight = self.learner.class_weight.double().cpu().numpy()
        found = probabilities(logits, 1.0, np.ones(logits.shape[1]))
        chosen = np.maximum(found[np.arange(len(label)), label], np.finfo(np.float64).tiny)
        loss = float(np.sum(-np.log(chosen) * weight[label]) / np.sum(weight[label]))
        metrics = measure(label, found, logits.argmax(1))
        return {"loss": loss, "accuracy": metrics["accuracy"], "balanced_accuracy": metrics["balanced_accuracy"]}

    def locate(self, batch: SequenceBatch) -> str:
        """The sequence, step and column of the first number that is not finite, else of the most extreme one."""
        values = batch.values.detach().float().cpu().numpy()
        if values.size == 0:
            return "a batch without any values"
        size = np.where(np.isfinite(values), np.abs(values), np.inf)
        time, place, channel = np.unravel_index(int(size.argmax()), size.shape)
        sequence = self.inputs.names[int(batch.index[place])]
        column = self.inputs.channel_names[channel]
        kind = "not finite" if not np.isfinite(values[time, place, channel]) else "the most extreme value"
        return (
            f"sequence {sequence!r}, step {time + 1}, column {column!r}: {kind} of this batch "
            f"({values[time, place, channel]:.4g} deviations from the mean)"
        )
