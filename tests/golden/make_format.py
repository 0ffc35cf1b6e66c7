"""Write the small models that stand for a format version. Run once, when a format version is made, never after it.

    python tests/golden/make_format.py

Each later version of the library must open them and make the same predictions (`test_formats.py`).
"""

import json
from pathlib import Path

import numpy as np
import polars as pl

import recurra
from recurra.train.model_folder import FORMATS


def sales() -> pl.DataFrame:
    day = np.arange(120)
    one = 20 + 5 * np.sin(2 * np.pi * day / 7) + (day % 5 == 0)
    return pl.DataFrame(
        {
            "date": np.tile(np.datetime64("2024-01-01") + day, 2),
            "store": np.repeat(["north", "south"], 120),
            "promo": np.tile((day % 5 == 0).astype(int), 2),
            "units": np.concatenate([one, 3 * one]).round(3),
        }
    )


def gestures() -> pl.DataFrame:
    rows = []
    for i in range(40):
        for t in range(6 + i % 4):
            sign = 1 if i % 2 else -1
            rows.append({"id": i, "t": t, "x": round(sign * np.sin(t + i), 4), "turn": "left" if i % 2 else "right"})
    return pl.DataFrame(rows)


def main() -> None:
    folder = Path(__file__).parent / f"format_{max(FORMATS)}"
    folder.mkdir()
    small = dict(hidden_size=4, epochs=1, seed=0)
    forecaster = recurra.Forecaster(target="units", time="date", series="store", horizon=5, covariates="promo", **small)
    classifier = recurra.SequenceClassifier(sequence="id", time="t", label="turn", **small)
    for name, model, table in (("forecast", forecaster, sales()), ("classify", classifier, gestures())):
        model.fit(table).save(folder / name)
        table.write_csv(folder / f"{name}.csv")
        expected = model.predict(folder / f"{name}.csv")
        (folder / f"{name}.expected.json").write_text(json.dumps(expected.to_dict(as_series=False), default=str) + "\n")


if __name__ == "__main__":
    main()
