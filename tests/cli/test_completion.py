"""A shell completes the commands of the installed script; what a command does not need it does not import."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli_support import Cli, deposit
from tests.script_server import SCRIPT

# What takes long to import and no reading command on a file needs; the parts of rich that lay out and colour.
HEAVY = {
    "alembic",
    "hypothesis",
    "psycopg",
    "duckdb",
    "pyarrow",
    "matplotlib",
    "starlette",
    "cryptography",
    "rich.console",
}
READING = ("balance", "status", "register", "pnl", "lots", "gains", "summary", "audit basis", "head", "books", "check")


def asking_for(words: str) -> dict[str, str]:
    """The variables by which a shell asks for what completes the words."""
    return {"COMP_WORDS": words, "COMP_CWORD": "1", "_NETBASIS_COMPLETE": "complete_bash"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("netbasis bala", ["balance"]),
        ("netbasis re", ["reconcile", "reverse", "register", "returns", "rebuild", "report", "restore"]),
        ("netbasis reg", ["register"]),  # not its alias
        ("netbasis --bo", ["--book"]),
        ("netbasis nothing", []),
    ],
)
def test_a_shell_completes_a_command(tmp_path: Path, words: str, expected: list[str]) -> None:
    ran = Cli(tmp_path, empty=True).run(target=(), env=asking_for(words))
    assert (ran.code, ran.out.split(), ran.err) == (0, expected, "")


def test_the_installed_script_completes_a_command(tmp_path: Path) -> None:
    done = subprocess.run(
        [SCRIPT], cwd=tmp_path, env=os.environ | asking_for("netbasis bala"), capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["balance"]


def imported(folder: Path, program: str) -> set[str]:
    """The modules that a program has imported in an interpreter of its own."""
    code = f"import atexit, sys; atexit.register(lambda: print('\\n', *sys.modules)); {program}"
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].split())


def test_reading_a_file_imports_nothing_heavy(cli: Cli) -> None:
    cli.append(deposit("a"))
    calls = "; ".join(f"assert run(['--db', 'ledger.db', *{command.split()}]) == 0" for command in READING)
    found = imported(cli.folder, f"from cli.main import run; {calls}")
    assert "sqlalchemy" in found
    assert found & HEAVY == set()


def test_help_and_completion_import_no_command_and_no_database(tmp_path: Path) -> None:
    asking = f"import os; os.environ.update({asking_for('netbasis re')})"
    found = imported(tmp_path, f"from cli.main import run; run(['--help']); {asking}; run([])")
    assert "cli.registry" in found
    assert [name for name in found if name.startswith(("cli.commands.", "sqlalchemy"))] == []
