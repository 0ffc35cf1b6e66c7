"""What is chosen where the user says nothing: sizes, epochs, class weights, parts; and the order of the batches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recurra.settings import ModelSettings, TrainSettings

UNBALANCED = 2.0  # largest class over smallest, from which rare classes are weighted up
HEAVIEST = 20.0  # bound on the weight of a class relative to the most frequent one
LARGE = 2000  # training sequences from which the network is larger and less regularised
MOST_STEPS = 60_000_000  # bound on the time steps of a whole training
MOST_BATCH_STEPS = 1 << 17  # bound on the padded steps of a batch in training
LONGEST_CHUNK = 8  # batches whose sequences are sorted by length together


@dataclass(frozen=True)
class Plan:
    """The resolved choices of one training run."""

    cell: str
    layers: int
    hidden_size: int
    bidirectional: bool
    dropout: float
    noise: float
    mixing: float
    epochs: int
    batch_size: int
    learning_rate: float
    patience: int


def choose(model: ModelSettings, train: TrainSettings, lengths: np.ndarray) -> Plan:
    """Choices from the lengths of the training sequences; what the user set is kept.

    The defaults for small data (a gated recurrent unit, noise on the inputs, mixing) were chosen by cross-validation
    within the 270 training sequences of the Japanese Vowels data: see studies/japanese_vowels.py. From 2000 sequences
    on, regularisation gives way to a larger network. Epochs are bounded so that the work stays bounded as data grow,
    and the batch so that its memory does as sequences grow long.
    """
    sequences, steps, longest = max(1, len(lengths)), max(1, int(lengths.sum())), max(1, int(lengths.max(initial=1)))
    small = sequences < LARGE
    whole = train.rule.strip().lower() == "bptt"  # other rules cut sequences in time, which one direction allows
    batch = int(np.clip(2 ** round(np.log2(sequences / 16)), 8, 128))
    batch = train.batch_size or max(1, min(batch, MOST_BATCH_STEPS // longest))
    per_epoch = -(-sequences // batch)
    epochs = train.epochs or int(np.clip(min(6000 // per_epoch, MOST_STEPS // steps), 10, 60))
    return Plan(
        cell=model.cell or "gru",
        layers=model.layers or 1,
        hidden_size=model.hidden_size or (64 if small else 128),
        bidirectional=model.bidirectional if model.bidirectional is not None else whole,
        dropout=model.dropout if model.dropout is not None else (0.3 if small else 0.2),
        noise=0.5 if small else 0.1,
        mixing=1.0 if small else 0.2,
        epochs=epochs,
        batch_size=batch,
        learning_rate=train.learning_rate if train.learning_rate is not None else (3e-3 if small else 2e-3),
        patience=train.patience or max(5, epochs // 3),
    )


def class_weights(label: np.ndarray, classes: int, balance: bool) -> tuple[np.ndarray, float]:
    """Weights of the loss, mean 1 over sequences, and the imbalance (largest over smallest class).

    Inverse to a class's frequency, at most 20 times that of the most frequent class; all 1 where classes are
    balanced (imbalance below 2) or weights are not wanted.
    """
    counts = np.bincount(label, minlength=classes).astype(np.float64)
    there = counts > 0
    imbalance = float(counts.max() / counts[there].min())
    if not balance or imbalance < UNBALANCED:
        return np.ones(classes), imbalance
    weight = np.minimum(counts.max() / np.maximum(counts, 1.0), HEAVIEST)
    return weight * counts.sum() / (weight * counts).sum(), imbalance


def bucketed(lengths: np.ndarray, batch_size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """An epoch's batches: a shuffle, then sequences of about the same length side by side, then batches shuffled.

    Sorting happens within chunks of 8 batches and by a length blurred by 20 %, so that batches differ from epoch to
    epoch also where data are few.
    """
    order = rng.permutation(len(lengths))
    blurred = lengths * rng.uniform(0.8, 1.2, len(lengths))
    batches: list[np.ndarray] = []
    span = batch_size * LONGEST_CHUNK
    for start in range(0, len(order), span):
        chunk = order[start : start + span]
        chunk = chunk[np.argsort(blurred[chunk], kind="stable")]
        batches += [chunk[k : k + batch_size] for k in range(0, len(chunk), batch_size)]
    return [batches[k] for k in rng.permutation(len(batches))]


def by_size(lengths: np.ndarray, batch_size: int, cells: int = 1 << 18) -> list[np.ndarray]:
    """Batches for reading without training: sorted by length, at most `cells` padded steps each."""
    order = np.argsort(lengths, kind="stable")
    batches, start = [], 0
    while start < len(order):
        stop = min(start + batch_size, len(order))
        while stop - start > 1 and int(lengths[order[stop - 1]]) * (stop - start) > cells:
            stop = start + (stop - start) // 2
        batches.append(order[start:stop])
        start = stop
    return batches
