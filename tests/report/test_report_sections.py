"""What the sections say: the verdict first, what is missing left out with its reason, numbers in plain words."""

from __future__ import annotations

import doctest
import importlib
import json
import re

import pytest
from make_run import drop_events, make_classify, make_forecast
from page_reader import Page

from recurra.errors import FolderError
from recurra.report import write_report
from recurra.report.draw import thin
from recurra.report.markup import h
from recurra.report.sections import SECTIONS


def _text(path) -> str:
    return Page(write_report(path).read_text(encoding="utf-8")).text


def _section(text: str, anchor: str) -> str:
    return re.search(rf'<section id="{anchor}".*?</section>', text, flags=re.DOTALL)[0]


def test_losing_to_a_baseline_is_said_first(tmp_path):
    html = write_report(make_forecast(tmp_path / "run", loses=True)).read_text(encoding="utf-8")
    page = Page(html)
    said = [data for tag, data in page.words if tag in ("p", "h1", "h2", "td")]
    assert said[1] == "✗ Not better than a baseline: seasonal naive"
    assert said[2].startswith("Seasonal naive beats the model")
    assert ("div", {"class": "verdict loses"}) in page.elements
    assert html.index("verdict loses") < html.index("<table")
    assert "lower error than" not in page.text
    assert "1 check failed" in page.text


def test_a_model_that_ties_a_baseline_does_not_win(tmp_path):
    path = make_classify(tmp_path / "run")
    log = (path / "log.jsonl").read_text(encoding="utf-8")
    log = log.replace('"accuracy": 0.962', '"accuracy": 0.981').replace(
        '"beats_baselines": true', '"beats_baselines": false'
    )
    (path / "log.jsonl").write_text(log, encoding="utf-8")
    assert "✗ Not better than a baseline: logistic regression" in _text(path)


def test_winning_verdict_and_table(tmp_path):
    html = write_report(make_forecast(tmp_path / "run")).read_text(encoding="utf-8")
    page = Page(html)
    assert "✓ Better than every baseline" in page.text
    bold = [data for tag, data in page.words if tag == "b"]
    assert {"11.31\xa0%", "0.968", "212.4", "455.1", "0.0721"} <= set(bold)
    assert "13.91\xa0%" not in bold
    assert "79.4\xa0%" not in re.findall(r"<b>([^<]*)", _section(html, "verdict"))  # no coverage is the best one
    assert "–" in page.text  # naive has no quantiles
    assert "nan" not in page.text.lower().split()


@pytest.mark.parametrize("make", [make_forecast, make_classify])
def test_every_section_stands_in_its_order(tmp_path, make):
    html = write_report(make(tmp_path / "run")).read_text(encoding="utf-8")
    task = "forecast" if make is make_forecast else "classify"
    wanted = [entry.anchor for entry in SECTIONS if not entry.tasks or task in entry.tasks]
    assert re.findall(r'<section id="([\w-]+)"', html) == wanted
    assert re.findall(r'<li><a href="#([\w-]+)"', html) == wanted[1:]


ABSENT = {
    "data": ("data", "the run ended before the data were read"),
    "learning": (("evaluation", "step", "learning_rate_finder"), "training ended before its first evaluation"),
    "memory": ("gradient_flow", "the gradient through time was not measured"),
    "forecasts": (("examples", "horizon_error"), "the run ended before forecasts were made"),
    "intervals": ("coverage", "how often the intervals hold was not measured"),
    "network": ("hidden_states", "the hidden states were not recorded"),
}


@pytest.mark.parametrize("anchor", ABSENT)
def test_what_is_missing_is_left_out_with_its_reason(tmp_path, anchor):
    path = make_forecast(tmp_path / "run")
    names, reason = ABSENT[anchor]
    drop_events(path, *([names] if isinstance(names, str) else names))
    for file in ("metrics.csv", "predictions.parquet"):
        (path / file).unlink()
    html = write_report(path).read_text(encoding="utf-8")
    assert f"Left out: {reason}" in _section(html, anchor)
    assert html.count("Left out") == 1
    Page(html)


def test_an_interrupted_run_has_a_report(tmp_path):
    path = make_classify(tmp_path / "run")
    drop_events(path, "verdict", "end", "confusion", "reliability", "by_length", "mistakes")
    with open(path / "log.jsonl", "a", encoding="utf-8") as log:
        log.write('{"event": "end", "stopped": "interrupted", "seconds": 12.0, "best_epoch": 3}\n{"event": "verd')
    text = _text(path)
    assert "Training was interrupted before the model was judged" in text
    assert "--resume" in text
    assert "Left out: the run ended before held-out sequences were classified." in text


