"""The table of searches that find the network as well."""

from __future__ import annotations

import importlib

import recurra.learn.search
from recurra.learn.search import GRAPH_SEARCHES, SEARCHES


def test_rows_name_their_classes() -> None:
    assert not set(GRAPH_SEARCHES) & set(SEARCHES)
    for name, row in GRAPH_SEARCHES.items():
        module, _, attribute = row.path.partition(":")
        kind = getattr(importlib.import_module(module), attribute)
        assert row.name == name == kind.name and row.summary and row.reference
        assert getattr(recurra.learn.search, attribute) is kind


def test_all_names_load() -> None:
    assert all(getattr(recurra.learn.search, name) is not None for name in recurra.learn.search.__all__)
