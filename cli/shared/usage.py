"""The error of a wrong command line."""

from __future__ import annotations

import typer

EXIT_USAGE = 2


class WrongUsage(typer.TyperException):
    """The command line is wrong; exit code 2. Its message is for people."""

    exit_code = EXIT_USAGE
