"""The `netbasis` command: its options, its commands, and the one place where an error becomes an exit code.

Exit codes: 0 done; 1 refused by a rule, bad data, or a check found something; 2 the command line is wrong; 3 somebody
else wrote first; 4 the storage cannot be trusted or reached.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from cli import append, audit, balance, check, db, demo, init, pnl, rebuild, register
from cli.options import Target
from cli.usage import EXIT_USAGE
from ledger.errors import Conflict, NetbasisError, Refused, StorageError

EXIT_REFUSED = 1
EXIT_CONFLICT = 3
EXIT_STORAGE = 4
EXIT_INTERRUPTED = 130

app = typer.Typer(
    name="netbasis",
    help="An accounting core for trading bots: an immutable, hash-chained log where no deposit looks like profit.",
    epilog="Exit codes: 0 done; 1 refused, bad data, or a check found something; 2 wrong command line; "
    "3 somebody else wrote first; 4 the storage cannot be trusted or reached. Try `netbasis demo` first.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"netbasis {version('netbasis')}")
        raise typer.Exit


@app.callback()
def _target(
    context: typer.Context,
    db: Annotated[
        str | None,
        typer.Option(
            "--db",
            envvar="NETBASIS_DB",
            metavar="PATH",
            help="The ledger's SQLite file; else netbasis.toml says.",
            show_envvar=True,
        ),
    ] = None,
    book: Annotated[
        str | None,
        typer.Option(
            "--book",
            envvar="NETBASIS_BOOK",
            metavar="NAME",
            help="The book; not needed where there is one only.",
            show_envvar=True,
        ),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    context.obj = Target(db or None, book or None)


init.register(app)
append.register(app)
balance.register(app)
register.register(app)
pnl.register(app)
audit.register(app)
rebuild.register(app)
check.register(app)
db.register(app)
demo.register(app)


def exit_code(error: NetbasisError) -> int:
    """The exit code that an error becomes."""
    if isinstance(error, Conflict):
        return EXIT_CONFLICT
    if isinstance(error, StorageError):
        return EXIT_STORAGE
    assert isinstance(error, Refused)
    return EXIT_REFUSED


def run(arguments: Sequence[str]) -> int:
    """Run one command line; its exit code."""
    try:
        result = app(args=list(arguments) or ["--help"], prog_name="netbasis", standalone_mode=False)
    except NetbasisError as error:
        typer.echo(str(error), err=True)
        return exit_code(error)
    except typer.TyperException as error:
        typer.echo(f"error[usage]: {error.format_message()}; try `netbasis --help`", err=True)
        return EXIT_USAGE
    except typer.Abort:
        return EXIT_INTERRUPTED
    return result if isinstance(result, int) else 0


def main() -> None:
    """The entry point of the script."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
