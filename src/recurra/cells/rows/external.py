"""Cells with an external memory."""

from __future__ import annotations

from recurra.cells.entry import CellEntry

ROWS = (
    CellEntry("ntm", "recurra.cells.external.ntm:NTM", "neural Turing machine", "Graves et al. 2014"),
    CellEntry("dnc", "recurra.cells.external.dnc:DNC", "differentiable neural computer", "Graves et al. 2016"),
    CellEntry(
        "stack_rnn",
        "recurra.cells.external.stack_rnn:StackRNN",
        "stack-augmented recurrent network",
        "Joulin & Mikolov 2015",
    ),
    CellEntry(
        "neural_stack",
        "recurra.cells.external.neural_stack:NeuralStack",
        "neural stack, rows of continuous strength",
        "Grefenstette et al. 2015",
    ),
    CellEntry(
        "neural_queue",
        "recurra.cells.external.neural_stack:NeuralStack",
        "neural queue, rows of continuous strength",
        "Grefenstette et al. 2015",
        (("kind", "queue"),),
    ),
    CellEntry(
        "neural_deque",
        "recurra.cells.external.neural_stack:NeuralStack",
        "neural deque, rows of continuous strength",
        "Grefenstette et al. 2015",
        (("kind", "deque"),),
    ),
    CellEntry(
        "pushdown_automaton",
        "recurra.cells.external.pushdown:PushdownAutomaton",
        "pushdown automaton, third order and a continuous stack",
        "Sun et al. 1993",
    ),
)
