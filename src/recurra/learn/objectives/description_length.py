"""Description length in bits: of sequences under a model that predicts them, and of the model with them."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from recurra.errors import UsageError
from recurra.learn.objectives.cross_entropy import CrossEntropy
from recurra.learn.objectives.label_model import LabelModel

NUMBER_BITS = 32
"""What one number costs that the receiver needs beforehand, in single precision."""

# Below this width, in standard deviations, the density times the width is closer than a difference of two integrals,
# unless the density falls by much over the width, which is far out only.
NARROW, FALL = 1e-5, 0.1


def sequence_bits(logits: Tensor, target: Tensor, lengths: Any = None, mask: Any = None) -> Tensor:
    """The length of each sequence of classes, coded with a network's predictions.

    Equations:
        bits = -sum over counted steps t of log2 softmax(z_t)_{d_t}: what an arithmetic coder needs, up to 2 bits.

    Args:
        logits: outputs before the softmax; those of step t must come from what was before d_t alone.
        target: d, whole numbers; -100 is no signal and costs nothing.
        lengths, mask: as in `CrossEntropy`.

    Shapes:
        logits (time, batch, classes), target (time, batch), lengths (batch,); out (batch,), in bits.

    Raises:
        UsageError, ShapeError: as `CrossEntropy` does.

    Reference:
        C. E. Shannon. A mathematical theory of communication. Bell System Technical Journal 27 (1948) 379-423.

    Example:
        >>> import torch
        >>> sequence_bits(torch.zeros(3, 2, 8), torch.zeros(3, 2, dtype=torch.long), lengths=[3, 1])
        tensor([9., 3.])
    """
    nats = CrossEntropy("sequence").loss_of_sequences(logits, target, lengths, mask)
    return nats / math.log(2)


def labelling_bits(labels: Sequence[int], model: LabelModel) -> float:
    """The length of one labelling, coded with a model of labellings.

    Equations:
        bits = -sum_i log2 p(l_i | l_1 ... l_{i-1}) - log2 p(end | l).

    Args:
        labels: the labelling.
        model: an `NGram`, say.

    Example:
        >>> from recurra.learn.objectives import train_ngram
        >>> model = train_ngram([[1, 2, 1, 2]] * 50, 3, order=2, smoothing="witten-bell", ends=False)
        >>> labelling_bits([1, 2, 1, 2], model) < 1 < labelling_bits([2, 2, 1, 1], model)
        True
    """
    state, nats = model.begin(), 0.0
    for label in labels:
        nats -= float(model.log_probs(state)[label])
        state = model.advance(state, label)
    return (nats - model.end(state)) / math.log(2)


def gaussian_bits(value: Tensor, mean: Tensor | float, deviation: Tensor | float, resolution: float) -> Tensor:
    """The length of real numbers that are kept to a resolution, coded under normal distributions.

    Equations:
        bits = -log2 (F((x + r/2 - m) / s) - F((x - r/2 - m) / s)), F the standard normal distribution, x the value, m
        the mean, s the standard deviation, r the resolution.

    Args:
        value: x, multiples of the resolution (measurements in steps of 0.1, say).
        mean, deviation: m and s, from a predictive model that has not seen x; s is positive.
        resolution: r, positive.

    Shapes:
        value, mean and deviation of shapes that broadcast together, which is that of the result, in bits; float64.

    Raises:
        UsageError: the resolution or a deviation is not positive.

    Example:
        >>> import torch
        >>> bits = gaussian_bits(torch.tensor([0.0, 3.0]), 0.0, 1.0, resolution=0.01)
        >>> [round(float(each), 3) for each in bits]
        [7.97, 14.462]
    """
    where = "gaussian_bits"
    if not resolution > 0:
        raise UsageError(f"resolution is {resolution!r}", where=where, need="a positive number")
    spread = torch.as_tensor(deviation, dtype=torch.float64)
    if not bool((spread > 0).all()):
        raise UsageError(f"deviation holds {float(spread.min())!r}", where=where, need="positive numbers")
    distance = (torch.as_tensor(value).double() - torch.as_tensor(mean, dtype=torch.float64)).abs() / spread
    half = torch.as_tensor(resolution / 2, dtype=torch.float64) / spread
    # On the side below the mean the logarithms of F keep their digits far out.
    upper, lower = (torch.special.log_ndtr(half - distance), torch.special.log_ndtr(-half - distance))
    between = upper + torch.log(-torch.expm1(lower - upper))
    curved = torch.log1p((2 * half) ** 2 * (distance**2 - 1) / 24)
    density = -0.5 * distance**2 - 0.5 * math.log(2 * math.pi) + torch.log(2 * half) + curved
    narrow = (2 * half < NARROW) & (2 * half * distance < FALL)
    return -torch.where(narrow, density, between) / math.log(2)


def parameter_bits(parameters: int, observations: int) -> float:
    """What fitted parameters cost when each is kept as precisely as the data can tell.

    Equations:
        bits = (k / 2) log2 n for k parameters fitted to n observations, up to terms that do not grow with n.

    Args:
        parameters: k.
        observations: n, at least 1.

    Raises:
        UsageError: a number is out of range.

    Reference:
        J. Rissanen. Modeling by shortest data description. Automatica 14 (1978) 465-471.

    Example:
        >>> parameter_bits(10, 1024)
        50.0
    """
    for name, value, least in (("parameters", parameters, 0), ("observations", observations, 1)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            need = f"a whole number from {least}"
            raise UsageError(f"{name} is {value!r}", where="parameter_bits", need=need)
    return parameters / 2 * math.log2(observations)


def round_weights(module: nn.Module, step: float) -> nn.Module:
    """A copy of a module whose weights are multiples of `step`: what the receiver of a two-part code has.

    Args:
        module: the model.
        step: the distance between two values that a weight may have, positive.

    Raises:
        UsageError: step is not positive.

    Example:
        >>> from torch import nn
        >>> layer = nn.Linear(1, 1, bias=False)
        >>> _ = nn.init.constant_(layer.weight, 0.3)
        >>> round_weights(layer, 0.25).weight.item()
        0.25
    """
    _check_step(step, "round_weights")
    rounded = copy.deepcopy(module)
    with torch.no_grad():
        for weight in rounded.parameters():
            weight.copy_(torch.round(weight / step) * step)
    return rounded


class TwoPartLength(NamedTuple):
    """The length of a two-part code, in bits.

    Attributes:
        model: of the model's weights.
        data: of the data given the model.
    """

    model: float
    data: float

    @property
    def total(self) -> float:
        """Both parts."""
        return self.model + self.data


def two_part_length(module: nn.Module, data_bits: Tensor | float, step: float) -> TwoPartLength:
    """The length of a model and of data coded with it: the smaller, the more the model has found in the data.

    Equations:
        model = 2 * 32 + sum over weights of gaussian_bits(w, 0, s, step), s the root mean square of the weights; the
        receiver is told s and the step first. data = the sum of the data's bits.

    Args:
        module: the model; its weights are multiples of `step`, as `round_weights` makes them.
        data_bits: lengths of the data under this very module, from `sequence_bits` or `gaussian_bits`.
        step: the distance between two values that a weight may have, positive.

    Raises:
        UsageError: step is not positive, or a weight is no multiple of it.

    Reference:
        J. Rissanen. Modeling by shortest data description. Automatica 14 (1978) 465-471.
        G. E. Hinton, D. van Camp. Keeping neural networks simple by minimizing the description length of the weights.
        COLT (1993) 5-13, for weights coded under a Gaussian.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> layer = nn.Linear(1, 1, bias=False)
        >>> _ = nn.init.constant_(layer.weight, 0.25)
        >>> length = two_part_length(layer, torch.tensor([9.0, 3.0]), step=0.25)
        >>> length.data, round(length.model, 2)
        (12.0, 66.05)
    """
    where = "two_part_length"
    _check_step(step, where)
    parts = [weight.detach().double().flatten().cpu() for weight in module.parameters()]
    weights = torch.cat(parts) if parts else torch.zeros(0, dtype=torch.float64)
    multiples = weights / step
    # Weights are stored in single precision, most often: a multiple is one up to that.
    strange = (multiples - torch.round(multiples)).abs() > 1e-6 * multiples.abs().clamp_min(1.0)
    if bool(strange.any()):
        given = f"a weight is {float(weights[strange][0]):.6g}"
        cure = "measure the data's bits with round_weights(module, step), and give that module"
        raise UsageError(given, where=where, need=f"multiples of the step, {step:g}", cure=cure)
    bits = 2.0 * NUMBER_BITS
    spread = float(weights.square().mean().sqrt()) if len(weights) else 0.0
    if spread:
        bits += float(gaussian_bits(weights, 0.0, spread, step).sum())
    data = torch.as_tensor(data_bits, dtype=torch.float64)
    if bool(data.isnan().any()):
        raise UsageError("data_bits holds NaN", where=where, need="lengths in bits")
    return TwoPartLength(bits, float(data.sum()))


def _check_step(step: Any, where: str) -> None:
    if isinstance(step, bool) or not isinstance(step, int | float) or not 0 < step < math.inf:
        raise UsageError(f"step is {step!r}", where=where, need="a positive number")
