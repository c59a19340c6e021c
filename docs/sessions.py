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

_HERE_STRING = re.compile(r"^(?P<command>.*) <<< '(?P<text>[^']*)'$", re.DOTALL)
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
    match = _HERE_STRING.match(command)
    plain = (match["command"] if match else command).replace(_EXAMPLES, os.environ.get(_EXAMPLES[1:], _EXAMPLES))
    if plain.startswith("netbasis ") and not _NEEDS_A_SHELL.search(_QUOTED.sub("", plain)):
        return _in_process(shlex.split(plain)[1:], f"{match['text']}\n" if match else "")
    return _in_bash(command)


def _in_process(words: list[str], text: str) -> tuple[str, int]:
    printed = io.StringIO()
    before = sys.stdin
    with tempfile.TemporaryFile("w+", encoding="utf-8") as given:
        given.write(text)
        given.seek(0)
        sys.stdin = given
        try:
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
                code = run(words)
        finally:
            sys.stdin = before
    return printed.getvalue(), code


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
