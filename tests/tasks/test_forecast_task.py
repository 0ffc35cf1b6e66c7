"""The forecasting task from table to judged model, on small series whose answer is known."""

import json

import numpy as np
import polars as pl
import pytest

import recurra
from recurra.errors import DataError, UsageError


def shop(days=400, stores=3, seed=0):
    """Daily sales with a weekly season and a promotion known ahead that adds 40 %."""
    rng = np.random.default_rng(seed)
    frames = []
    for store in range(stores):
        start = np.datetime64("2023-01-02")
        day = start + np.arange(days)
        promo = (rng.random(days) < 0.2).astype(int)
        level = 50 * (store + 1) * (1 + 0.3 * np.sin(2 * np.pi * np.arange(days) / 7))
        units = level * (1 + 0.4 * promo) + rng.normal(size=days)
        frames.append(pl.DataFrame({"date": day, "store": f"s{store}", "promo": promo, "units": units}))
    return pl.concat(frames)


COLUMNS = dict(target="units", time="date", series="store", horizon=7)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    run = tmp_path_factory.mktemp("run") / "shop"
    events = []
    model = recurra.Forecaster(**COLUMNS, known="promo", epochs=6, hidden_size=16)
    model.fit(shop(), out=run, on_event=lambda event, facts: events.append((event, facts)))
    return model, run, events


def test_a_known_covariate_is_used_and_every_baseline_is_beaten(trained):
    model, _, _ = trained
    judgement = model.judgement_
    assert judgement.beats_baselines and "better than the best baseline" in judgement.headline
    assert set(judgement.baselines) == {"naive", "seasonal_naive", "drift"}
    assert judgement.metrics["mase"] < 0.6 * judgement.baselines["seasonal_naive"]["mase"]
    # Coverage is measured on days later than those it was calibrated on.
    assert 0.6 < judgement.metrics["coverage"] < 0.97


def test_the_future_promotion_moves_the_forecast(trained):
    model, _, _ = trained
    table = shop()
    future = pl.DataFrame({"date": np.datetime64("2024-02-06") + np.arange(7), "promo": np.arange(7) % 2})
    rows = [table] + [
        future.with_columns(store=pl.lit(f"s{i}"), units=pl.lit(None, dtype=pl.Float64)).select(table.columns)
        for i in range(3)
    ]
    made = model.predict(pl.concat(rows))
    assert made["date"].min() == table["date"].max() + np.timedelta64(1, "D").astype(object)
    quiet = [table] + [r.with_columns(promo=pl.lit(0, dtype=pl.Int64)) for r in rows[1:]]
    plain = model.predict(pl.concat(quiet))
    ratio = (made["forecast"] / plain["forecast"]).to_numpy().reshape(3, 7)
    assert (ratio[:, [1, 3, 5]] > 1.2).all() and (abs(ratio[:, [0, 2, 4, 6]] - 1) < 0.15).all()
    with pytest.raises(DataError, match="promo"):
        model.predict(table)


def test_the_folder_holds_what_is_needed_and_opens_to_the_same_forecasts(trained):
    model, run, _ = trained
    names = {p.relative_to(run).as_posix() for p in run.rglob("*") if p.is_file()}
    assert {"model/config.json", "model/weights.safetensors", "model/preprocess.json", "model/README.md"} <= names
    assert {"run.toml", "environment.json", "log.jsonl", "metrics.csv", "predictions.parquet"} <= names
    assert not [n for n in names if n.endswith((".pkl", ".pt", ".pickle"))]
    again = recurra.load(run)
    one, two = model.evaluate(shop(seed=4)), again.evaluate(shop(seed=4))
    assert one.metrics == two.metrics and one.baselines == two.baselines
    assert one.predictions.equals(two.predictions)


def test_the_log_tells_the_whole_story(trained):
    _, run, events = trained
    logged = [json.loads(line)["event"] for line in (run / "log.jsonl").read_text().splitlines()]
    for event in ("run", "data", "model", "evaluation", "gradient_flow", "hidden_states", "examples", "verdict", "end"):
        assert event in logged
        if event != "run":
            assert event in [name for name, _ in events]
    notes = " ".join(facts["text"] for name, facts in events if name == "note")
    assert "season of 7" in notes


def test_predictions_hold_ids_times_truth_and_baselines(trained):
    model, _, _ = trained
    frame = model.judgement_.predictions
    assert frame.columns[:4] == ["store", "date", "step", "actual"]
    assert {"forecast", "q0.1", "q0.5", "q0.9", "naive", "seasonal_naive", "drift"} <= set(frame.columns)
    truth = shop().join(frame.unique(["store", "date"]), on=["store", "date"])
    np.testing.assert_allclose(truth["actual"], truth["units"])
    assert (frame["q0.1"] <= frame["forecast"]).all() and (frame["forecast"] <= frame["q0.9"]).all()


def test_same_seed_same_bits_other_seed_other_bits():
    data = shop(days=120, stores=2)
    options = dict(COLUMNS, epochs=1, hidden_size=4)
    first = recurra.Forecaster(**options, seed=3).fit(data).predict(data)
    second = recurra.Forecaster(**options, seed=3).fit(data).predict(data)
    third = recurra.Forecaster(**options, seed=4).fit(data).predict(data)
    assert first.equals(second) and not first.equals(third)


