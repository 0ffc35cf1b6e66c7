"""A long table or arrays read as labelled sequences."""

import json

import numpy as np
import polars as pl
import pytest

from recurra.data.sequence_table import (
    SequenceSchema,
    from_sequence_arrays,
    learn_schema_sequences,
    read_classify,
    read_sequences,
)
from recurra.data.source import read_source
from recurra.errors import DataError
from recurra.settings import ClassifyData

SETTINGS = ClassifyData(sequence=("id",), label="y")


def test_sequences_of_any_length_with_features_left_open():
    table = {
        "id": [3, 1, 1, 2, 4],
        "x": [3.0, 1.0, 2.0, None, 5.0],
        "sky": ["a", "b", None, "a", "a"],
        "y": [10, 9, 9, 10, 9],
    }
    data, schema, card = read_classify(table, SETTINGS)
    assert schema.features == ("x", "sky") and schema.classes == ["9", "10"] and schema.levels == {"sky": ["a", "b"]}
    assert data.names == ["1", "2", "3", "4"] and data.lengths.tolist() == [2, 1, 1, 1]
    np.testing.assert_array_equal(data.values, [[1, 2], [2, 0], [np.nan, 1], [3, 1], [5, 1]])
    assert data.label.tolist() == [0, 1, 1, 0]
    assert data.gap.tolist() == [1.0] * 5
    assert card.classes == {"9": 2, "10": 2}
    assert SequenceSchema.from_dict(json.loads(json.dumps(schema.to_dict()))) == schema
    json.dumps(card.event())


def test_steps_are_ordered_by_time_and_irregular_gaps_are_in_median_steps():
    table = {
        "id": [1, 1, 1, 2, 2, 2],
        "t": [4.0, 0.5, 1.5, 0.0, 1.0, 2.0],
        "x": [3.0, 1, 2, 4, 5, 6],
        "y": list("aaabbb"),
    }
    table = {name: column * 2 for name, column in table.items()}
    table["id"] = [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]
    data, schema, card = read_classify(table, ClassifyData(sequence=("id",), label="y", time="t"))
    assert data.values.ravel().tolist() == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0] * 2
    assert data.gap.tolist() == [1.0, 1.0, 2.5, 1.0, 1.0, 1.0] * 2
    assert not schema.regular and schema.step == 1.0 and schema.time_kind == "number"
    assert any("irregular" in note for note in card.notes)


def test_the_order_of_the_rows_does_not_matter_when_there_are_times():
    generator = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            "id": np.repeat(np.arange(12), 5),
            "t": np.tile(np.arange(5), 12),
            "x": generator.normal(size=60),
            "y": np.repeat(["a", "b", "c"] * 4, 5),
        }
    )
    settings = ClassifyData(sequence=("id",), label="y", time="t")
    data, schema, _ = read_classify(frame, settings)
    other, other_schema, _ = read_classify(frame.sample(fraction=1.0, shuffle=True, seed=3), settings)
    assert schema == other_schema
    for name in ("offsets", "values", "gap", "label"):
        np.testing.assert_array_equal(getattr(data, name), getattr(other, name))


@pytest.mark.parametrize(
    "labels, classes",
    [
        ([2, 10, 2, 10], ["2", "10"]),
        ([2.0, 10.0, 2.0, 10.0], ["2", "10"]),
        ([True, False, True, False], ["false", "true"]),
        (["+", "-", "+", "-"], ["+", "-"]),
        (["b", "a", "b", "a"], ["a", "b"]),
    ],
)
def test_labels_may_be_numbers_texts_and_truth_values(labels, classes):
    data, schema, _ = read_classify(from_sequence_arrays(np.zeros((4, 3, 2)), labels))
    assert schema.classes == classes
    first, second = (schema.classes[i] for i in data.label[:2])
    assert (first, second) == tuple(str(label).lower().removesuffix(".0") for label in labels[:2])
    assert data.label.tolist() == data.label[:2].tolist() * 2


def test_a_label_in_one_row_of_a_sequence_is_enough_and_unlabelled_sequences_are_left_out():
    table = {"id": [1, 1, 2, 3, 4, 5], "x": np.arange(6.0), "y": [None, "a", "b", "a", "b", None]}
    data, _, card = read_classify(table, SETTINGS)
    assert data.names == ["1", "2", "3", "4"] and data.label.tolist() == [0, 1, 0, 1]
    assert "1 sequence has no label; it is left out." in card.notes


def test_later_tables_may_lack_labels_or_bring_unknown_ones():
    table = {"id": [1, 2, 3, 4], "x": [1.0, 2.0, 3.0, 4.0], "y": ["a", "b", "a", "b"]}
    _, schema, _ = read_classify(table, SETTINGS)
    data, card = read_sequences(read_source({"id": [9], "x": [1.0]}), schema, SETTINGS, fitting=False)
    assert data.label is None and card.classes is None
    data, card = read_sequences(
        read_source({"id": [7, 8, 9], "x": [1.0, 2, 3], "y": ["b", "zebra", None]}), schema, SETTINGS, fitting=False
    )
    assert data.label.tolist() == [1, -1, -1]
    assert "Labels that the model never saw: zebra." in card.notes


def test_arrays_and_the_table_of_them_give_the_same_sequences():
    arrays = [np.arange(6.0).reshape(3, 2), np.ones((1, 2)), np.zeros((2, 2)), np.full((4, 2), np.nan)]
    data, schema, card = read_classify(from_sequence_arrays(arrays, ["a", "b", "a", "b"]))
    assert schema.features == ("feature_1", "feature_2") and schema.regular
    np.testing.assert_array_equal(data.values, np.concatenate(arrays))
    assert any("1 sequence holds no value at all" in note for note in card.notes)
    np.testing.assert_array_equal(data.window(0, stop=2, length=3)[:, 0], [np.nan, 0, 2])
    assert data.take(np.array([2, 0])).names == ["2", "0"]


def test_an_unnamed_column_of_row_numbers_is_no_feature(tmp_path):
    frame = pl.DataFrame(
        {"": np.arange(8), "id": [1, 1, 2, 2, 3, 3, 4, 4], "x": np.arange(8.0) % 3, "y": list("aabbaabb")}
    )
    frame.write_csv(tmp_path / "a.csv")
    _, schema, card = read_classify(tmp_path / "a.csv", SETTINGS)
    assert schema.features == ("x",)
    assert any("unnamed_1" in note for note in card.notes)


def test_a_regression_target_given_as_label_is_recognised():
    with pytest.raises(DataError, match="look like numbers to predict"):
        read_classify(from_sequence_arrays(np.zeros((30, 2, 1)), np.arange(30)))


def test_learning_twice_from_one_table_says_things_once():
    table = from_sequence_arrays(np.zeros((4, 3, 2)), [0, 1, 0, 1])
    learn_schema_sequences(table, ClassifyData())
    notes = list(table.notes)
    learn_schema_sequences(table, ClassifyData())
    assert table.notes == notes and len(set(notes)) == len(notes)
