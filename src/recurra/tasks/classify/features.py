"""From a user's sequences to the network's input channels: standardised, filled, with masks and gaps."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.data.missing import carry_forward

if TYPE_CHECKING:
    from recurra.data.sequence_table import SequenceSet

BOUND = 10.0  # standardised values are cut here: one wild reading shall not drown the rest


@dataclass(frozen=True)
class Features:
    """How columns become channels; learned on the training part alone, and JSON-able.

    Channels, in order: every numeric feature, standardised, cut at 10 deviations, missing values carried forward (the
    mean before a sequence's first value); one mask (1 = missing) for each feature with missing values in training;
    ln(1 + gap) standardised, where times are irregular. Categories are kept apart, as codes for the embeddings.

    Attributes:
        names: all features in the order of the data's columns.
        numeric, categorical: their columns.
        levels: number of levels of each categorical feature.
        mean, scale: of each numeric feature; a constant one has scale 1.
        masked: which of `numeric` (by place) have a mask.
        gap_mean, gap_scale: of ln(1 + gap), or None where times are regular or absent.
    """

    names: tuple[str, ...]
    numeric: tuple[int, ...]
    categorical: tuple[int, ...]
    levels: tuple[int, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    masked: tuple[int, ...]
    gap_mean: float | None = None
    gap_scale: float | None = None

    @property
    def channels(self) -> int:
        return len(self.numeric) + len(self.masked) + (self.gap_mean is not None)

    @property
    def channel_names(self) -> list[str]:
        numeric = [self.names[c] for c in self.numeric]
        names = numeric + [f"{numeric[k]} missing" for k in self.masked]
        return names + ["gap"] * (self.gap_mean is not None)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, given: dict[str, Any]) -> Features:
        facts: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in given.items()}
        return cls(**facts)


def learn_features(data: SequenceSet, chosen: np.ndarray, names: list[str], levels: dict[str, list[str]]) -> Features:
    """Learn means, deviations and which features need a mask from the chosen (training) sequences."""
    categorical = [k for k, name in enumerate(names) if name in levels]
    numeric = [k for k, name in enumerate(names) if name not in levels]
    rows = np.repeat(np.isin(np.arange(len(data.offsets) - 1), chosen), np.diff(data.offsets))
    values = data.values[rows]
    mean, scale, masked = [], [], []
    for place, column in enumerate(numeric):
        seen = values[:, column]
        missing = np.isnan(seen)
        seen = seen[~missing]
        middle = float(seen.mean()) if len(seen) else 0.0
        spread = float(seen.std()) if len(seen) else 0.0
        mean.append(middle)
        scale.append(spread if spread > 1e-12 * max(1.0, abs(middle)) else 1.0)
        if missing.any():
            masked.append(place)
    gap_mean = gap_scale = None
    gap = np.log1p(np.maximum(data.gap[rows], 0.0))
    if len(gap) and gap.std() > 1e-6:
        gap_mean, gap_scale = float(gap.mean()), float(gap.std())
    return Features(
        names=tuple(names),
        numeric=tuple(numeric),
        categorical=tuple(categorical),
        levels=tuple(len(levels[names[k]]) for k in categorical),
        mean=tuple(mean),
        scale=tuple(scale),
        masked=tuple(masked),
        gap_mean=gap_mean,
        gap_scale=gap_scale,
    )


def make_channels(data: SequenceSet, features: Features) -> tuple[np.ndarray, np.ndarray]:
    """The channels (rows, channels) float32 and the category codes (rows, categories) int64 of all sequences."""
    numeric = data.values[:, list(features.numeric)]
    missing = np.isnan(numeric)
    filled = carry_forward(numeric, data.offsets, fill=np.asarray(features.mean))
    scaled = (filled - np.asarray(features.mean)) / np.asarray(features.scale)
    parts = [np.clip(scaled, -BOUND, BOUND)]
    parts.append(missing[:, list(features.masked)].astype(np.float64))
    if features.gap_mean is not None:
        gap = (np.log1p(np.maximum(data.gap, 0.0)) - features.gap_mean) / features.gap_scale
        parts.append(np.clip(gap, -BOUND, BOUND)[:, None])
    codes = np.nan_to_num(data.values[:, list(features.categorical)]).astype(np.int64)
    return np.concatenate(parts, axis=1).astype(np.float32), codes
