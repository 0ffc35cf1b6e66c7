"""Every study runs in its quick form, writes its rows, and claims nothing that a quick run may not claim."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DATA = Path(os.environ.get("RECURRA_DATA") or ROOT.parent / "shared" / "data")
STUDIES = {"japanese_vowels": "japanese_vowels", "m4_hourly": "m4"}


def test_every_study_is_tested() -> None:
    assert {path.stem for path in (ROOT / "studies").glob("[!_]*.py")} == set(STUDIES)


@pytest.mark.slow
@pytest.mark.parametrize(("study", "data"), STUDIES.items())
def test_a_study_runs_quickly(study: str, data: str, tmp_path: Path) -> None:
    if not (DATA / f"{data}.tar.xz").is_file() and not (DATA / data).is_dir():
        pytest.skip(f"the data set {data} is not at {DATA}; set RECURRA_DATA to where it is")
    rows = tmp_path / "rows.json"
    command = [sys.executable, ROOT / "studies" / f"{study}.py", "--quick", "--data", DATA, "--json", rows]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=600)
    assert done.returncode == 0, done.stderr
    claims = json.loads(rows.read_text())
    assert claims and all(set(row) == {"claim", "published", "wanted", "reached", "holds"} for row in claims)
    assert all(row["holds"] is None for row in claims)
    assert all(row["claim"] in done.stdout for row in claims)
