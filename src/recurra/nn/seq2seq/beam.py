"""Beam search over any step function, all sequences and all beams at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from recurra.cells.base import check_size
from recurra.cells.state import map_state
from recurra.errors import UsageError
from recurra.nn.seq2seq.generation import Step, check_log_probs, first_tokens
from recurra.nn.seq2seq.penalties import coverage_penalty, length_penalty
from recurra.types import State


class Beams(NamedTuple):
    """The best hypotheses of each sequence, best first.

    Attributes:
        tokens: (batch, n_best, time); the end token is the last one, padding follows it.
        lengths: tokens of each hypothesis, the end token among them, (batch, n_best); 0 where there are fewer
            hypotheses.
        scores: what they are ordered by, (batch, n_best); -inf where there are fewer hypotheses.
        log_probs: log-probability of each hypothesis, (batch, n_best).
        finished: whether it ended by itself; False where it was cut, (batch, n_best).
        alignments: (batch, n_best, time, memory_time) where they were asked for, else None.
    """

    tokens: Tensor
    lengths: Tensor
    scores: Tensor
    log_probs: Tensor
    finished: Tensor
    alignments: Tensor | None


class _Ended(NamedTuple):
    """Hypotheses that are complete, best first: where each one's last token stands, (batch, width) each."""

    scores: Tensor
    log_probs: Tensor
    step: Tensor
    slot: Tensor


class _Trail(NamedTuple):
    """What was chosen at one step, (batch, width) each: the token, the beam it continues, where that attended."""

    token: Tensor
    parent: Tensor
    alignment: Tensor | None


@torch.no_grad()
def beam_search(
    step: Step,
    state: State,
    *,
    begin: int | Tensor,
    end: int,
    width: int,
    max_steps: int,
    n_best: int = 1,
    padding: int | None = None,
    alpha: float = 0.0,
    beta: float = 0.0,
    alignment: Callable[[State], Tensor] | None = None,
    within: Tensor | None = None,
) -> Beams:
    """Search the most probable sequences, keeping the `width` best beginnings at each step.

    Equations:
        score(Y) = log P(Y) / lp(Y) + cp(X, Y), with `length_penalty` lp(alpha) and `coverage_penalty` cp(beta).

    At each step the most probable continuations of a sequence's beams are kept, as many as hypotheses of it have not
    ended; those that end leave the beam. A sequence is done when `width` hypotheses have ended, or when no beginning
    can come to a better score than the `n_best` that have. Width 1 is greedy search. Hypotheses that are cut at
    max_steps come after those that ended.

    Args:
        step: takes tokens (batch * width,) and a state with as many rows, returns log-probabilities (batch * width,
            vocabulary), none above 0, and the next state. The beams of one sequence stand in a row: what else the step
            reads of a sequence, it repeats with `repeat_interleave(width, 0)`.
        state: the first state, tensors (batch, ...) nested as one likes; it is repeated here.
        begin: the token before the first one; one for all, or (batch,).
        end: the token that ends a hypothesis.
        width: beams of a sequence.
        max_steps: tokens at most.
        n_best: hypotheses to return, at most width.
        padding: what follows the end token; the end token when absent.
        alpha: strength of the length penalty, from 0 on.
        beta: strength of the coverage penalty, from 0 on; needs `alignment`.
        alignment: takes a state, returns where it attended, (batch * width, memory_time); then alignments are returned.
        within: False in the source's padding, (batch, memory_time), for the coverage; all counts when absent.

    Returns:
        `Beams`.

    Raises:
        UsageError: an argument is out of range, or the batch cannot be told.
        TrainingError: the step gives NaN.

    Differs from the paper: both penalties order complete hypotheses; beginnings are ordered by probability alone, and
    nothing is pruned by a distance to the best one.

    Reference:
        I. Sutskever, O. Vinyals, Q. V. Le. Sequence to sequence learning with neural networks. NIPS (2014) 3104-3112.
        Y. Wu et al. Google's neural machine translation system: bridging the gap between human and machine translation.
        arXiv:1609.08144 (2016).

    Example:
        >>> import torch
        >>> table = torch.log(torch.tensor([[0.0, 0.6, 0.4], [0.5, 0.2, 0.3], [0.0, 0.0, 1.0]]))
        >>> step = lambda tokens, state: (table[tokens], state)
        >>> found = beam_search(step, (), begin=torch.tensor([0]), end=2, width=3, max_steps=4, n_best=2)
        >>> found.tokens[0].tolist(), found.log_probs[0].exp()
        ([[2, 2], [1, 2]], tensor([0.4000, 0.1800]))
    """
    for name, size in (("width", width), ("max_steps", max_steps), ("n_best", n_best)):
        check_size(size, name, "beam_search")
    if n_best > width:
        raise UsageError(f"n_best is {n_best}", where="beam_search", need=f"at most {width}, the width")
    for name, strength in (("alpha", alpha), ("beta", beta)):
        if not strength >= 0:
            raise UsageError(f"{name} is {strength!r}", where="beam_search", need="a number from 0 on")
    if beta and alignment is None:
        need = "`alignment`, which says where a state attended, for a coverage penalty"
        raise UsageError(f"beta is {beta!r} and alignment is None", where="beam_search", need=need)
    first = first_tokens(begin, state, "beam_search")
    batch, device = first.shape[0], first.device
    tokens = first.repeat_interleave(width)
    state = map_state(lambda part: part.repeat_interleave(width, 0), state)
    rank = torch.arange(width, device=device).expand(batch, width)
    done = torch.zeros(batch, dtype=torch.bool, device=device)
    ended: _Ended | None = None
    trail: list[_Trail] = []
    live = coverage = None
    for number in range(max_steps):
        log_probs, state = step(tokens, state)
        if live is None:
            # All beams are the same at first: only one of them counts.
            live = torch.where(rank == 0, 0.0, -torch.inf).to(log_probs.dtype)
            nothing = torch.zeros_like(rank)
            ended = _Ended(torch.full_like(live, -torch.inf), torch.full_like(live, -torch.inf), nothing, nothing)
        assert ended is not None
        check_log_probs(log_probs, live > -torch.inf, "beam_search")
        reached, parent, token = _continue(live, log_probs)
        attended = None
        if alignment is not None:
            attended = _pick(alignment(state).unflatten(0, (batch, width)), parent)
            coverage = attended if coverage is None else _pick(coverage, parent) + attended
        open_places = width - (ended.scores > -torch.inf).sum(1, keepdim=True)
        kept = (reached > -torch.inf) & (rank < open_places) & ~done.unsqueeze(1)
        score = reached / length_penalty(number + 1, alpha)
        if beta and coverage is not None:
            counted = torch.ones_like(coverage, dtype=torch.bool) if within is None else within.unsqueeze(1)
            score = score + coverage_penalty(coverage, counted, beta)
        ends = kept & (token == end)
        ended = _join(ended, ends, score, reached, number, rank)
        live = torch.where(kept & ~ends, reached, -torch.inf)
        trail.append(_Trail(token, parent, attended))
        # What a beginning can still come to: its probability only falls, and no penalty helps it more than this one.
        best = live.amax(1) / length_penalty(max_steps, alpha)
        done = done | (best == -torch.inf) | (ended.scores[:, n_best - 1] >= best)
        live = torch.where(done.unsqueeze(1), -torch.inf, live)
        if bool(done.all()):
            break
        state = _reorder(state, parent)
        tokens = torch.where(live > -torch.inf, token, end).reshape(-1)
    assert ended is not None and live is not None
    cut = live > -torch.inf
    both = _Ended(
        torch.cat([ended.scores, torch.where(cut, score, -torch.inf)], 1),
        torch.cat([ended.log_probs, live], 1),
        torch.cat([ended.step, torch.full_like(rank, len(trail) - 1)], 1),
        torch.cat([ended.slot, rank], 1),
    )
    by_itself = torch.cat([ended.scores > -torch.inf, torch.zeros_like(cut)], 1)
    order = both.scores.argsort(dim=1, descending=True, stable=True)
    order = order.gather(1, by_itself.gather(1, order).long().argsort(dim=1, descending=True, stable=True))[:, :n_best]
    chosen = _Ended(*(part.gather(1, order) for part in both))
    return _trace(chosen, by_itself.gather(1, order), trail, end if padding is None else padding)


