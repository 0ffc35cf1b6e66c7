"""A reservoir cell alone does not bring scikit-learn with it."""

from __future__ import annotations

import subprocess
import sys

import pytest

import recurra.reservoir


@pytest.mark.slow
def test_the_cells_do_not_import_scikit_learn() -> None:
    code = "import sys; from recurra.reservoir import EchoState; print('sklearn' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_every_public_name_is_there() -> None:
    for name in recurra.reservoir.__all__:
        assert getattr(recurra.reservoir, name) is not None
    with pytest.raises(AttributeError, match="EchoStat"):
        recurra.reservoir.EchoStat  # noqa: B018
