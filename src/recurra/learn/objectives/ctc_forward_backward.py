"""The loss of connectionist temporal classification, by the forward-backward algorithm in log space."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from recurra.errors import ShapeError, UsageError
from recurra.learn.objectives.ctc_labels import Labels, check_blank, read_labels
from recurra.learn.objectives.places import check_counts


def ctc_loss(
    logits: Tensor,
    labels: Any,
    lengths: Any = None,
    label_lengths: Any = None,
    *,
    blank: int = 0,
    precision: torch.dtype | None = None,
) -> Tensor:
    """Minus the log-probability of each sequence's labelling, over all of its alignments with the time steps.

    Equations:
        y_t = softmax(z_t); p(l | z) = sum over paths pi with B(pi) = l of prod_t y_t(pi_t), where B merges repeated
        classes and then takes out blanks. With l' = l with a blank between all labels and at both ends, S = 2|l| + 1,
            a_t(s) = y_t(l'_s) (a_{t-1}(s) + a_{t-1}(s-1) + [l'_s is no blank and not l'_{s-2}] a_{t-1}(s-2)),
            b_t(s) = sum_r over the same moves s -> r of y_{t+1}(l'_r) b_{t+1}(r),
            p = a_T(S) + a_T(S-1), loss = -log p,
            d loss / d z_t(k) = y_t(k) - sum_{s: l'_s = k} a_t(s) b_t(s) / p.
        All sums and products are of logarithms.

    Args:
        logits: outputs before the softmax; log-probabilities serve as well, since their softmax is themselves.
        labels: class numbers without the blank, padded with -1, or a list of sequences; none at all is a labelling too.
        lengths: the steps of each sequence; all when absent. 0 is allowed.
        label_lengths: the labels of each sequence; up to the padding when absent.
        blank: the class that stands for no label.
        precision: the number format inside; that of the logits, at least 32 bits, when absent. torch.float64 keeps
            all digits over thousands of steps.

    Shapes:
        logits (time, batch, classes), labels (batch, labels), lengths and label_lengths (batch,); out (batch,), in
        nats. Where no path exists (too few steps, which `ctc_steps_needed` counts, or a class of probability 0 on all
        paths) the loss is +infinity and the gradient exactly 0. Steps past a length may hold anything, NaN included.
        First derivatives only, and no torch.func.

    Raises:
        UsageError: a label, a length or the blank is out of range.
        ShapeError: logits, labels or lengths does not fit.

    Differs from the paper: logarithms in place of rescaled probabilities; b_t(s) does not hold step t's own
    probability.

    Reference:
        A. Graves, S. Fernandez, F. Gomez, J. Schmidhuber. Connectionist temporal classification: labelling unsegmented
        sequence data with recurrent neural networks. ICML (2006) 369-376.

    Example:
        >>> import torch
        >>> logits = torch.log(torch.tensor([[[0.6, 0.4]], [[0.7, 0.3]]]))  # classes: blank, a
        >>> ctc_loss(logits, [[1]]).neg().exp()  # "aa", "-a" and "a-": 1 - 0.6 * 0.7
        tensor([0.5800])
        >>> ctc_loss(logits, [[1, 1]])  # needs three steps
        tensor([inf])
    """
    where = "ctc_loss"
    logits = check_logits(logits, where)
    steps, batch, classes = logits.shape
    blank = check_blank(blank, classes, where)
    if precision not in (None, torch.float32, torch.float64):
        raise UsageError(f"precision is {precision!r}", where=where, need="torch.float32 or torch.float64, or None")
    device = logits.device
    read = read_labels(labels, label_lengths, batch=batch, classes=classes, blank=blank, device=device, where=where)
    if lengths is None:
        lengths = torch.full((batch,), steps, device=device)
    else:
        lengths = check_counts(lengths, batch, steps, device, name="lengths", where=where)
    logits = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
    working = logits if precision is None else logits.to(precision)
    return _ForwardBackward.apply(working, read.labels, read.lengths, lengths, blank).to(logits.dtype)


def check_logits(logits: Any, where: str) -> Tensor:
    """Floating-point numbers (time, batch, classes)."""
    if not isinstance(logits, Tensor) or logits.dim() != 3 or not logits.is_floating_point():
        got = f"{logits.dtype} of shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else type(logits).__name__
        raise ShapeError(f"logits is {got}", where=where, need="floating-point numbers (time, batch, classes)")
    if logits.shape[2] == 0:
        need = "at least one class, the blank"
        raise ShapeError(f"logits has shape {tuple(logits.shape)}", where=where, need=need)
    return logits


class _Lattice:
    """The blank-extended labellings of a batch, and the moves between their places."""

    def __init__(self, read: Labels, blank: int, like: Tensor):
        batch, most = read.labels.shape
        blanks = torch.full((batch, most + 1), blank, device=like.device)
        between = torch.stack([blanks[:, :-1], read.labels], 2).reshape(batch, 2 * most)
        self.classes = torch.cat([between, blanks[:, :1]], 1)
        places = torch.arange(2 * most + 1, device=like.device)
        ends = 2 * read.lengths.unsqueeze(1)
        never = torch.full((), -torch.inf, dtype=like.dtype, device=like.device)
        zero = torch.zeros_like(never)
        self.last = torch.where((places == ends) | (places == ends - 1), zero, never)
        # Before the first step all stands on the first place: the moves of step 0 are those of any step, and a
        # sequence of no steps at all needs no case of its own.
        self.first = torch.where(places == 0, zero, never).expand(batch, -1)
        new_label = (self.classes[:, 2:] != blank) & (self.classes[:, 2:] != self.classes[:, :-2])
        self.jump = torch.where(new_label, zero, never)
        self.never = never

    def arrive(self, a: Tensor) -> Tensor:
        """What comes to each place: from itself, from the place before, and from two before where that is allowed."""
        one = torch.logaddexp(a[:, 1:], a[:, :-1])
        two = torch.logaddexp(one[:, 1:], a[:, :-2] + self.jump)
        return torch.cat([a[:, :1], one[:, :1], two], 1)

    def leave(self, b: Tensor) -> Tensor:
        """What goes on from each place: the same moves, backwards."""
        one = torch.logaddexp(b[:, :-1], b[:, 1:])
        two = torch.logaddexp(one[:, :-1], b[:, 2:] + self.jump)
        return torch.cat([two, one[:, -1:], b[:, -1:]], 1)


class _ForwardBackward(torch.autograd.Function):
    """Losses (batch,) of logits (time, batch, classes); the gradient is found on the way and kept."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor, label_lengths: Tensor, lengths: Tensor, blank: int) -> Tensor:
        steps, batch, _ = logits.shape
        within = (torch.arange(steps, device=logits.device).unsqueeze(1) < lengths).unsqueeze(2)
        # Numbers past a length may be NaN: each use of them below stands in a where() that leaves them out.
        log_probs = torch.log_softmax(logits, 2)
        lattice = _Lattice(Labels(labels, label_lengths), blank, logits)
        places = lattice.classes.shape[1]
        emitted = log_probs.gather(2, lattice.classes.expand(steps, batch, places))
        a, forward = lattice.first, []
        for t in range(steps):
            a = torch.where(within[t], lattice.arrive(a) + emitted[t], a)
            forward.append(a)
        log_p = torch.logsumexp(a + lattice.last, 1)
        if ctx.needs_input_grad[0]:
            b, backward = lattice.last, [lattice.last] * steps
            for t in range(steps - 1, 0, -1):
                b = torch.where(within[t], lattice.leave(b + emitted[t]), b)
                backward[t - 1] = b
            _keep_gradient(ctx, log_probs, lattice.classes, forward, backward, log_p, within)
        return -log_p

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, None, None, None, None]:
        gradient, feasible = ctx.saved_tensors
        # where(): an infinite loss may come with any gradient from above, 0 * infinity included.
        from_above = torch.where(feasible, grad[0], torch.zeros_like(grad[0]))
        return gradient * from_above.unsqueeze(1), None, None, None, None


def _keep_gradient(
    ctx: Any,
    log_probs: Tensor,
    classes: Tensor,
    forward: list[Tensor],
    backward: list[Tensor],
    log_p: Tensor,
    within: Tensor,
) -> None:
    """softmax - posterior, within the lengths, and 0 where there is no path."""
    feasible = log_p > -torch.inf
    feasible = feasible | log_p.isnan()  # NaN goes on: it must not look like a sequence without a path
    base = torch.where(feasible, log_p, torch.zeros_like(log_p)).reshape(1, -1, 1)
    posterior = torch.zeros_like(log_probs)
    if forward:
        occupied = torch.exp(torch.stack(forward) + torch.stack(backward) - base)
        posterior = posterior.scatter_add(2, classes.expand_as(occupied), occupied)
    wanted = within & feasible.reshape(1, -1, 1)
    ctx.save_for_backward(torch.where(wanted, torch.exp(log_probs) - posterior, 0.0), feasible)
