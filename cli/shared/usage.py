"""A command line that is wrong."""

from __future__ import annotations

import typer

EXIT_USAGE = 2


class WrongUsage(typer.TyperException):
    """What is wrong with the command line, for people; exit code 2."""

    exit_code = EXIT_USAGE