def test_an_empty_log_is_a_report_too(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "log.jsonl").write_text('{"event": "r', encoding="utf-8")
    text = _text(folder)
    assert "This run has no verdict" in text
    assert text.count("Left out") == 5  # the sections of one task alone are not missed


def test_facts_that_are_not_understood_cost_one_section(tmp_path):
    path = make_forecast(tmp_path / "run")
    with open(path / "log.jsonl", "a", encoding="utf-8") as log:
        log.write(json.dumps({"event": "data", "rows": "many", "lengths": {"a": 1}, "columns": 7}) + "\n")
        log.write(json.dumps({"event": "gradient_flow", "lags": [0, "x", None], "norm": [1]}) + "\n")
    html = write_report(path).read_text(encoding="utf-8")
    assert "is not understood" in _section(html, "data")
    assert "Left out" in _section(html, "memory")
    assert html.count("Left out") == 2
    Page(html)


def test_numbers_that_are_missing_are_dashes(tmp_path):
    path = make_forecast(tmp_path / "run")
    nothing = {"smape": None, "mase": float("nan")}
    verdict = {
        "event": "verdict", "headline": "Nothing could be measured", "metric": "smape", "metrics": nothing,
        "baselines": {"naive": nothing}, "beats_baselines": False, "sentences": None, "warnings": None,
    }  # fmt: skip
    with open(path / "log.jsonl", "a", encoding="utf-8") as log:
        log.write(json.dumps(verdict) + "\n")
        log.write(
            json.dumps(
                {"event": "evaluation", "step": 9999, "epoch": 31, "train_loss": None, "valid_loss": float("nan")}
            )
            + "\n"
        )
    page = Page(write_report(path).read_text(encoding="utf-8"))
    assert "✗ Not shown to be better than its baselines" in page.text
    assert sum(data == "–" for _, data in page.words) >= 6
    assert not re.search(r"\b(nan|None)\b", page.text)


def test_a_resumed_run_shows_each_evaluation_once(tmp_path):
    path = make_forecast(tmp_path / "run")
    lines = (path / "log.jsonl").read_text(encoding="utf-8").splitlines()
    again = [line for line in lines if '"evaluation"' in line][-10:]
    (path / "log.jsonl").write_text("\n".join(lines + again) + "\n", encoding="utf-8")
    assert "30 evaluations" in _text(path)


def test_more_than_forty_classes_are_listed_not_drawn(tmp_path):
    few = write_report(make_classify(tmp_path / "few", classes=40)).read_text(encoding="utf-8")
    many = write_report(make_classify(tmp_path / "many", classes=41)).read_text(encoding="utf-8")
    assert few.count('class="matrix') == 1
    assert few.count("<td") > 40 * 40
    assert 'class="matrix' not in many
    assert "most frequent confusions" in many


def test_the_confusion_matrix_counts(tmp_path):
    path = make_classify(tmp_path / "run", classes=3)
    with open(path / "log.jsonl", "a", encoding="utf-8") as log:
        matrix = [[10, 1, 0], [0, 20, 0], [2, 0, 30]]
        log.write(json.dumps({"event": "confusion", "classes": ["a", "b", "c"], "matrix": matrix}) + "\n")
    html = _section(write_report(path).read_text(encoding="utf-8"), "classes")
    assert "60 of 63 held-out sequences were given the right class" in html
    found = re.findall(r'<td[^>]*>(?:<span class="quiet">)?([\d·]+)', html)[:9]
    assert found == ["10", "1", "·", "·", "20", "·", "2", "·", "30"]
    assert "91\xa0%" in html  # a: 10 of 11 found
    assert "83\xa0%" in html  # a: right in 10 of 12


def test_series_by_series_counts_from_the_predictions(tmp_path):
    import polars as pl

    path = make_forecast(tmp_path / "run", series=10)
    frame = pl.DataFrame(
        {
            "store": [f"s{i // 2}" for i in range(20)],
            "target": ["units"] * 20,
            "actual": [10.0] * 20,
            "q0.5": [10.0 + (3 if i < 6 else 1) for i in range(20)],  # 3 of 10 series are worse than naive
            "naive": [12.0] * 20,
            "seasonal_naive": [15.0] * 20,
        }
    )
    frame.write_parquet(path / "predictions.parquet")
    html = _section(write_report(path).read_text(encoding="utf-8"), "forecasts")
    assert "70\xa0% of 10 series" in html
    assert "naive (logarithmic)" in html


