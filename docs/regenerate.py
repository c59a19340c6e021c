"""Regenerate what the documentation shows: `make docs`.

Two kinds of text are never typed by hand. A ```console block is a session: its `$ ` lines are run, in order, in one
temporary folder per page, and what they print replaces what stands below them. `docs/commands.md` is made from `--help`.
`tests/test_docs.py` fails when either has drifted; hashes, ids and times, which differ from run to run, are masked there.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from cli.main import app
from docs import event_pages, pictures
from docs.sessions import at_work, output_of

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "commands.md"
WIDTH = 100

_BLOCK = re.compile(r"(?<=```console\n)(.*?)(?=^```$)", re.DOTALL | re.MULTILINE)
_CHANGING = (
    (re.compile(r"netbasis-demo-\w+"), "netbasis-demo-abcdefgh"),
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "UUID"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "HASH"),
    (re.compile(r"\b(hash|head|UUID) +[0-9a-f]{12}\b"), "HASH"),
    (re.compile(r"\b\d{4}-\d\d-\d\dT[0-9:.]+Z\b"), "TIME"),
    (re.compile(r"\b\d+ (seconds|minutes|hours|days) old\b"), "AGE"),
    (re.compile(r'"seconds":"[0-9.]+"'), "SECONDS"),
)


def pages() -> list[Path]:
    """The pages that hold sessions."""
    candidates = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
    return [page for page in candidates if "```console\n" in page.read_text("utf-8")]


def masked(text: str) -> str:
    """A text in which what differs from run to run is the same; blanks between columns count as one."""
    for pattern, name in _CHANGING:
        text = pattern.sub(name, text)
    return re.sub(r" {2,}", "  ", text)


def regenerated(page: Path) -> str:
    """The page with its sessions run anew; a session whose output is the same but for ids stays as it is."""
    with tempfile.TemporaryDirectory() as folder:

        def run_block(match: re.Match[str]) -> str:
            old, new = match[0], _run_session(match[0], Path(folder))
            return old if masked(old) == masked(new) else new

        return _BLOCK.sub(run_block, page.read_text("utf-8"))


def _run_session(block: str, folder: Path) -> str:
    lines = []
    environment = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "LANG": "C.UTF-8",
        "HOME": str(folder),
        "NETBASIS_EXAMPLES": str(ROOT / "examples"),
    }
    with at_work(folder, environment):
        for command in re.findall(r"^\$ ((?:.*\\\n)*.*)$", block, re.MULTILINE):
            output = re.sub(r"netbasis-demo-\w+", "netbasis-demo-abcdefgh", output_of(command)[0])
            lines.append(f"$ {command}\n{output.rstrip()}".rstrip() + "\n")
    return "".join(lines)


def reference() -> str:
    """The command reference, from `--help`."""
    parts = [
        "# Commands\n\nMade from `--help` by `make docs`; do not edit.\n",
        *(f"\n## {path}\n\n```text\n{text}\n```\n" for path, text in help_texts()),
    ]
    return "".join(parts)


def help_texts() -> Iterator[tuple[str, str]]:
    """Each command's path, such as `netbasis audit basis`, and its help."""
    yield from _help_of(typer.main.get_command(app), "netbasis", None)


def _help_of(command: Any, path: str, parent: Any) -> Iterator[tuple[str, str]]:
    context = command.context_class(
        command, info_name=path.split()[-1], parent=parent, **{**command.context_settings, "terminal_width": WIDTH}
    )
    # An option's environment variable may be set where this runs; its help must not show it.
    yield path, command.get_help(context).rstrip()
    for name, child in getattr(command, "commands", {}).items():
        if not child.hidden:
            yield from _help_of(child, f"{path} {name}", context)


def main() -> None:
    """Write the references and the pages."""
    event_pages.main()
    REFERENCE.write_text(reference(), "utf-8")
    for page in pages():
        page.write_text(regenerated(page), "utf-8")
    pictures.main()


if __name__ == "__main__":
    main()
