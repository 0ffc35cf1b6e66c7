"""Every study runs in its quick form, writes its rows, and claims nothing that a quick run may not claim."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parent.parent
DATA = Path(os.environ.get("RECURRA_DATA") or ROOT.parent / "shared" / "data")
STUDIES = {
    "add_task": None,
    "adding_problem": None,
    "bidirectional_memory": None,
    "context_sensitive": None,
    "double_pole": None,
    "dyck": None,
    "echo_state": None,
    "evolino": None,
    "fixed_points": None,
    "history_compressor": None,
    "hopfield_capacity": None,
    "japanese_vowels": "japanese_vowels",
    "long_memory": None,
    "lstm_1997": None,
    "lyapunov": None,
    "m4_hourly": "m4",
    "memory_copy": None,
    "memristive_circuit": None,
    "partial_control": None,
    "precise_timing": None,
    "rule_costs": None,
    "timescales": None,
    "tomita": None,
}
"""Each study and the data set it needs, if any."""


def test_every_study_is_tested() -> None:
    assert {path.stem for path in (ROOT / "studies").glob("[!_]*.py")} == set(STUDIES)


@pytest.mark.slow
@pytest.mark.parametrize(("study", "data"), STUDIES.items())
def test_a_study_runs_quickly(study: str, data: str | None, tmp_path: Path) -> None:
    if data is not None and not (DATA / f"{data}.tar.xz").is_file() and not (DATA / data).is_dir():
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


def test_networks_side_by_side_know_nothing_of_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A seed's network, trained among others or alone, ends with the same weights."""
    monkeypatch.syspath_prepend(str(ROOT / "studies"))
    from _side_by_side import SideBySide

    def outputs(seeds: list[int], peepholes: list[bool]) -> torch.Tensor:
        networks = SideBySide(seeds, 2, 2, 3, (0.0, 3.0, 0.0, 0.0), recurrent=0.5, peepholes=peepholes, shortcut=True)
        optimiser = torch.optim.Adam(networks.parameters(), 0.05)
        x = torch.randn(6, 4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        for _ in range(5):
            optimiser.zero_grad()
            (networks(x) - 1).square().sum().backward()
            networks.clip_gradients(1.0)
            optimiser.step()
        return networks(x).detach()

    together = outputs([3, 4, 4], [True, True, False])
    for place, (seed, peepholes) in enumerate([(3, True), (4, True), (4, False)]):
        alone = outputs([seed], [peepholes])
        torch.testing.assert_close(together[:, :, place], alone[:, :, 0], rtol=1e-9, atol=1e-10)
    assert not torch.allclose(together[:, :, 1], together[:, :, 2])
