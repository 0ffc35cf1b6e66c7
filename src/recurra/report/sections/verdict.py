"""The verdict: is the model any good, beside its baselines?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from recurra.report.markup import Html, bar, bullets, facts, h, join, paragraph, table
from recurra.report.record import Event, Record
from recurra.report.words import (
    BASELINES,
    baseline,
    count,
    duration,
    finite,
    metric,
    metric_value,
    number,
    percent,
    unbroken,
)


def section(record: Record) -> Html | None:
    """Headline, sentences, warnings and the table of the model beside its baselines."""
    verdict = record.last("verdict")
    if verdict is None:
        return join([_unfinished(record), _tiles(record, {})])
    parts: list[Html | None] = [_banner(verdict), _warnings(verdict)]
    if verdict.get("metrics"):
        parts += [_comparison(verdict), _meanings(verdict)]
    parts.append(_tiles(record, verdict))
    return join(parts)


def winners(verdict: Event) -> list[str]:
    """The baselines that do at least as well as the model on the main metric."""
    main, ours = verdict.get("metric"), _main(verdict, verdict.get("metrics"))
    if not finite(ours):
        return []
    sign = 1 if verdict.get("higher_is_better") else -1
    scores = {name: _main(verdict, m) for name, m in (verdict.get("baselines") or {}).items()} if main else {}
    found = [name for name, score in scores.items() if finite(score) and sign * score >= sign * ours]
    return sorted(found, key=lambda name: -sign * scores[name])


def _main(verdict: Event, metrics: Any) -> Any:
    return metrics.get(verdict.get("metric")) if isinstance(metrics, Mapping) else None


def _banner(verdict: Event) -> Html:
    better = winners(verdict)
    if verdict.get("beats_baselines"):
        kind, badge = "wins", "✓ Better than every baseline"
    elif better:
        kind, badge = "loses", f"✗ Not better than a baseline: {', '.join(baseline(name) for name in better)}"
    else:
        kind, badge = "loses", "✗ Not shown to be better than its baselines"
    return h(
        "div",
        paragraph(badge, class_="badge"),
        h("h1", unbroken(verdict.get("headline") or "No headline was written")),
        [paragraph(unbroken(sentence)) for sentence in list(verdict.get("sentences") or ())[:8]],
        class_=f"verdict {kind}",
    )


def _unfinished(record: Record) -> Html:
    stopped = (record.last("end") or {}).get("stopped")
    rows = record.evaluations()
    if stopped == "interrupted":
        badge, headline = "Interrupted", "Training was interrupted before the model was judged"
    else:
        badge, headline = (
            "Not finished",
            "This run has no verdict: it ended, or is still going, before the model was judged",
        )
    told = f"It reached {count(len(rows), 'evaluation')}. " if rows else "It ended before its first evaluation. "
    return h(
        "div",
        paragraph(badge, class_="badge"),
        h("h1", headline),
        paragraph(told, "What it wrote down so far is shown below. Resume the run to get a verdict."),
        class_="verdict none",
    )


def _warnings(verdict: Event) -> Html | None:
    return bullets([unbroken(warning) for warning in verdict.get("warnings") or ()], class_="warnings", limit=20)


def _comparison(verdict: Event) -> Html:
    main = str(verdict.get("metric"))
    metrics: Mapping[str, Any] = verdict["metrics"]
    baselines: Mapping[str, Mapping[str, Any]] = verdict.get("baselines") or {}
    columns = [main, *(key for key in metrics if key != main)] if main in metrics else list(metrics)
    columns = columns[:8]
    everyone = [metrics, *baselines.values()]
    best = {key: _best(key, everyone, verdict) for key in columns}
    decimals = {key: _decimals([m.get(key) for m in everyone]) for key in columns}
    largest = max((m[main] for m in everyone if finite(m.get(main))), default=0.0)

    def cells(values: Mapping[str, Any], colour: str) -> list[object]:
        row: list[object] = []
        for key in columns:
            value = values.get(key)
            text = metric_value(key, value, decimals[key])
            shown: object = h("b", text) if finite(value) and value == best[key] else text
            if key == main:
                share = value / largest if finite(value) and largest > 0 else 0.0
                row.append(h("span", bar(share, colour), h("span", shown), class_="with-bar"))
            else:
                row.append(shown)
        return row

    heads: list[object] = ["", *(join([metric(key).label, _arrow(key, verdict)]) for key in columns)]
    rows: list[list[object]] = [["This model", *cells(metrics, "model")]]
    for name, values in baselines.items():
        what = BASELINES.get(name)
        first = join([what[0], h("small", what[1])]) if what else baseline(name)
        rows.append([first, *cells(values, "other")])
    made = table(
        "This model beside its baselines, all on the same held-out part. The best value of a column is bold.",
        heads,
        rows,
        numbers=range(1, len(heads)),
        class_="scores",
    )
    return Html(made.replace("<tbody><tr>", '<tbody><tr class="ours">', 1))


def _arrow(key: str, verdict: Event) -> Html | None:
    better = _direction(key, verdict)
    if not better:
        return None
    return h("small", "lower is better" if better == "lower" else "higher is better")


def _direction(key: str, verdict: Event) -> str:
    if key == verdict.get("metric"):
        return "higher" if verdict.get("higher_is_better") else "lower"
    return metric(key).better


def _best(key: str, everyone: list[Mapping[str, Any]], verdict: Event) -> float | None:
    values = [m[key] for m in everyone if finite(m.get(key))]
    better = _direction(key, verdict)
    if not better or len(values) < 2:
        return None
    return max(values) if better == "higher" else min(values)


def _decimals(values: list[Any]) -> int:
    """How many decimals a column needs, so that its smallest value is still told apart and all line up."""
    sizes = [abs(v) for v in values if finite(v) and v]
    power = math.floor(math.log10(min(sizes))) if sizes else 0
    return min(8, 2 - power if power < 0 else max(0, 3 - power))


def _meanings(verdict: Event) -> Html | None:
    known = [metric(key) for key in verdict["metrics"] if metric(key).meaning]
    if not known:
        return None
    items = [h("li", h("b", m.label), ": ", m.meaning, ".") for m in known]
    return h("details", h("summary", "What these measures mean"), h("ul", items))


def _tiles(record: Record, verdict: Event) -> Html | None:
    model, end = record.last("model") or {}, record.last("end") or {}
    run = record.last("run") or {}
    pairs: list[tuple[object, object]] = []
    better = winners(verdict)
    scores = {name: _main(verdict, m) for name, m in (verdict.get("baselines") or {}).items()}
    scores = {name: score for name, score in scores.items() if finite(score)}
    ours = _main(verdict, verdict.get("metrics"))
    if scores and finite(ours) and not better:
        higher = bool(verdict.get("higher_is_better"))
        strongest = (max if higher else min)(scores, key=scores.__getitem__)
        theirs = scores[strongest]
        if higher and theirs < 1:
            pairs.append((f"fewer errors than {baseline(strongest)}", percent((ours - theirs) / (1 - theirs))))
        elif not higher and theirs > 0:
            pairs.append((f"lower error than {baseline(strongest)}", percent(1 - ours / theirs)))
    if model.get("cell"):
        layers = f", {count(model['layers'], 'layer')}" if finite(model.get("layers")) else ""
        units = f" of {count(model['hidden_size'], 'unit')}" if finite(model.get("hidden_size")) else ""
        both = ", both directions" if model.get("bidirectional") else ""
        pairs.append(("network", f"{str(model['cell']).upper()}{layers}{units}{both}"))
    if finite(model.get("parameters")):
        pairs.append(("parameters", number(model["parameters"])))
    if finite(end.get("seconds")):
        pairs.append(("time taken", duration(end["seconds"])))
    device = (record.last("device") or {}).get("device") or run.get("device")
    if device:
        pairs.append(("device", device))
    if run.get("seed") is not None:
        pairs.append(("seed", run["seed"]))
    return facts(pairs) if pairs else None
