"""The report as a page: whole, valid, self-contained, the same bytes every time, safe against hostile names."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import pytest
from make_run import make_classify, make_forecast
from page_reader import Page

from recurra.report import write_report

HOSTILE = ["<script>alert(1)</script>", "\"'><img src=x onerror=alert(2)>", "x" * 5000]


@pytest.fixture(scope="module", params=["forecast", "classify", "hostile forecast", "hostile classify"])
def page_text(request, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("runs") / "a run's <b>folder"
    make = make_forecast if "forecast" in request.param else make_classify
    make(path, names=HOSTILE if "hostile" in request.param else None)
    return write_report(path).read_text(encoding="utf-8")


def test_is_valid_and_balanced(page_text):
    page = Page(page_text)
    assert page_text.startswith("<!doctype html>")
    assert [tag for tag, _ in page.elements].count("h1") == 1
    assert "Left out" not in page_text
    assert "not understood" not in page_text


def test_loads_nothing_and_runs_nothing(page_text):
    page = Page(page_text)
    for tag, attributes in page.elements:
        assert tag not in ("script", "link", "iframe", "img", "object", "embed", "base", "form")
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href", "xlink:href", "srcset", "action"):
                assert value and value.startswith(("#", "data:image/png;base64,")), value
    assert set(re.findall(r"url\((.)", page_text)) <= {"#"}
    assert "@import" not in page_text
    assert set(re.findall(r"https?://[^\"'<\s]+", page_text)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert "default-src 'none'" in dict(
        (a.get("http-equiv"), a.get("content")) for tag, a in page.elements if tag == "meta"
    )["Content-Security-Policy"]  # fmt: skip


def test_svgs_are_xml_and_do_not_clash(page_text):
    drawings = re.findall(r"<svg .*?</svg>", page_text, flags=re.DOTALL)
    assert len(drawings) >= 8
    for drawing in drawings:
        root = ElementTree.fromstring(drawing)
        assert root.get("aria-label")
        assert root.get("role") == "img"
        assert root.get("viewBox")
    identities = re.findall(r'\sid="([^"]+)"', page_text)
    assert len(identities) == len(set(identities))
    wanted = set(re.findall(r"url\(#([^)]+)\)", page_text)) | set(re.findall(r'href="#([^"]+)"', page_text))
    assert wanted <= set(identities)
    assert not re.search(r"#0b0c[0-9a-f]{2}", page_text), "a colour that does not follow the scheme"


def test_is_accessible(page_text):
    page = Page(page_text)
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in zip(levels, levels[1:], strict=False))
    tables = len(re.findall("<table", page_text))
    assert tables == len(re.findall(r"<table[^>]*><caption", page_text)) > 3
    assert all(a.get("scope") in ("row", "col") for tag, a in page.elements if tag == "th")
    assert dict(page.elements)["html"] == {"lang": "en"}


def test_hostile_names_stay_names(tmp_path):
    forecast = write_report(make_forecast(tmp_path / "f", names=HOSTILE)).read_text(encoding="utf-8")
    classify = write_report(make_classify(tmp_path / "c", names=HOSTILE)).read_text(encoding="utf-8")
    for text in (forecast, classify):
        assert HOSTILE[0] in Page(text).text  # shown to the reader as it is
        assert HOSTILE[0] not in text  # and never as markup
        assert "<img" not in text
        assert "x" * 500 not in text  # long names are cut


def test_strange_characters_do_not_break_the_file(tmp_path):
    names = ["\ud800 half a character", "nul \x00 and bell \x07", "right \u202eto left", "名前 👍 $x^2$ é"]
    path = make_forecast(tmp_path / "run", names=["a", "b", "c", "d"])
    log = (path / "log.jsonl").read_text(encoding="utf-8")
    for plain, strange in zip(("a", "b", "c", "d"), names, strict=True):
        escaped = (
            strange.encode("unicode_escape").decode().replace("\\x", "\\u00").replace("\\U0001f44d", "\\ud83d\\udc4d")
        )
        log = log.replace(f'"series": "{plain}"', f'"series": "{escaped}"')
    (path / "log.jsonl").write_text(log, encoding="utf-8")
    page = Page(write_report(path).read_text(encoding="utf-8"))
    assert "� half a character" in page.text
    assert "nul � and bell �" in page.text
    assert "right �to left" in page.text


def test_same_folder_same_bytes_whatever_the_users_style(tmp_path):
    path = make_classify(tmp_path / "run")
    first = write_report(path).read_bytes()
    before = matplotlib.rcParams.copy()
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.fonttype": "path"}):
        inside = matplotlib.rcParams.copy()
        assert write_report(path).read_bytes() == first
        assert matplotlib.rcParams.copy() == inside
    assert matplotlib.rcParams.copy() == before


def test_drawing_leaves_pyplot_alone(tmp_path):
    path = make_classify(tmp_path / "run")
    code = (
        "import sys; from recurra.report import write_report; write_report(sys.argv[1]); "
        "print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_writes_one_file_and_leaves_nothing_aside(tmp_path):
    path = make_forecast(tmp_path / "run")
    before = {file.name for file in path.iterdir()}
    assert write_report(str(path)) == path / "report.html"
    assert {file.name for file in path.iterdir()} == before | {"report.html"}


def test_a_large_run_stays_small(tmp_path):
    path = make_forecast(tmp_path / "run", series=10_000, steps=100_000)
    assert write_report(path).stat().st_size < 1_000_000
    path = make_classify(tmp_path / "many", classes=400, sequences=50_000)
    assert write_report(path).stat().st_size < 1_000_000


def test_importing_the_package_is_light():
    code = (
        "import sys, recurra.report; "
        "print([m for m in ('torch', 'matplotlib', 'polars', 'sklearn', 'recurra.train') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def _variables(css: str, selector: str) -> dict[str, str]:
    block = css[css.index(selector) :]
    block = block[block.index("{") + 1 : block.index("}")]
    return dict(re.findall(r"--([\w-]+):\s*([^;]+);", block))


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    bright, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def test_both_schemes_define_every_colour_and_are_legible(page_text):
    import recurra.report

    css = (Path(recurra.report.__file__).parent / "page.css").read_text(encoding="utf-8")
    light = _variables(css, ":root {")
    chosen = _variables(css, ':root[data-theme="dark"]')
    by_system = _variables(css, ':root:not([data-theme="light"])')
    assert chosen == by_system
    assert light.keys() == chosen.keys()
    assert set(re.findall(r"var\(--([\w-]+)\)", page_text)) - {"key"} <= light.keys()
    for scheme in (light, chosen):
        for text in ("ink", "muted", "model", "good", "bad"):
            assert _contrast(scheme[text], scheme["page"]) >= 4.5, text
        for line in ("model", "second", "third", "fourth", "fifth"):
            assert _contrast(scheme[line], scheme["page"]) >= 3.0, line
        assert _contrast(scheme["bad"], scheme["bad-soft"]) >= 4.5
        assert _contrast(scheme["good"], scheme["good-soft"]) >= 4.5
