"""A model folder saved by any earlier format version opens, and predicts what it predicted then."""

import json
from pathlib import Path

import numpy as np
import pytest

import recurra
from recurra.train.model_folder import FORMATS

HERE = Path(__file__).parent
CASES = [(version, task) for version in FORMATS for task in ("forecast", "classify")]


@pytest.mark.parametrize(("version", "task"), CASES)
def test_a_folder_of_an_earlier_version_still_predicts_the_same(version: int, task: str) -> None:
    folder = HERE / f"format_{version}"
    config = json.loads((folder / task / "config.json").read_text())
    assert config["format"] == version
    made = recurra.load(folder / task).predict(folder / f"{task}.csv")
    expected = json.loads((folder / f"{task}.expected.json").read_text())
    assert made.columns == list(expected)
    for name, values in expected.items():
        if made[name].dtype.is_float():
            # Another processor may round the last bits otherwise.
            np.testing.assert_allclose(made[name].to_numpy(), values, rtol=1e-4, atol=1e-6)
        else:
            assert [str(v) for v in made[name]] == [str(v) for v in values]
