"""The classification task from data to verdict: what it learns, says, keeps and gives back."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from recurra.errors import DataError, UsageError
from recurra.options import build
from recurra.settings import SECTIONS
from recurra.tasks.classify.network import SequenceNetwork
from recurra.tasks.classify.plan import bucketed, by_size, choose
from recurra.tasks.classify.task import ClassifyTask
from recurra.train.loop import fit

SEQUENCE = ["id"]


def pulses(count: int, seed: int = 0, long: int = 14) -> pl.DataFrame:
    """Class "up": a pulse of +1 before one of -1; class "down": the other way round. Means and deviations are alike."""
    rng = np.random.default_rng(seed)
    rows: dict[str, list[Any]] = {"id": [], "t": [], "x": [], "label": []}
    for i in range(count):
        steps = int(rng.integers(8, long))
        first, second = np.sort(rng.choice(steps, 2, replace=False))
        x = 0.05 * rng.normal(size=steps)
        sign = 1.0 if i % 2 else -1.0
        x[first] += sign
        x[second] -= sign
        rows["id"] += [f"s{i}"] * steps
        rows["t"] += range(steps)
        rows["x"] += x.tolist()
        rows["label"] += ["up" if i % 2 else "down"] * steps
    return pl.DataFrame(rows)


def levels(count: int, share: float = 0.5, seed: int = 0) -> pl.DataFrame:
    """Two classes that differ in their level: easy for anyone; the second has `share` of the sequences."""
    rng = np.random.default_rng(seed)
    frames = []
    for i in range(count):
        steps, second = int(rng.integers(3, 7)), i < share * count
        x = rng.normal(size=steps) + 3.0 * second
        z = rng.normal(size=steps)
        frames.append(pl.DataFrame({"id": [i] * steps, "x": x, "z": z, "label": ["b" if second else "a"] * steps}))
    return pl.concat(frames)


def make(frame: Any, train: bool = True, **options: Any) -> tuple[ClassifyTask, SequenceNetwork, dict[str, list[dict]]]:
    given = {"sequence": "id", "label": "label", "hidden_size": 8, "epochs": 2, "device": "cpu"} | options
    if not isinstance(frame, pl.DataFrame):
        del given["sequence"], given["label"]
    sections = build(SECTIONS["classify"], given)
    task = ClassifyTask(sections)
    said: dict[str, list[dict]] = {}

    def log(event: str, **facts: Any) -> None:
        said.setdefault(event, []).append(facts)

    task.fit_data(frame, log)
    problem = task.build()
    if train:
        fit(
            problem,
            sections["train"],
            planned_epochs=task.plan["epochs"],
            learning_rate=task.plan["learning_rate"],
            patience=task.plan["patience"],
        )
    return task, problem.learner, said


def kept(task: ClassifyTask, learner: SequenceNetwork) -> tuple[ClassifyTask, SequenceNetwork]:
    """The task after a way through JSON and tensors."""
    config, preprocess = (json.loads(json.dumps(part)) for part in (task.config(), task.preprocess()))
    tensors = {name: tensor.clone() for name, tensor in learner.state_dict().items()}
    return ClassifyTask.restore(config, preprocess, tensors, task.settings)


def probability(frame: pl.DataFrame) -> np.ndarray:
    return frame.select(pl.selectors.starts_with("probability_")).to_numpy()


@pytest.fixture(scope="module")
def trained() -> tuple[ClassifyTask, SequenceNetwork, Any]:
    task, learner, _ = make(pulses(120), hidden_size=16, epochs=20, learning_rate=0.02, time="t")
    return task, learner, task.judge(learner)


def test_learns_an_order_that_means_and_deviations_do_not_show(trained: Any) -> None:
    _, _, judgement = trained
    assert judgement.metrics["accuracy"] >= 0.9
    assert judgement.baselines["logistic_regression"]["accuracy"] <= 0.75
    assert judgement.beats_baselines
    assert judgement.headline.startswith("The model beats the baselines: accuracy")
    assert set(judgement.baselines) == {"majority", "logistic_regression"}
    for row in judgement.baselines.values():
        assert set(row) == set(judgement.metrics)


def test_the_judgement_holds_what_the_report_reads(trained: Any) -> None:
    task, learner, judgement = trained
    assert json.dumps(judgement.facts)
    assert np.sum(judgement.facts["confusion"]["matrix"]) == len(task.parts.test) == judgement.predictions.height
    assert judgement.facts["reliability"]["ece"] == judgement.metrics["ece"]
    assert sum(row["count"] for row in judgement.facts["by_length"]["items"]) == len(task.parts.test)
    wrong = judgement.predictions.filter(pl.col("label") != pl.col("predicted"))
    assert len(judgement.facts["mistakes"]["items"]) == min(20, wrong.height)
    assert judgement.predictions.columns == [
        "id", "label", "predicted", "probability_down", "probability_up", "length",
    ]  # fmt: skip
    shown = task.instruments(learner)
    assert set(shown) == {"gradient_flow", "hidden_states"} and json.dumps(shown)
    assert shown["gradient_flow"]["norm"][0] == 1.0


def test_saved_and_restored_gives_the_same_predictions_and_figures(trained: Any) -> None:
    task, learner, _ = trained
    other, network = kept(task, learner)
    new = pulses(30, seed=9)
    assert other.predict(network, new).equals(task.predict(learner, new))
    one, two = task.evaluate(learner, new), other.evaluate(network, new)
    assert one.metrics == two.metrics and one.baselines == two.baselines and one.headline == two.headline
    assert "on 30 given sequences" in one.headline
    assert other.describe() == task.describe()


def test_predictions_do_not_depend_on_batch_size_padding_or_order(trained: Any) -> None:
    task, learner, _ = trained
    new = pulses(40, seed=4)
    whole = task.predict(learner, new.drop("label"))
    for size in (1, 7):
        again = task.predict(learner, new.drop("label"), batch_size=size)
        assert again["predicted"].equals(whole["predicted"])
        assert np.allclose(probability(again), probability(whole), atol=1e-6)
    names = whole["id"].to_list()
    turned = pl.concat([new.filter(pl.col("id") == name) for name in reversed(names)])
    mixed = task.predict(learner, turned).sort("id")
    assert np.allclose(probability(mixed), probability(whole.sort("id")), atol=1e-6)
    alone = task.predict(learner, new.filter(pl.col("id") == names[3]))
    assert np.allclose(probability(alone), probability(whole)[3:4], atol=1e-6)
    longer = pl.concat([new, pulses(1, seed=5, long=90).with_columns(id=pl.lit("long"))])
    with_long = task.predict(learner, longer).filter(pl.col("id") != "long")
    assert np.allclose(probability(with_long), probability(whole), atol=1e-6)


def test_probabilities_add_up_and_the_card_says_what_matters(trained: Any) -> None:
    task, learner, judgement = trained
    assert np.allclose(probability(task.predict(learner, pulses(5))).sum(1), 1.0)
    card = task.card(judgement)
    for part in (judgement.headline, "`down`", "`up`", "## Limits", "recurra predict", "logistic regression", "`id`"):
        assert part in card
    assert "not judged" in task.card(None)


def test_a_model_that_loses_says_so_first() -> None:
    task, learner, _ = make(levels(80), epochs=1, learning_rate=1e-9, averaging=0.0)
    with torch.no_grad():
        learner.head.weight.zero_()
    judgement = task.judge(learner)
    assert judgement.headline.startswith(
        "Do not use this model yet: logistic regression on means and deviations is better (accuracy "
    )
    assert judgement.beats_baselines is False


def test_rare_classes_are_weighted_found_and_spoken_of() -> None:
    task, learner, said = make(levels(150, share=0.1), hidden_size=16, epochs=12, learning_rate=0.01)
    weights = task.class_weight
    assert weights[1] / weights[0] == pytest.approx(9.0, rel=0.15)
    notes = " ".join(note["text"] for note in said["note"])
    assert "unbalanced" in notes and "weigh more" in notes
    judgement = task.judge(learner)
    assert judgement.metric == "balanced_accuracy"
    assert judgement.metrics["balanced_accuracy"] >= 0.8
    assert any("weighted" in warning for warning in judgement.warnings)
    new = task.predict(learner, levels(400, share=0.1, seed=1))
    # Probabilities are for classes as frequent as in the data, not for the weighted ones.
    assert new["probability_b"].mean() == pytest.approx(0.1, abs=0.08)


def test_without_balance_there_are_no_weights_and_the_note_says_so() -> None:
    task, _, said = make(levels(60, share=0.1), train=False, balance=False)
    assert np.all(task.class_weight == 1.0)
    assert any("No weights" in note["text"] for note in said["note"])


def test_the_split_is_by_class_disjoint_and_logged() -> None:
    task, _, said = make(levels(100, share=0.3), train=False)
    parts = task.parts
    together = np.concatenate([parts.train, parts.valid, parts.test])
    assert np.array_equal(np.sort(together), np.arange(100))
    assert task.data.label is not None
    for _, index in parts.named():
        assert task.data.label[index].mean() == pytest.approx(0.3, abs=0.1)
    split = said["data"][0]["split"]
    assert {name: row["sequences"] for name, row in split.items()} == {n: len(i) for n, i in parts.named()}
    assert sum(row["rows"] for row in split.values()) == said["data"][0]["rows"]
    assert json.dumps(said["data"])


def test_with_nothing_held_out_the_verdict_says_that_it_is_kind() -> None:
    task, learner, said = make(levels(60), test=0.0)
    assert len(task.parts.test) == 0
    judgement = task.judge(learner)
    assert "validation sequences" in judgement.headline
    assert "too kind" in judgement.warnings[0]
    assert judgement.predictions.height == len(task.parts.valid)
    assert any("No sequences are held out" in note["text"] for note in said["note"])


def test_missing_values_get_masks_only_where_training_has_them() -> None:
    frame = levels(60).with_columns(x=pl.when(pl.int_range(pl.len()) % 3 == 0).then(None).otherwise(pl.col("x")))
    task, learner, said = make(frame)
    assert task.features.channel_names == ["x", "z", "x missing"]
    assert np.isfinite(task.inputs.values).all()
    assert any("'x'" in note["text"] and "carried forward" in note["text"] for note in said["note"])
    assert np.isfinite(list(task.judge(learner).metrics.values())).all()
    gone = levels(10, seed=2).with_columns(z=pl.lit(None, dtype=pl.Float64))
    assert np.isfinite(probability(task.predict(learner, gone))).all()


def test_values_are_standardised_by_the_training_part_and_cut() -> None:
    frame = levels(60).with_columns(z=pl.lit(7.0), x=pl.when(pl.int_range(pl.len()) == 0).then(1e9).otherwise("x"))
    task, _, _ = make(frame, train=False)
    lengths = np.diff(task.data.offsets)
    rows = np.repeat(np.isin(np.arange(60), task.parts.train), lengths)
    x = task.data.values[rows, 0]
    assert task.features.mean[0] == pytest.approx(x.mean()) and task.features.scale[0] == pytest.approx(x.std())
    assert np.abs(task.inputs.values).max() <= 10.0
    assert np.all(task.inputs.values[:, 1] == 0.0)  # a constant feature says nothing


def test_irregular_times_add_the_gap_as_a_channel() -> None:
    rng = np.random.default_rng(0)
    frame = levels(60).with_columns(t=pl.Series(np.cumsum(rng.exponential(size=levels(60).height) + 0.1)))
    task, learner, _ = make(frame, time="t")
    assert task.features.channel_names[-1] == "gap"
    other, network = kept(task, learner)
    assert other.predict(network, frame).equals(task.predict(learner, frame))


def test_categories_are_embedded_and_unknown_ones_survive() -> None:
    rng = np.random.default_rng(1)
    frame = levels(60)
    frame = frame.with_columns(kind=pl.Series(rng.choice(["p", "q", "r"], frame.height).tolist()))
    task, learner, _ = make(frame)
    assert task.features.levels == (3,) and task.inputs.codes.shape[1] == 1
    judgement = task.judge(learner)
    assert len(task.baselines["logistic_regression"]["mean"]) == 2 * 2 + 3
    assert np.isfinite(judgement.metrics["log_loss"])
    new = frame.with_columns(kind=pl.lit("never seen"))
    assert np.isfinite(probability(task.predict(learner, new))).all()


def test_sequences_of_one_step_work() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    x = [np.array([[value]]) for value in rng.normal(size=40) + 4 * y]
    task, learner, _ = make((x, y), epochs=3)
    judgement = task.judge(learner)
    assert judgement.facts["by_length"]["items"][0]["to"] == 1
    assert task.instruments(learner)["gradient_flow"]["norm"] == [1.0]
    assert task.predict(learner, x).height == 40
    assert task.evaluate(learner, (x, y)).metrics["accuracy"] > 0.5


@pytest.mark.parametrize("each", [2, 3])
def test_the_fewest_sequences_that_can_be_read_give_a_verdict(each: int) -> None:
    x = [np.full((3, 1), float(i % 2)) + 0.1 * i for i in range(2 * each)]
    task, learner, said = make((x, [i % 2 for i in range(2 * each)]))
    judgement = task.judge(learner)
    assert any("rough" in warning for warning in judgement.warnings)
    if each == 2:
        assert task.parts.borrowed and task.temperature == 1.0
        assert any("too few sequences" in note["text"] for note in said["note"])


def test_one_direction_trains_in_spans_and_two_are_refused() -> None:
    task, learner, _ = make(pulses(30), rule="tbptt(4)", time="t")
    assert task.describe()["bidirectional"] is False
    assert np.isfinite(task.judge(learner).metrics["log_loss"])
    assert make(pulses(30), train=False, time="t")[0].describe()["bidirectional"] is True
    with pytest.raises(UsageError, match="bidirectional=false"):
        make(pulses(30), rule="tbptt(4)", bidirectional=True, time="t")


def test_same_seed_same_bits_and_batches() -> None:
    runs = [make(levels(40), seed=seed) for seed in (3, 3, 4)]
    weights = [run[1].state_dict() for run in runs]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not all(torch.equal(weights[0][name], weights[2][name]) for name in weights[0])
    problem = runs[0][0].build()
    one, again, next_epoch = problem.plans(0), problem.plans(0), problem.plans(1)
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert np.array_equal(np.sort(np.concatenate(next_epoch)), runs[0][0].parts.train)
    assert not all(np.array_equal(a, b) for a, b in zip(one, next_epoch, strict=True))


def test_the_place_of_a_wild_number_is_named() -> None:
    task, _, _ = make(levels(30), train=False)
    problem = task.build()
    batch = problem.batch(problem.plans(0)[0])
    batch.values[1, 2, 0] = float("nan")
    place = problem.locate(batch)
    assert f"sequence {task.data.names[batch.index[2]]!r}, step 2, column 'x'" in place and "not finite" in place


def test_evaluating_without_labels_or_with_strange_ones_names_the_cure() -> None:
    task, learner, _ = make(levels(40))
    task.judge(learner)
    with pytest.raises(DataError, match="have no labels.*column 'label'.*use predict"):
        task.evaluate(learner, levels(10).drop("label"))
    with pytest.raises(DataError, match="no sequence has a class that the model knows.*'a', 'b'.*spelling"):
        task.evaluate(learner, levels(10).with_columns(label=pl.lit("c")))
    half = levels(10).with_columns(label=pl.when(pl.col("id") < 2).then(pl.lit("c")).otherwise("label"))
    judged = task.evaluate(learner, half)
    assert judged.predictions.height == 8
    assert "2 of 10 sequences" in judged.warnings[0]


def test_columns_of_the_user_are_not_overwritten() -> None:
    frame = levels(40).rename({"id": "predicted"})
    task, learner, _ = make(frame, sequence="predicted")
    out = task.predict(learner, frame)
    assert out.columns[:2] == ["sequence_predicted", "predicted"]


def test_defaults_follow_the_size_of_the_data_and_what_is_set_is_kept() -> None:
    sections = build(SECTIONS["classify"], {})
    small = choose(sections["model"], sections["train"], np.full(200, 20))
    large = choose(sections["model"], sections["train"], np.full(8000, 500))
    long = choose(sections["model"], sections["train"], np.full(300, 50_000))
    assert small.hidden_size < large.hidden_size and small.batch_size < large.batch_size
    assert large.epochs * 8000 * 500 <= 60_000_000 or large.epochs == 10
    assert long.batch_size * 50_000 <= 1 << 17
    wished = build(
        SECTIONS["classify"], {"epochs": 3, "batch_size": 5, "hidden_size": 7, "cell": "lstm", "dropout": 0.0}
    )
    kept = choose(wished["model"], wished["train"], np.full(200, 20))
    assert (kept.epochs, kept.batch_size, kept.hidden_size, kept.cell, kept.dropout) == (3, 5, 7, "lstm", 0.0)
    assert kept.patience >= 1


def test_batches_hold_sequences_of_about_the_same_length() -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 1000, 640)
    padded = sum(lengths[b].max() * len(b) for b in bucketed(lengths, 16, np.random.default_rng(1)))
    at_random = sum(lengths[b].max() * len(b) for b in np.array_split(rng.permutation(640), 40))
    assert padded < 0.8 * at_random
    reading = by_size(lengths, 64, cells=5000)
    assert np.array_equal(np.sort(np.concatenate(reading)), np.arange(640))
    assert all(len(b) == 1 or lengths[b].max() * len(b) <= 5000 for b in reading)
