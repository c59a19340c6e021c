"""Runs the commands of a session that a page shows: those of netbasis in this process, what needs a shell in one.

Starting a process for each of several hundred commands would take longer than all else that the tests do.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from cli.main import run

# A command that reads a text, writes into a file, or is followed by a word that it succeeded.
_IN_BASH = re.compile(
    r"^(?P<command>.*?)(?: <<< '(?P<text>[^']*)')?(?: > (?P<file>[\w.]+)| && echo (?P<then>[\w ]+))?$", re.DOTALL
)
_QUOTED = re.compile(r"'[^']*'|\"[^\"$`\\]*\"")
_EXAMPLES = "$NETBASIS_EXAMPLES"
_NEEDS_A_SHELL = re.compile(r"[$`|<>;&*(){}\\]")


@contextlib.contextmanager
def at_work(folder: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """The folder as the current one, and the environment alone; what there was is back at the end."""
    before, temporary = dict(os.environ), tempfile.tempdir
    with contextlib.chdir(folder):
        os.environ.clear()
        os.environ.update(environment)
        tempfile.tempdir = None  # looked for anew, as a process of its own would
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)
            tempfile.tempdir = temporary


def output_of(command: str) -> tuple[str, int]:
    """What a command prints, stdout and stderr together, and its exit code; `at_work` says where."""
    match = _IN_BASH.match(command)
    plain = match["command"].replace(_EXAMPLES, os.environ.get(_EXAMPLES[1:], _EXAMPLES)) if match else ""
    if match is None or not plain.startswith("netbasis ") or _NEEDS_A_SHELL.search(_QUOTED.sub("", plain)):
        return _in_bash(command)
    text = "" if match["text"] is None else f"{match['text']}\n"
    shown, code = _in_process(shlex.split(plain)[1:], text, match["file"])
    return shown + (f"{match['then']}\n" if match["then"] and code == 0 else ""), code


def _in_process(words: list[str], text: str, file: str | None) -> tuple[str, int]:
    """What is shown; what the command prints goes into the file, if there is one."""
    shown = io.StringIO()
    before = sys.stdin
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as given,
        Path(file).open("w", encoding="utf-8") if file else contextlib.nullcontext(shown) as printed,
    ):
        given.write(text)
        given.seek(0)
        sys.stdin = given
        try:
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(shown):
                code = run(words)
        finally:
            sys.stdin = before
    return shown.getvalue(), code


def _in_bash(command: str) -> tuple[str, int]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", f"exec 2>&1; {command}"],
        env={**os.environ, "PATH": path, "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout, done.returncode
