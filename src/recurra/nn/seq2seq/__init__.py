"""Sequence to sequence: encoder, decoder, training with and without the true tokens, generation and beam search."""

from recurra.nn.seq2seq.beam import Beams, beam_search
from recurra.nn.seq2seq.bridge import Bridge
from recurra.nn.seq2seq.cell_stack import CellStack
from recurra.nn.seq2seq.generation import Generated, Sampler, generate, greedy
from recurra.nn.seq2seq.model import Seq2Seq
from recurra.nn.seq2seq.penalties import coverage_penalty, length_penalty
from recurra.nn.seq2seq.schedules import exponential_decay, inverse_sigmoid_decay, linear_decay
from recurra.nn.seq2seq.target import Beginning, Seq2SeqOutput, TargetDecoder

__all__ = [
    "Beams",
    "Beginning",
    "Bridge",
    "CellStack",
    "Generated",
    "Sampler",
    "Seq2Seq",
    "Seq2SeqOutput",
    "TargetDecoder",
    "beam_search",
    "coverage_penalty",
    "exponential_decay",
    "generate",
    "greedy",
    "inverse_sigmoid_decay",
    "length_penalty",
    "linear_decay",
]