def test_a_model_that_loses_says_so_first():
    rng = np.random.default_rng(0)
    walk = np.cumsum(rng.normal(size=300))
    judgement = recurra.Forecaster(horizon=5, hidden_size=2, epochs=1, learning_rate=1e-6).fit([walk]).judgement_
    if judgement.beats_baselines:
        pytest.fail(f"an untrained network beat the last value of a random walk: {judgement.headline}")
    assert judgement.headline.startswith("Do not use this model yet")


@pytest.mark.parametrize("rule", ["bptt", "tbptt(12)"])
def test_several_targets_missing_values_and_either_rule(rule):
    table = shop(days=150, stores=2).with_columns(other=pl.col("units") * 2 + 5)
    holes = np.random.default_rng(0).random(table.height) < 0.1
    table = table.with_columns(units=pl.when(pl.Series(holes)).then(None).otherwise(pl.col("units")))
    model = recurra.Forecaster(
        **{**COLUMNS, "target": "units,other"}, known="promo", epochs=1, hidden_size=8, rule=rule
    ).fit(table)
    frame = model.judgement_.predictions
    assert set(frame["target"]) == {"units", "other"} and frame["actual"].null_count() > 0
    assert np.isfinite(list(model.judgement_.metrics.values())).all()


def test_recursive_forecasts_are_quantiles_that_do_not_depend_on_batch_size():
    data = shop(days=200, stores=2).drop("promo")
    model = recurra.Forecaster(**COLUMNS, decode="recursive", epochs=3, hidden_size=16).fit(data)
    whole, small = model.predict(data), model.predict(data, batch_size=1)
    np.testing.assert_allclose(whole["q0.9"], small["q0.9"], rtol=1e-5)
    assert (whole["q0.1"] <= whole["forecast"]).all() and (whole["forecast"] <= whole["q0.9"]).all()
    assert model.judgement_.metrics["mase"] < model.judgement_.baselines["naive"]["mase"]
    with pytest.raises(UsageError, match="not known ahead"):
        recurra.Forecaster(**COLUMNS, decode="recursive", covariates="promo").fit(shop(days=100))


@pytest.mark.parametrize("drop", [[], ["date"]])
def test_one_series_without_an_id_with_and_without_times(drop):
    table = shop(days=120, stores=1).drop("store", "promo", *drop)
    model = recurra.Forecaster(target="units", horizon=7, epochs=1, hidden_size=4).fit(table)
    assert model.predict(table).columns[:2] == [drop and "time" or "date", "step"]
    assert model.predict(table).height == 7
    assert model.judgement_.predictions.height == 7 * model.settings_["data"].windows


def test_irregular_times_and_categories_and_statics_train():
    rng = np.random.default_rng(5)
    times = np.datetime64("2024-01-01T00:00:00") + np.cumsum(rng.integers(20, 4000, size=300)).astype("timedelta64[s]")
    times = times.astype("datetime64[us]")
    table = pl.DataFrame(
        {
            "when": times,
            "who": rng.choice(["ann", "bob"], size=300),
            "kind": rng.choice(["a", "b", "c"], size=300),
            "load": rng.normal(size=300),
            "size": 3.0,
        }
    ).with_columns(size=pl.when(pl.col("who") == "ann").then(1.0).otherwise(2.0))
    model = recurra.Forecaster(
        target="load", time="when", series="who", horizon=4, covariates="kind", static="size", epochs=1, hidden_size=4
    ).fit(table)
    made = model.predict(table)
    assert made.height == 8 and made["when"].is_not_null().all()


def test_a_season_shorter_than_the_horizon_and_series_of_many_lengths():
    series = [np.sin(np.arange(n) * 2 * np.pi / 4) + n for n in (12, 40, 55, 90)]
    model = recurra.Forecaster(horizon=10, epochs=1, hidden_size=4).fit(series)
    assert model.predict(series).height == 40


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"horizon": None}, ["horizon", "--horizon 14"]),
        ({"bidirectional": True}, ["reads the past only"]),
        ({"horizon": 0}, ["at least 1"]),
        ({"quantiles": (0.5, 1.2)}, ["0.001 to 0.999"]),
        ({"cell": "lstmm"}, ["'lstm'"]),
        ({"rule": "bpttt"}, ["'bptt'"]),
    ],
)
def test_wrong_options_name_the_cure(options, words):
    with pytest.raises(UsageError) as error:
        recurra.Forecaster(**{**COLUMNS, **options}).fit(shop(days=60))
    assert all(word in str(error.value) for word in words)


class _Stopped(Exception):
    pass


def test_a_run_that_stopped_and_went_on_is_the_run_that_never_stopped(tmp_path):
    data, options = shop(days=120, stores=2), dict(COLUMNS, known="promo", epochs=2, hidden_size=4, keep_every=0.0)
    whole = recurra.Forecaster(**options).fit(data, out=tmp_path / "whole")
    seen = []

    def stop(event, facts):
        seen.append(event)
        if seen.count("step") == 70:
            raise _Stopped

    with pytest.raises(_Stopped):
        recurra.Forecaster(**options).fit(data, out=tmp_path / "cut", on_event=stop)
    again = recurra.Forecaster(**options).fit(data, out=tmp_path / "cut", resume=True)
    for name in ("model/weights.safetensors", "predictions.parquet"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert again.judgement_.metrics == whole.judgement_.metrics
    written = (tmp_path / "cut" / "run.toml").read_bytes()
    with pytest.raises(UsageError, match="clip"):
        recurra.Forecaster(**options, clip=0.5).fit(data, out=tmp_path / "cut", resume=True)
    assert (tmp_path / "cut" / "run.toml").read_bytes() == written
