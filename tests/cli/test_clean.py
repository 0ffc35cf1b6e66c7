"""Nothing is written outside the run folder, and nothing is fetched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

GUARD = """
import socket, sys

def refuse(*arguments, **named):
    raise RuntimeError("the network was asked for")

for name in ("connect", "connect_ex", "sendto"):
    setattr(socket.socket, name, refuse)
socket.create_connection = socket.getaddrinfo = refuse

from recurra.cli.main import main
sys.exit(main(sys.argv[1:]))
"""

JOBS = {
    "forecast": ("--target", "units", "--time", "date", "--series", "store", "--horizon", "7"),
    "classify": ("--sequence", "id", "--time", "t", "--label", "turn"),
}


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.slow
@pytest.mark.parametrize("task", JOBS)
def test_a_run_writes_its_folder_only_and_asks_no_network(
    task: str, tmp_path: Path, sales: Path, gestures: Path
) -> None:
    data = sales if task == "forecast" else gestures
    home, here = tmp_path / "home", tmp_path / "here"
    temporary = tmp_path / "tmp"
    for folder in (home, here, temporary):
        folder.mkdir()
    guard = tmp_path / "guard.py"
    guard.write_text(GUARD)
    env = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "MPL", "COV"))}
    env |= {"HOME": str(home), "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}

    def run(*arguments: object) -> str:
        command = [sys.executable, str(guard), *map(str, arguments)]
        done = subprocess.run(command, cwd=here, env=env, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout

    before = data.parent.stat().st_mtime_ns
    run("train", data, *JOBS[task], "--epochs", "1", "--hidden-size", "8", "--set", "device=cpu", "--out", "kept/run")
    assert {name for name in tree(here) if not name.startswith("kept/run/")} == {"kept", "kept/run"}
    inside = tree(here)
    assert json.loads(run("evaluate", "kept/run", data, "--json"))["task"] == task
    run("predict", "kept/run", data, "-o", "out.csv")
    run("check", data, *JOBS[task])
    run("info", "kept/run")
    run("report", "kept/run")
    assert tree(here) - inside == {"out.csv"}
    assert tree(home) == set(), "nothing in the home folder"
    # torch makes an empty folder of its compiler there when an optimiser is first made.
    left = {name for name in tree(temporary) if not name.startswith("torchinductor_") or "/" in name}
    assert left == set(), "no temporary files are left"
    assert data.parent.stat().st_mtime_ns == before, "nothing beside the data"
