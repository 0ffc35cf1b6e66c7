"""The README's Python blocks and `recurra` commands run as they are printed, in one folder, one after another."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(sh|python)\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
# What sets up the environment of these very tests is not run again inside them.
SETUP = ("make ", "pip ")


def commands(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip() and not line.startswith(SETUP)]


def test_every_command_is_one_that_is_run_here() -> None:
    found = [line for kind, text in BLOCKS if kind == "sh" for line in commands(text)]
    assert len(found) >= 6 and all(line.startswith("recurra ") for line in found)
    assert sum(kind == "python" for kind, _ in BLOCKS) >= 3


def test_links_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_make_targets_are_there() -> None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert set(re.findall(r"^make (\w+)", README, flags=re.MULTILINE)) <= set(targets)


def lines_of_any_machine(text: str) -> list[str]:
    """Of what `train` prints, the lines up to the model, which do not depend on the machine, and the last three."""
    lines = [line for line in text.splitlines() if line.strip()]
    model = next(number for number, line in enumerate(lines) if line.startswith("Model: "))
    return [*lines[: model + 1], *lines[-3:]]


@pytest.mark.slow
def test_the_readme_runs_as_printed(tmp_path: Path) -> None:
    folder = tmp_path / "readme"
    folder.mkdir()
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    shown = re.findall(r"^<!-- output: (.*?) -->\n```text\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
    printed = {}
    for kind, text in BLOCKS:
        steps = [["bash", "-c", line] for line in commands(text)]
        for command in [[sys.executable, "-W", "error", "-c", text]] if kind == "python" else steps:
            done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
            assert done.returncode == 0, f"{command[-1]}\n{done.stdout}\n{done.stderr}"
            printed[command[-1]] = done.stdout
    made = {path.name for path in folder.iterdir()}
    assert made == {"flights.csv", "power.parquet", "forecast.csv", "runs", "models"}
    assert len(shown) == 1
    for start, output in shown:
        found = next(text for command, text in printed.items() if command.startswith(start))
        assert lines_of_any_machine(found) == lines_of_any_machine(output), "print the command's output anew"
