"""What `recurra inspect` looks at: a model's recurrent layer with what it reads, or its classifier as a recogniser."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from recurra.analysis.automata.draw import draw_automaton
from recurra.analysis.automata.lstar import CompareOnWords, lstar
from recurra.analysis.layer_cells import cell_of_layer
from recurra.analysis.views import Subject, View
from recurra.errors import UsageError
from recurra.nn.layer import Layer

MOST_SYMBOLS, MOST_STATES, MOST_QUESTIONS = 12, 30, 20_000


def subject(estimator: Any, data: str | None, number: int | None, seed: int, sequences: int, steps: int) -> Subject:
    """The chosen layer's forward cell, and the first sequences and steps that it reads of the table."""
    layers = [module for module in estimator.network_.modules() if isinstance(module, Layer)]
    if not layers:
        raise UsageError("the model has no recurrent layer", where="inspect", need="a recurrent network")
    estimator.network_.eval()
    if data is None:
        layer = layers[0]
        x = torch.randn(min(steps, 200), sequences, layer.input_size, generator=torch.Generator().manual_seed(seed))
        lengths = torch.full((sequences,), len(x))
    else:
        layer, x, lengths = _read(estimator, layers, data)
    x, lengths = x[:steps, :sequences], lengths[:sequences].clamp(max=steps)
    cell, inputs, lengths = cell_of_layer(layer, x, lengths, number)
    place = layer.num_layers if number is None else number
    names = [f"sequence {index + 1}" for index in range(x.shape[1])]
    return Subject(cell, inputs, lengths, names, layer, x, place, seed)


def _read(estimator: Any, layers: Sequence[Layer], data: str) -> tuple[Layer, Tensor, Tensor]:
    """The first layer that reads sequences while the model predicts, with the first batch of these."""
    seen: list[tuple[Layer, Tensor, Tensor]] = []

    def look(module: Any, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        if seen:
            return
        x = given[0].detach().cpu()
        x = x.transpose(0, 1) if module.batch_first else x
        lengths = named.get("lengths")
        whole = torch.full((x.shape[1],), len(x))
        seen.append((module, x.clone(), whole if lengths is None else torch.as_tensor(lengths).cpu()))

    hooks = [layer.register_forward_pre_hook(look, with_kwargs=True) for layer in layers]
    try:
        estimator.predict(data)
    finally:
        for hook in hooks:
            hook.remove()
    if not seen:
        raise UsageError("no recurrent layer read a sequence of this table", where=data, need="a table with sequences")
    return seen[0]


def automaton(estimator: Any, data: str | None, seed: int) -> tuple[View, str]:
    """The automaton of a classifier of sequences of symbols, by L*, and its text for Graphviz."""
    network = estimator.network_
    if not hasattr(network, "logits") or data is None:
        raise UsageError(
            "no table was given" if data is None else "the model is no classifier of sequences",
            where="--what automaton",
            need="a model of the task classify, and --data with sequences of a few different steps",
        )
    values, codes, lengths = _classified(estimator, data)
    valid = torch.arange(len(values)).unsqueeze(1) < lengths
    rows = torch.cat([values, codes.to(values.dtype)], -1)[valid]
    symbols = torch.unique(rows, dim=0)
    if len(symbols) > MOST_SYMBOLS:
        raise UsageError(
            f"the table has {len(symbols)} or more different steps",
            where="--what automaton",
            need=f"at most {MOST_SYMBOLS} different steps, the symbols of a language",
        )
    alphabet = "abcdefghijkl"[: len(symbols)]
    channels = values.shape[-1]
    target = 1 if len(estimator.classes_) > 1 else 0

    def membership(words: Sequence[Sequence[str]]) -> list[bool]:
        answers: list[bool] = []
        for begin in range(0, len(words), 2048):
            part = words[begin : begin + 2048]
            sizes = torch.tensor([len(word) for word in part])
            coded = torch.zeros(max(1, int(sizes.max())), len(part), dtype=torch.long)
            for place, word in enumerate(part):
                coded[: len(word), place] = torch.tensor([alphabet.index(symbol) for symbol in word], dtype=torch.long)
            steps = symbols[coded]
            with torch.no_grad():
                logits = network.logits(steps[..., :channels], steps[..., channels:].long(), sizes)
            answers += (logits.argmax(-1) == target).tolist()
        return answers

    network.eval()
    longest = max(3, int(10 / max(1, len(symbols).bit_length() - 1)))
    search = CompareOnWords(alphabet, membership, length=longest, drawn=600, longest=30, seed=seed)
    found = lstar(alphabet, membership, search, most_states=MOST_STATES, most_questions=MOST_QUESTIONS)
    named = {letter: symbols[index].tolist() for index, letter in enumerate(alphabet)}
    accepted = str(estimator.classes_[target])
    text = f"{len(found.automaton)} states accept the class {accepted!r}, found by {found.questions} questions"
    text += "." if found.complete else "; the search was ended, so the network follows no automaton so small."
    facts = {
        "complete": found.complete,
        "questions": found.questions,
        "symbols": named,
        "class": accepted,
        "transitions": [list(row) for row in found.automaton.transitions],
        "accepting": sorted(found.automaton.accepting),
        "start": found.automaton.start,
    }
    return View(text, facts, lambda axes: draw_automaton(found.automaton, axes)), found.automaton.graphviz()


def _classified(estimator: Any, data: str) -> tuple[Tensor, Tensor, Tensor]:
    """What the classifier reads of a table, its first batch: values, codes and lengths."""
    network, seen = estimator.network_, []
    inputs = network.inputs

    def look(values: Tensor, codes: Tensor, lengths: Tensor) -> Tensor:
        seen.append((values.cpu(), codes.cpu(), lengths.cpu()))
        return inputs(values, codes, lengths)

    network.inputs = look
    try:
        estimator.predict(data)
    finally:
        del network.inputs
    return seen[0]
