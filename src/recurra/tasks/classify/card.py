"""The model card of a classifier, in Markdown: what it is, how good, where it fails, how to use it."""

from __future__ import annotations

from typing import Any

from recurra.tasks.classify.baselines import EXPLAINED
from recurra.tasks.classify.verdict import WORDS
from recurra.types import Judgement


def write_card(facts: dict[str, Any], judgement: Judgement | None) -> str:
    """Put the card together.

    Args:
        facts: "cell", "layers", "hidden_size", "bidirectional", "parameters", "classes", "features", "columns" (the
            schema's sequence, time and label columns), "counts" (training sequences a class), "parts" (sequences a
            part), "lengths" (shortest, median, longest), "temperature", "weighted", "missing", "irregular".
        judgement: the verdict on held-out data; None where there was none.
    """
    layers = f"{facts['layers']} layer" + "s" * (facts["layers"] != 1)
    direction = "both directions" if facts["bidirectional"] else "one direction"
    classes = ", ".join(f"`{name}` ({count})" for name, count in zip(facts["classes"], facts["counts"], strict=True))
    low, middle, high = facts["lengths"]
    lines = [
        "# Sequence classifier",
        "",
        judgement.headline if judgement else "This model was not judged on held-out data.",
        "",
        "## What it is",
        "",
        f"A recurrent network (cell `{facts['cell']}`, {layers} of {facts['hidden_size']} units, "
        f"{direction}, {facts['parameters']:,} parameters) that reads a whole sequence and gives a probability for "
        f"each of {len(facts['classes'])} classes. The probabilities are calibrated with temperature "
        f"{facts['temperature']:.3f}.",
        "",
        "## What it was trained on",
        "",
        f"- Classes, with their training sequences: {classes}.",
        f"- Features: {', '.join(f'`{name}`' for name in facts['features'])}.",
        f"- Sequences: {facts['parts']['train']} for training, {facts['parts']['valid']} for validation, "
        f"{facts['parts']['test']} held out for the verdict.",
        f"- Lengths from {low} to {high} steps, median {middle}.",
    ]
    if facts["missing"]:
        lines.append(
            f"- Missing values in {', '.join(f'`{n}`' for n in facts['missing'])}: the last value is carried forward, "
            "and the network is told."
        )
    if facts["irregular"]:
        lines.append("- Times are irregular: the network reads the gap to the previous step.")
    if judgement is not None:
        lines += ["", "## How good it is", "", *_table(judgement), "", *(f"{s}" for s in judgement.sentences)]
    lines += ["", "## Limits", ""]
    lines += [f"- {text}" for text in (judgement.warnings if judgement else [])]
    lines += [
        "- It can only choose among the classes above; a sequence of another kind gets one of them all the same.",
        "- The figures hold for data like the training data: measure again (`recurra evaluate`) when they change.",
    ]
    if facts["weighted"]:
        lines.append(
            "- Rare classes were weighted up: the predicted class is the one with the largest probability times class "
            "weight, which need not be the most probable one. Probabilities are for classes as frequent as in training."
        )
    lines += [
        "",
        "## How to use it",
        "",
        "```",
        "recurra predict THIS_FOLDER new_data.csv -o predictions.csv",
        "```",
        "",
        "```python",
        "import recurra",
        'model = recurra.load("THIS_FOLDER")',
        'predictions = model.predict("new_data.csv")',
        "```",
        "",
        f"The data need {_columns(facts)}.",
        "",
    ]
    return "\n".join(lines)


def _columns(facts: dict[str, Any]) -> str:
    columns = facts["columns"]
    parts = (
        [f"the sequence column(s) {', '.join(f'`{c}`' for c in columns['sequence'])}"] if columns["sequence"] else []
    )
    if columns["time"]:
        parts.append(f"the time column `{columns['time']}`")
    parts.append("the features named above")
    return ", ".join(parts[:-1]) + (" and " if parts[:-1] else "") + parts[-1]


def _table(judgement: Judgement) -> list[str]:
    names = list(judgement.metrics)
    head = "| | " + " | ".join(WORDS.get(n, n) for n in names) + " |"
    rows = [head, "|---|" + "---:|" * len(names)]
    everyone = {"this model": judgement.metrics} | {
        EXPLAINED.get(name, name): row for name, row in judgement.baselines.items()
    }
    for name, row in everyone.items():
        rows.append(f"| {name} | " + " | ".join(f"{row[n]:.3f}" for n in names) + " |")
    return rows
