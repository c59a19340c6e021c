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

from cli.main import app, run
from cli.registry import COMMANDS, Entry, load
from docs import event_pages, regenerate
from tests.script_server import SCRIPT, run_program

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


@pytest.mark.parametrize(("name", "entry"), COMMANDS.items(), ids=COMMANDS)
def test_the_line_of_a_command_is_how_its_own_help_begins(name: str, entry: Entry) -> None:
    command = load(name)
    assert entry.help == (None if command.hidden else command.get_short_help_str(1000))


def test_a_command_imports_no_other() -> None:
    code = "import sys; from cli.main import run; run(['head', '--help']); print(*(m for m in sys.modules if 'cli.c' in m))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(regenerate.ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "cli.commands cli.commands.head"


@pytest.mark.parametrize(
    ("number", "printed"),
    [
        (0, "xrpl:3 is on the disk: version 2\nxrpl:4 is refused: amount_malformed in base_amount\n"),
        (1, "2 11.29518\n"),
    ],
    ids=["pipe", "library"],
)
def test_an_example_of_the_readme_runs(
    number: int, printed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder with a ledger of the first session's name, with the command on the path."""
    code = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)[number]
    monkeypatch.setenv("PATH", str(SCRIPT.parent), prepend=os.pathsep)
    assert run(["--db", str(tmp_path / "live.db"), "init"]) == 0
    done = run_program(code, cwd=tmp_path)
    assert (done.returncode, done.stdout.decode()) == (0, printed), done.stderr.decode()


def test_every_link_of_the_readme_leads_somewhere() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", README.read_text("utf-8")):
        assert (regenerate.ROOT / link).exists(), link
