"""A given automaton as a second-order network, by construction and without training."""

from __future__ import annotations

import torch

from recurra.analysis.automata.dfa import DFA
from recurra.analysis.automata.recogniser import Recogniser
from recurra.cells.second_order import SecondOrderRNN
from recurra.cells.time_step import check_positive


def encode_automaton(automaton: DFA, strength: float = 16.0) -> Recogniser:
    """Write an automaton into the weights of a second-order network.

    Equations:
        one unit a state and one for the answer, all logistic, biases -H / 2, H the strength;
        for delta(q_j, a_k) = q_i: w_ijk = H, and where i is not j also w_jjk = -H; all other weights between states 0;
        for the answer unit r: w_rjk = H where q_i accepts, else -H. A start mark, the last input, moves the start to
        itself.

    A word is accepted where the answer unit ends above 1/2. Active units stay near 1 and the others near 0 on words of
    any length if H is large enough for the number of transitions that meet in one state; the least that serves is
    near 4 for few of them and grows with their logarithm.

    Args:
        automaton: any; its start becomes the first unit, which is the active one in the cell's initial state.
        strength: H.

    Shapes:
        the cell reads len(alphabet) + 1 features and has len(automaton) + 1 units, in float64.

    Raises:
        UsageError: the strength is not positive.

    Differs from the paper: the answer unit comes last, and a start mark gives the empty word an answer.

    Reference:
        C. W. Omlin, C. L. Giles. Constructing deterministic finite-state automata in recurrent neural networks. Journal
        of the ACM 43 (1996) 937-972.

    Example:
        >>> even = DFA("ab", ((1, 0), (0, 1)), {0})
        >>> encode_automaton(even).accepts(["", "aba", "abb" * 1000]).tolist()
        [True, True, True]
    """
    h = check_positive(strength, "strength", "encode_automaton")
    order = [automaton.start, *(state for state in range(len(automaton)) if state != automaton.start)]
    unit = {state: place for place, state in enumerate(order)}
    units, symbols = len(automaton) + 1, len(automaton.alphabet)
    # weight[k, i, j]: to unit i from unit j under input k.
    weight = torch.zeros(symbols + 1, units, units, dtype=torch.float64)
    moves = [
        (unit[state], code, target)
        for state, row in enumerate(automaton.transitions)
        for code, target in enumerate(row)
    ]
    for source, code, target in [*moves, (0, symbols, automaton.start)]:
        if unit[target] != source:
            weight[code, source, source] = -h
        weight[code, unit[target], source] = h
        weight[code, units - 1, source] = h if target in automaton.accepting else -h
    cell = SecondOrderRNN(symbols + 1, units, dtype=torch.float64)
    with torch.no_grad():
        cell.weight_hh.copy_(weight.flatten(0, 1))
        assert cell.bias_ih is not None
        cell.bias_ih.fill_(-h / 2)
    return Recogniser(cell, lambda y: y[:, -1] - 0.5, automaton.alphabet)
