"""Tomita's seven grammars: learned by second-order networks, and read back as their smallest automata.

    python studies/tomita.py [--quick] [--seeds N] [--grammar N] [--json FILE]

Published (Giles, Miller, Chen, Chen, Sun and Lee 1992): second-order networks learn Tomita's grammars from short
words, and the automata extracted from them, minimised, are those of the grammars. Extraction by questions (Weiss,
Goldberg and Yahav 2018) found the automata of all seven within seconds.

A second-order network of 12 units learns from all words of length 0 to 10 and from 1000 words of length 11 to 30, half
of which belong to the language: first the words of up to 3 symbols, then those of up to 5, 7, 10 and 30, each set until
every word in it is right by a margin or the epochs of the stage are over. Then

- L* asks the network about words; its equivalence question is answered by all words of up to 10 symbols and 1500
  longer ones, of which two thirds are drawn from what the automaton accepts or are one symbol away from it. What is
  found counts if it is the grammar's smallest automaton, state for state.
- Accuracy is given on balanced words of length 90 to 100: half belong to the language, and of the others most are one
  symbol away from a word that does. (Of words of that length drawn evenly, grammars 1, 2, 3, 4 and 7 reject nearly
  all: a network that always says no would be right on them.)
- Beside it, the automaton from the clusters of the network's states, with 30 clusters.

Asked is that at least 19 of 21 networks (3 seeds of 7 grammars) give the smallest automaton. A network is taken as it
is after its last update; none is trained again. The stages, the rate of learning and the first weights were chosen on
seeds 100 and 101: all words at once and weights within 0.3 failed there on grammars 5, 6 and 7.

What differs from the papers: Adam on batches of up to 128 words, where Giles et al. learned word by word and took in
more words as they went; a start mark and a logistic readout; longer words.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

import torch
from _data import Claim, claim, finish, parser, threads
from torch import nn
from torch.nn import functional as F

from recurra.analysis.automata.clustering import extract_by_clustering
from recurra.analysis.automata.lstar import CompareOnWords, lstar
from recurra.analysis.automata.recogniser import Recogniser
from recurra.cells import SecondOrderRNN
from recurra.problems.tomita import balanced_words, tomita_automaton, training_words
from recurra.unroll import unroll

UNITS, BATCH, EPOCHS, RATE = 12, 128, 60, 0.01
STAGES = (3, 5, 7, 10, 30)
"""Greatest lengths of the words learned from, one after another."""
DONE = 0.02
"""The largest loss of any word at which a stage is over."""


@dataclass(frozen=True)
class Told:
    """What one network gave."""

    learned: bool
    clustered: bool
    states: int
    questions: int
    accuracy: float


def train(grammar: int, seed: int, epochs: int) -> Recogniser:
    """A network that has learned from the words of a grammar."""
    torch.manual_seed(seed)
    automaton = tomita_automaton(grammar)
    cell = SecondOrderRNN(3, UNITS)
    read = nn.Linear(UNITS, 1)
    with torch.no_grad():
        cell.weight_hh.uniform_(-1, 1)
    network = Recogniser(cell, read, "01")
    words = training_words(automaton, seed=seed)
    labels = torch.from_numpy(automaton.accepts_many(words)).float()
    x, lengths = network.inputs(words)
    # Both answers weigh the same, however rare one of them is.
    weight = torch.where(labels > 0, 0.5 / labels.mean(), 0.5 / (1 - labels.mean()))
    parameters = [*cell.parameters(), *read.parameters()]
    optimiser = torch.optim.Adam(parameters, RATE)
    for longest in STAGES:
        inside = (lengths <= longest + 1).nonzero().flatten()
        size = BATCH if len(inside) > 1000 else BATCH // 4
        for group in optimiser.param_groups:
            group["lr"] = RATE
        for epoch in range(epochs):
            if longest == STAGES[-1]:
                for group in optimiser.param_groups:
                    group["lr"] = RATE * (1 - epoch / epochs)
            # Batches of words of about one length; which words go together changes with the epoch.
            batches = inside[(lengths[inside] + 2 * torch.rand(len(inside))).argsort()].split(size)
            worst = 0.0
            for index in torch.randperm(len(batches)).tolist():
                rows = batches[index]
                most = int(lengths[rows].max())
                y, _ = unroll(cell, x[:most, rows], lengths=lengths[rows])
                scores = read(y[lengths[rows] - 1, torch.arange(len(rows))]).squeeze(1)
                losses = F.binary_cross_entropy_with_logits(scores, labels[rows], reduction="none")
                worst = max(worst, float(losses.detach().max()))
                optimiser.zero_grad()
                (losses * weight[rows]).mean().backward()
                nn.utils.clip_grad_norm_(parameters, 1.0)
                optimiser.step()
            if worst < DONE:
                break
    return network


def study(grammar: int, seed: int, epochs: int) -> Told:
    """One network: trained, asked, and judged on balanced words."""
    automaton = tomita_automaton(grammar)
    begun = time.monotonic()
    network = train(grammar, seed, epochs)
    trained = time.monotonic() - begun
    learned = lstar("01", network.accepts, CompareOnWords("01", network.accepts, seed=seed), most_states=60)
    words, accepted = balanced_words(automaton, 1000, (90, 100), seed=seed)
    accuracy = float((network.accepts(words) == accepted).mean())
    clustered = extract_by_clustering(network, 30, depth=10, seed=seed).automaton
    told = Told(
        learned.complete and learned.automaton == automaton,
        clustered == automaton,
        len(learned.automaton),
        learned.questions,
        accuracy,
    )
    asked = time.monotonic() - begun - trained
    print(
        f"grammar {grammar}, seed {seed}: {told.states} states of {len(automaton)} by L*"
        f"{'' if told.learned else ' (not the grammar)'}, {told.questions} questions; by clusters "
        f"{'the grammar' if told.clustered else 'another'}; balanced accuracy {accuracy:.4f} "
        f"({trained:.0f} + {asked:.0f} s)",
        flush=True,
    )
    return told


def main(arguments: list[str] | None = None) -> int:
    made = parser(__doc__ or "", seeds=3)
    made.add_argument("--grammar", type=int, choices=range(1, 8), help="this grammar alone")
    options = made.parse_args(arguments)
    threads(1)
    grammars = [options.grammar] if options.grammar else [1, 4] if options.quick else list(range(1, 8))
    seeds, epochs = (1, 12) if options.quick else (options.seeds, EPOCHS)
    told = {(grammar, seed): study(grammar, seed, epochs) for grammar in grammars for seed in range(seeds)}
    every = list(told.values())
    whole = options.grammar is None and seeds == 3 and not options.quick
    claims: list[Claim] = [
        claim(
            f"smallest automaton by L*, networks of {len(every)}",
            "all seven (Weiss 2018)",
            ">= 19" if whole else "report",
            sum(each.learned for each in every),
            options.quick,
        ),
        claim(
            f"smallest automaton by clustering, networks of {len(every)}",
            "not given",
            "report",
            sum(each.clustered for each in every),
            options.quick,
        ),
    ]
    for grammar in grammars:
        mean = sum(told[grammar, seed].accuracy for seed in range(seeds)) / seeds
        text = f"grammar {grammar}: accuracy on balanced words of 90 to 100"
        claims.append(claim(text, "not given", "report", mean, options.quick))
    return finish("Tomita's grammars", claims, options.json)


if __name__ == "__main__":
    sys.exit(main())
