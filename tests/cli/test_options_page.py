"""docs/options.md says what the options are, because it is made from them."""

from __future__ import annotations

import runpy
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_of_options_is_up_to_date() -> None:
    page = runpy.run_path(str(DOCS / "write_options.py"))["page"]()
    assert (DOCS / "options.md").read_text(encoding="utf-8") == page, "run python docs/write_options.py"


def test_every_option_is_on_the_page() -> None:
    import recurra

    text = (DOCS / "options.md").read_text(encoding="utf-8")
    for estimator in (recurra.Forecaster, recurra.SequenceClassifier):
        for name in estimator().get_params():
            assert f"| `{name}` |" in text
