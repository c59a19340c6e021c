"""The documentation says what the program does now."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from cli.main import app
from docs import event_pages, regenerate

README = regenerate.ROOT / "README.md"


def test_the_command_reference_is_what_help_says() -> None:
    assert regenerate.REFERENCE.read_text("utf-8") == regenerate.reference(), "run `make docs`"


def test_the_event_pages_are_what_the_engine_answers() -> None:
    for path, text in event_pages.pages():
        assert path.read_text("utf-8") == text, f"{path.name}: run `make docs`"


@pytest.mark.parametrize("page", regenerate.pages(), ids=lambda page: page.name)
def test_a_session_in_the_docs_prints_what_stands_there(page: Path) -> None:
    assert regenerate.masked(page.read_text("utf-8")) == regenerate.masked(regenerate.regenerated(page)), (
        "run `make docs`"
    )


def _commands(command: Any, path: str) -> list[tuple[str, Any]]:
    children = getattr(command, "commands", {}).items()
    return [(path, command), *(found for name, child in children for found in _commands(child, f"{path} {name}"))]


@pytest.mark.parametrize(("path", "command"), _commands(typer.main.get_command(app), "netbasis"))
def test_every_command_and_option_has_help(path: str, command: Any) -> None:
    assert command.help, f"{path} has no help"
    without = [parameter.name for parameter in command.params if not getattr(parameter, "help", None)]
    assert not without, f"{path}: no help for {without}"


def test_the_library_example_of_the_readme_runs(tmp_path: Path) -> None:
    """In a folder with a ledger of the first session's name."""
    match = re.search(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert match is not None
    script = Path(sys.executable).with_name("netbasis")
    environment = os.environ | {"PYTHONPATH": str(regenerate.ROOT)}
    subprocess.run([script, "--db", "live.db", "init"], cwd=tmp_path, env=environment, check=True, capture_output=True)
    done = subprocess.run(
        [sys.executable, "-c", match[1]], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    )
    assert done.stdout == "2 11.29518\n"


def test_every_link_of_the_readme_leads_somewhere() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", README.read_text("utf-8")):
        assert (regenerate.ROOT / link).exists(), link
