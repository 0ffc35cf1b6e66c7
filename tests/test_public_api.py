"""The public surface is what docs/api.md lists, and every name in it has a docstring."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import recurra

PAGE = Path(__file__).parent.parent / "docs" / "api.md"


def listed() -> list[str]:
    """The names in the first column of the page's tables, those of `recurra` itself."""
    return re.findall(r"^\| `recurra\.(\w+)", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)


def test_all_is_what_the_docs_list() -> None:
    assert sorted(listed()) == sorted(recurra.__all__)
    assert len(set(recurra.__all__)) == len(recurra.__all__)


@pytest.mark.parametrize("name", recurra.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    value = getattr(recurra, name)
    assert isinstance(value, str) or (value.__doc__ or "").strip(), f"recurra.{name} has no docstring"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Forecastr"):
        recurra.Forecastr  # noqa: B018


def test_dir_lists_the_public_names() -> None:
    assert set(recurra.__all__) <= set(dir(recurra))