def _continue(live: Tensor, log_probs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The best continuations of each sequence, best first: log-probability, beam and token, (batch, width) each."""
    vocabulary = log_probs.shape[-1]
    # where(): a beam that counts no more may hold anything, NaN included.
    every = live.unsqueeze(-1) + log_probs.unflatten(0, live.shape)
    every = torch.where(live.unsqueeze(-1) > -torch.inf, every, -torch.inf)
    reached, place = every.flatten(1).topk(live.shape[1], dim=1)
    return reached, place // vocabulary, place % vocabulary


def _pick(part: Tensor, index: Tensor) -> Tensor:
    """part (batch, width, steps) at the beams `index` (batch, width)."""
    return part.gather(1, index.unsqueeze(-1).expand(-1, -1, part.shape[-1]))


def _reorder(state: State, parent: Tensor) -> State:
    """The states of the beams `parent` (batch, width); in a state batch and width are one dimension."""
    first = torch.arange(parent.shape[0], device=parent.device).unsqueeze(1) * parent.shape[1]
    rows = (first + parent).reshape(-1)
    return map_state(lambda part: part.index_select(0, rows), state)


def _join(ended: _Ended, ends: Tensor, score: Tensor, log_probs: Tensor, number: int, rank: Tensor) -> _Ended:
    """Take in what ends at this step; no more than width end in all, so nothing is lost."""
    new = _Ended(torch.where(ends, score, -torch.inf), log_probs, torch.full_like(rank, number), rank)
    both = [torch.cat(pair, 1) for pair in zip(ended, new, strict=True)]
    scores, order = both[0].topk(rank.shape[1], dim=1)
    return _Ended(scores, *(part.gather(1, order) for part in both[1:]))


def _trace(chosen: _Ended, by_itself: Tensor, trail: list[_Trail], padding: int) -> Beams:
    """Go back from each hypothesis' last token to its first."""
    there = chosen.scores > -torch.inf
    slot = chosen.slot
    tokens, alignments = [], []
    for number in reversed(range(len(trail))):
        inside = there & (number <= chosen.step)
        token, parent, alignment = trail[number]
        tokens.append(torch.where(inside, token.gather(1, slot), padding))
        if alignment is not None:
            alignments.append(_pick(alignment, slot) * inside.unsqueeze(-1))
        slot = torch.where(inside, parent.gather(1, slot), slot)
    lengths = (chosen.step + 1) * there
    longest = int(lengths.max()) if lengths.numel() else 0
    log_probs = torch.where(there, chosen.log_probs, -torch.inf)
    return Beams(
        torch.stack(tokens[::-1], 2)[..., :longest],
        lengths,
        chosen.scores,
        log_probs,
        by_itself,
        torch.stack(alignments[::-1], 2)[:, :, :longest] if alignments else None,
    )