def test_intervals_are_read_from_pairs_of_quantiles(tmp_path):
    path = make_forecast(tmp_path / "run")
    text = (path / "run.toml").read_text(encoding="utf-8")
    (path / "run.toml").write_text(text.replace("[0.1, 0.5, 0.9]", "[0.05, 0.25, 0.5, 0.75, 0.9]"), encoding="utf-8")
    fact = {"event": "coverage", "nominal": [0.05, 0.25, 0.5, 0.75, 0.9], "observed": [0.1, 0.3, 0.5, 0.7, 0.95]}
    with open(path / "log.jsonl", "a", encoding="utf-8") as log:
        log.write(json.dumps(fact) + "\n")
    html = _section(write_report(path).read_text(encoding="utf-8"), "intervals")
    rows = re.findall(r'<tr><th scope="row">(.*?)</th><td[^>]*>(.*?)</td></tr>', html)
    assert [re.sub("<[^>]*>", "|", " ".join(row)).replace("\xa0", " ") for row in rows] == [
        "50 % interval|too narrow: surprises are more frequent than promised| |40.0 %|",
        "below the 5 % quantile|too high| |10.0 %|",
        "below the 90 % quantile|too high| |95.0 %|",
    ]


def test_intervals_are_taken_as_they_are_where_no_quantiles_are_meant(tmp_path):
    path = make_forecast(tmp_path / "run")
    with open(path / "log.jsonl", "a", encoding="utf-8") as log:
        log.write(json.dumps({"event": "coverage", "nominal": [0.8, 0.95], "observed": [0.79, 0.7]}) + "\n")
    html = _section(write_report(path).read_text(encoding="utf-8"), "intervals")
    assert '80\xa0% interval<small>as promised</small></th><td class="number"><b>79.0\xa0%' in html
    assert "95\xa0% interval<small>far too narrow" in html


def test_a_resumed_run_names_the_command_that_began_it(tmp_path):
    path = make_forecast(tmp_path / "run")
    with open(path / "log.jsonl", "a", encoding="utf-8") as log:
        log.write(json.dumps({"event": "run", "task": "forecast", "command": "recurra train --resume x"}) + "\n")
    html = _section(write_report(path).read_text(encoding="utf-8"), "use")
    assert "sales.parquet" in html
    assert "--resume" not in re.sub(r"<details>.*", "", html, flags=re.DOTALL)


def test_commands_can_be_copied_into_a_shell(tmp_path):
    path = make_forecast(tmp_path / "my run; rm")
    text = re.sub(r"\s+", " ", _text(path))
    assert f"recurra predict '{path}' new_data.csv -o predictions.csv" in text
    assert "recurra train sales.parquet --target units --time date --series store --horizon 48" in text
    assert "batch_size" in text or "clip = 1.0" in text  # the settings


@pytest.mark.parametrize("case", ["absent", "file", "no log", "broken metrics"])
def test_what_is_not_a_run_folder_is_refused(tmp_path, case):
    path = tmp_path / "thing"
    if case == "file":
        path.write_text("hello")
    if case in ("no log", "broken metrics"):
        path.mkdir()
        (path / "run.toml").write_text("")
    if case == "broken metrics":
        (path / "log.jsonl").write_text("")
        (path / "metrics.csv").mkdir()
    with pytest.raises(FolderError) as caught:
        write_report(path)
    assert caught.value.given and caught.value.need and caught.value.cure
    assert str(path) in caught.value.where
    assert not (path / "report.html").exists()


def test_thinning_keeps_the_spikes():
    y = [0.0] * 10_000
    y[4321], y[17] = 9.0, -5.0
    kept_x, kept_y = thin(range(10_000), y, most=200)
    assert len(kept_y) <= 200
    assert max(kept_y) == 9.0 and min(kept_y) == -5.0
    assert kept_x[kept_y.index(9.0)] == 4321
    assert kept_x == sorted(kept_x)


def test_markup_escapes_all_but_markup():
    made = h("p", "<b>", h("i", "x & y"), None, ["'", 3], title='"<>', hidden=True, class_=None)
    assert made == '<p title="&quot;&lt;&gt;" hidden>&lt;b&gt;<i>x &amp; y</i>&#x27;3</p>'
    assert h("p", "text", title=h("b", "x")) == '<p title="&lt;b&gt;x&lt;/b&gt;">text</p>'


@pytest.mark.parametrize("name", ["words", "draw", "markup", "write"])
def test_examples_hold(name):
    module = importlib.import_module(f"recurra.report.{name}")
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL)
    assert result.attempted > 0
    assert result.failed == 0
